# `/etc` of a machine as one folder, as NixOS makes it.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  failed = map (one: one.message) (lib.filter (one: !one.assertion) config.assertions);
  lines = list: lib.concatMapStrings (line: "${line}\n") list;
in
{
  environment.etc."modules-load.d/nixos.conf".text = lines config.boot.kernelModules;
  environment.etc."sysctl.d/60-nixos.conf".text = lines (
    lib.mapAttrsToList (key: value: "${key}=${toString value}") config.boot.kernel.sysctl
  );

  system.build.etc = pkgs.runCommand "etc" { } (
    ''
      mkdir -p $out/etc/systemd
      touch $out/modes
      ln -s ${config.system.build.units} $out/etc/systemd/system
    ''
    + lib.concatMapStrings (
      file:
      if file.mode == "symlink" then
        ''
          mkdir -p "$(dirname $out/etc/${file.target})"
          ln -s ${file.source} $out/etc/${file.target}
        ''
      else
        ''
          # The store keeps no modes: who makes a machine of this sets them.
          install -D ${file.source} $out/etc/${file.target}
          echo "${file.mode} ${file.target}" >> $out/modes
        ''
    ) (lib.attrValues config.environment.etc)
  );

  system.build.toplevel =
    if failed == [ ] then
      config.system.build.etc
    else
      throw "\nFailed assertions:\n${lib.concatMapStrings (message: "- ${message}\n") failed}";
}
