# Every option says what it is, and shows a value where that is not obvious.
{
  pkgs,
  lib,
  machines,
  ...
}:
let
  all = lib.optionAttrSetToDocList (machines.machine { }).options.services.floe;
  shown = lib.filter (option: option.visible && !option.internal) all;
  silent = lib.filter (option: (option.description or null) == null) shown;
  bare = lib.filter (option: !option ? example && !option ? default) shown;
  names = options: toString (map (option: option.name) options);
in
assert lib.assertMsg (lib.length shown > 8) "options are missing: ${names shown}";
assert lib.assertMsg (silent == [ ]) "no description: ${names silent}";
assert lib.assertMsg (bare == [ ]) "neither default nor example: ${names bare}";
pkgs.runCommand "floe-options" { } "touch $out"
