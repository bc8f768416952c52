# The control plane: API server, store, controllers and scheduler.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.floe.controlplane;
  toml = pkgs.formats.toml { };
  configFile = toml.generate "controlplane.toml" cfg.settings;
in
{
  imports = [ ../package-option.nix ];

  options.services.floe.controlplane = {
    enable = lib.mkEnableOption "the control plane of a Floe cluster on this machine";
    settings = lib.mkOption {
      description = "Contents of {file}`controlplane.toml`; a key the daemon does not know keeps it from starting.";
      default = { };
      type = lib.types.submodule {
        freeformType = toml.type;
        options = {
          listen = lib.mkOption {
            type = lib.types.str;
            default = "[::]:6443";
            example = "10.0.0.1:6443";
            description = "Address and port on which the API is served over TLS.";
          };
          advertise_address = lib.mkOption {
            type = lib.types.str;
            example = "10.0.0.1";
            description = "IP address at which nodes and clients reach the API; it is in the certificate.";
          };
          bootstrap_token_file = lib.mkOption {
            type = lib.types.str;
            default = "/etc/floe/bootstrap-token";
            description = "File with the token by which nodes join; keep it out of the Nix store.";
          };
        };
      };
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = !lib.hasPrefix builtins.storeDir cfg.settings.bootstrap_token_file;
        message = "services.floe.controlplane.settings.bootstrap_token_file lies in the Nix store, which everyone can read: name a file that is put on the machine by other means, such as /etc/floe/bootstrap-token.";
      }
    ];
    environment.etc."floe/controlplane.toml".source = configFile;
    environment.systemPackages = [ config.services.floe.package ];
    systemd.packages = [ config.services.floe.package ]; # the unit with its hardening
    systemd.services.floe-controlplane = {
      wantedBy = [ "multi-user.target" ];
      restartTriggers = [ configFile ];
    };
  };
}
