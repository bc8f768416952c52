# A role that a machine can have: a daemon, run by the unit of the package, with a settings file of its own.
{
  name,
  # Completes "Whether to enable …".
  summary,
  # The keys of the file that have a description here; others are passed on, and the daemon knows them.
  keys,
  # What others must reach: `allowedTCPPorts`, `trustedInterfaces` and so on.
  firewall,
}:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.floe.${name};
  toml = pkgs.formats.toml { };
  # TOML has no null: such a key is left out, and the daemon's default holds.
  given = lib.filterAttrsRecursive (_: value: value != null) cfg.settings;
  configFile = toml.generate "${name}.toml" given;
  token = cfg.settings.bootstrap_token_file;
in
{
  imports = [ ./machine.nix ];

  options.services.floe.${name} = {
    enable = lib.mkEnableOption summary;
    openFirewall = lib.mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description = "Whether to let other machines reach what this role listens on.";
    };
    settings = lib.mkOption {
      description = "Contents of {file}`${name}.toml`; a key the daemon does not know keeps it from starting.";
      default = { };
      type = lib.types.submodule {
        freeformType = toml.type;
        options = keys { inherit config lib; } // {
          bootstrap_token_file = lib.mkOption {
            type = lib.types.str;
            default = "/etc/floe/bootstrap-token";
            example = "/run/secrets/floe-token";
            description = "File with the token by which nodes join; keep it out of the Nix store.";
          };
        };
      };
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = !lib.hasPrefix builtins.storeDir token;
        message = "services.floe.${name}.settings.bootstrap_token_file lies in the Nix store, which everyone can read: name a file that is put on the machine by other means, such as /etc/floe/bootstrap-token.";
      }
      {
        assertion = lib.hasPrefix "/" token;
        message = "services.floe.${name}.settings.bootstrap_token_file is ${token}: give an absolute path.";
      }
    ];
    environment.etc."floe/${name}.toml".source = configFile;
    environment.systemPackages = [ config.services.floe.package ];
    networking.firewall = lib.mkIf cfg.openFirewall firewall;
    systemd.packages = [ config.services.floe.package ]; # the units with their hardening
    systemd.services."floe-${name}" = {
      wantedBy = [ "multi-user.target" ];
      restartTriggers = [ configFile ];
    };
  };
}
