# The .nix files of a folder by name without suffix, so that nothing is listed by hand.
{ lib }:
folder:
lib.mapAttrs' (file: _: lib.nameValuePair (lib.removeSuffix ".nix" file) (folder + "/${file}")) (
  lib.filterAttrs (file: type: type == "regular" && lib.hasSuffix ".nix" file) (
    builtins.readDir folder
  )
)
