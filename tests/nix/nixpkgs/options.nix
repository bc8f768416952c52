# Options of NixOS, with their types, as far as our modules and tests set them.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  option =
    default: type:
    mkOption {
      inherit default type;
    };
  strings = option [ ] (types.listOf types.str);
  packages = option [ ] (types.listOf types.package);
  ports = option [ ] (types.listOf types.port);
  ranges = option [ ] (types.listOf (types.attrsOf types.port));
  settings = option { } (
    types.attrsOf (
      types.oneOf [
        types.str
        types.bool
        types.int
        (types.listOf types.str)
      ]
    )
  );

  etc = types.submodule (
    {
      name,
      config,
      options,
      ...
    }:
    {
      options = {
        target = option name types.str;
        text = option null (types.nullOr types.lines);
        source = mkOption { type = types.path; };
        mode = option "symlink" types.str;
      };
      # Lies in the store as a file, which is what a link can lead to.
      config.source = lib.mkIf (config.text != null) (
        lib.mkDerivedConfig options.text (builtins.toFile "etc-file")
      );
    }
  );

  service = types.submodule {
    options = {
      description = option "" types.str;
      enable = option true types.bool;
      wantedBy = strings;
      after = strings;
      requires = strings;
      wants = strings;
      path = packages;
      environment = option { } (types.attrsOf types.str);
      serviceConfig = settings;
      unitConfig = settings;
      restartTriggers = option [ ] (types.listOf types.unspecified);
      restartIfChanged = option true types.bool;
      stopIfChanged = option true types.bool;
    };
  };
in
{
  options = {
    assertions = option [ ] (types.listOf types.unspecified);
    warnings = strings;
    boot.isContainer = option false types.bool;
    boot.kernel.sysctl = option { } (types.attrsOf types.unspecified);
    boot.kernelModules = strings;
    environment.etc = option { } (types.attrsOf etc);
    environment.systemPackages = packages;
    networking.dhcpcd.denyInterfaces = strings;
    networking.hostName = option "machine" types.str;
    networking.firewall = {
      enable = option true types.bool;
      allowedTCPPorts = ports;
      allowedTCPPortRanges = ranges;
      allowedUDPPorts = ports;
      allowedUDPPortRanges = ranges;
      trustedInterfaces = strings;
    };
    system.build = option { } (types.lazyAttrsOf types.unspecified);
    system.stateVersion = option "24.05" types.str;
    systemd.packages = packages;
    systemd.services = option { } (types.attrsOf service);
    systemd.tmpfiles.rules = strings;
    users.groups = option { } (types.attrsOf types.unspecified);
    users.users = option { } (types.attrsOf types.unspecified);
    virtualisation = option { } (types.attrsOf types.unspecified);
  };
}
