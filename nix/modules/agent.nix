# A node: the agent and the mount namespace of its pods.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.floe.agent;
  # Where Services of type NodePort are reached.
  nodePorts = {
    from = 30000;
    to = 32767;
  };
in
{
  imports = [
    (import ../role.nix {
      name = "agent";
      summary = "the agent of a Floe cluster, which makes this machine a node";
      keys =
        { config, lib }:
        {
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
          cni_bin_dir = lib.mkOption {
            type = lib.types.str;
            default = "${config.services.floe.package}/lib/floe/cni";
            defaultText = lib.literalExpression ''"''${config.services.floe.package}/lib/floe/cni"'';
            example = "/opt/cni/bin";
            description = "Folder of the CNI plugins.";
          };
        };
      firewall = {
        allowedTCPPorts = [ 10250 ];
        allowedTCPPortRanges = [ nodePorts ];
        allowedUDPPorts = [ 8472 ];
        allowedUDPPortRanges = [ nodePorts ];
        trustedInterfaces = [
          "floe0"
          "floe.vx"
        ];
      };
    })
  ];

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
      "vxlan"
    ];
    # Pods have their addresses from the agent.
    networking.dhcpcd.denyInterfaces = [
      "floe*"
      "veth*"
    ];
    systemd.services = {
      floe-agent = {
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
