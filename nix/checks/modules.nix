# A machine with every role evaluates, and its units name programs of the store.
{
  pkgs,
  lib,
  self,
  ...
}:
let
  system = lib.nixosSystem {
    inherit (pkgs.stdenv.hostPlatform) system;
    modules = [
      self.nixosModules.default
      {
        boot.isContainer = true;
        system.stateVersion = "25.11";
        services.floe = {
          controlplane.enable = true;
          controlplane.settings.advertise_address = "10.0.0.1";
          agent.enable = true;
          agent.settings.server = "https://10.0.0.1:6443";
        };
      }
    ];
  };
in
pkgs.runCommand "floe-modules" { etc = system.config.system.build.etc; } ''
  for role in controlplane agent; do
    test -s $etc/etc/floe/$role.toml
    grep -q '^ExecStart=/nix/store/.*/bin/floe-'$role $etc/etc/systemd/system/floe-$role.service
  done
  touch $out
''
