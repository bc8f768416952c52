# A node: the agent and the mount namespace of its pods.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.floe.agent;
  toml = pkgs.formats.toml { };
  configFile = toml.generate "agent.toml" cfg.settings;
in
{
  imports = [ ../package-option.nix ];

  options.services.floe.agent = {
    enable = lib.mkEnableOption "the agent of a Floe cluster, which makes this machine a node";
    settings = lib.mkOption {
      description = "Contents of {file}`agent.toml`; a key the daemon does not know keeps it from starting.";
      default = { };
      type = lib.types.submodule {
        freeformType = toml.type;
        options = {
          server = lib.mkOption {
            type = lib.types.str;
            example = "https://10.0.0.1:6443";
            description = "URL of the API server.";
          };
          ca_file = lib.mkOption {
            type = lib.types.str;
            default = "/var/lib/floe/controlplane/pki/ca/ca.crt";
            example = "/etc/floe/ca.crt";
            description = "Certificate of the cluster's CA; the default is where a control plane on the same machine keeps it.";
          };
          bootstrap_token_file = lib.mkOption {
            type = lib.types.str;
            default = "/etc/floe/bootstrap-token";
            description = "File with the token by which this node joins; keep it out of the Nix store.";
          };
          cni_bin_dir = lib.mkOption {
            type = lib.types.str;
            default = "${config.services.floe.package}/lib/floe/cni";
            defaultText = lib.literalExpression ''"''${config.services.floe.package}/lib/floe/cni"'';
            description = "Folder of the CNI plugins.";
          };
        };
      };
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = lib.hasPrefix "https://" cfg.settings.server;
        message = "services.floe.agent.settings.server is ${cfg.settings.server}: give a URL such as https://10.0.0.1:6443.";
      }
    ];
    boot.kernelModules = [
      "br_netfilter"
      "overlay"
    ];
    environment.etc."floe/agent.toml".source = configFile;
    environment.systemPackages = [ config.services.floe.package ];
    systemd.packages = [ config.services.floe.package ]; # the units with their hardening
    systemd.services = {
      floe-agent = {
        wantedBy = [ "multi-user.target" ];
        restartTriggers = [ configFile ];
        # Pods go on while the agent is replaced, so there is nothing to stop beforehand.
        stopIfChanged = false;
        path = [
          pkgs.crun
          pkgs.nftables
        ];
      };
      # Running pods live in the namespace that this unit made: never stopped, never restarted.
      floe-mounts = {
        wantedBy = [ "multi-user.target" ];
        restartIfChanged = false;
      };
    };
  };
}
