# `pkgs.formats.toml`: its type, and a writer of what our settings files hold.
{ lib, build }:
{ }:
let
  type =
    with lib.types;
    let
      value = oneOf [
        bool
        int
        float
        str
        path
        (attrsOf value)
        (listOf value)
      ];
    in
    value;

  key = name: if builtins.match "[A-Za-z0-9_-]+" name != null then name else builtins.toJSON name;
  # Texts, numbers, flags and lists of them are written alike in JSON and TOML.
  scalar = value: builtins.toJSON value;
  table =
    path: attrs:
    let
      tables = lib.filterAttrs (_: lib.isAttrs) attrs;
      scalars = removeAttrs attrs (lib.attrNames tables);
      head = lib.optionalString (path != [ ]) "[${lib.concatMapStringsSep "." key path}]\n";
    in
    head
    + lib.concatStrings (lib.mapAttrsToList (name: value: "${key name} = ${scalar value}\n") scalars)
    + lib.concatStrings (
      lib.mapAttrsToList (name: value: "\n" + table (path ++ [ name ]) value) tables
    );
in
{
  inherit type;
  generate = name: settings: build name { text = table [ ] settings; } "printf %s \"$text\" > $out";
}
