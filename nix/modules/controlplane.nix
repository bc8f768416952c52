# The control plane: API server, store, controllers and scheduler.
{ config, lib, ... }:
let
  cfg = config.services.floe.controlplane;
  backup = cfg.settings.backup or { };
  credentials = cfg.backupCredentialsFile;
  secret = backup.s3.credentials_file or "";
  inherit (cfg.settings) join join_token_file;
in
{
  imports = [
    (import ../role.nix {
      name = "controlplane";
      summary = "the control plane of a Floe cluster on this machine";
      keys =
        { config, lib }:
        {
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
          peer_listen = lib.mkOption {
            type = lib.types.str;
            default = "[::]:6444";
            example = "10.0.0.1:6444";
            description = "Address and port on which the cluster's other servers are answered, over mutual TLS.";
          };
          join = lib.mkOption {
            type = with lib.types; nullOr (coercedTo str lib.singleton (listOf str));
            default = null;
            example = [
              "10.0.0.1:6444"
              "10.0.0.2:6444"
            ];
            description = "Peer addresses of servers whose cluster this one joins; read once, while it has no state.";
          };
          join_token_file = lib.mkOption {
            type = lib.types.nullOr lib.types.str;
            default =
              if config.services.floe.controlplane.settings.join == null then null else "/etc/floe/join-token";
            defaultText = lib.literalMD "{file}`/etc/floe/join-token` with `join`";
            example = "/run/secrets/floe-join";
            description = "File with the token by which this server joins; keep it out of the Nix store.";
          };
          history = {
            age = lib.mkOption {
              type = lib.types.str;
              default = "24h";
              example = "7d";
              description = "How long versions of objects that were replaced or deleted are kept on disk.";
            };
            versions = lib.mkOption {
              type = lib.types.ints.between 0 100000000;
              default = 100000;
              example = 1000000;
              description = "How many of them are kept; each is read and checked when the server starts.";
            };
            size = lib.mkOption {
              type = lib.types.str;
              default = "256Mi";
              example = "2Gi";
              description = "How many bytes of them are kept; whichever bound is reached first counts.";
            };
          };
          pod_cidr = lib.mkOption {
            type = lib.types.str;
            default = "10.42.0.0/16";
            example = "10.100.0.0/16";
            description = "Addresses of pods, of which each node gets a part.";
          };
          service_cidr = lib.mkOption {
            type = lib.types.str;
            default = "10.43.0.0/16";
            example = "10.101.0.0/16";
            description = "Addresses of Services; the tenth is the cluster's DNS server.";
          };
        };
      firewall.allowedTCPPorts = [
        6443
        6444
      ];
    })
  ];

  options.services.floe.controlplane.backupCredentialsFile = lib.mkOption {
    type = lib.types.nullOr lib.types.str;
    default = null;
    example = "/run/secrets/floe-s3";
    description = ''
      File with the credentials for `settings.backup.s3`, in the form of {file}`~/.aws/credentials`; systemd hands it to the
      unit alone. Without it, the machine's role is used, or what `settings.backup.s3.credentials_file` names.
    '';
  };

  config = lib.mkIf cfg.enable {
    # The unit may write nothing but its state; backups made by schedule have a directory of their own.
    systemd = {
      services.floe-controlplane.serviceConfig =
        lib.optionalAttrs (backup ? directory) { ReadWritePaths = [ backup.directory ]; }
        // lib.optionalAttrs (credentials != null) { LoadCredential = [ "s3:${credentials}" ]; };
      tmpfiles.rules = lib.optional (backup ? directory) "d '${backup.directory}' 0700 root root -";
    };
    services.floe.controlplane.settings = lib.optionalAttrs (credentials != null) {
      backup.s3.credentials_file = lib.mkDefault "s3";
    };
    assertions = [
      {
        assertion =
          !lib.any (lib.hasPrefix builtins.storeDir) [
            (toString credentials)
            secret
          ];
        message = "services.floe.controlplane: the credentials for backups in a bucket lie in the Nix store, which everyone can read: name a file that is put on the machine by other means in backupCredentialsFile.";
      }
      {
        assertion = !lib.hasPrefix builtins.storeDir (toString join_token_file);
        message = "services.floe.controlplane.settings.join_token_file lies in the Nix store, which everyone can read, and it lets servers in: name a file that is copied to the machine, such as /etc/floe/join-token.";
      }
      {
        assertion = (join == null) == (join_token_file == null);
        message = "services.floe.controlplane.settings: join and join_token_file need each other; leave both out on the first server.";
      }
      {
        assertion = join == null || join != [ ] && lib.all (at: builtins.match ".+:[0-9]+" at != null) join;
        message = "services.floe.controlplane.settings.join is [ ${toString join} ]: name servers with their peer port, such as 10.0.0.1:6444.";
      }
      {
        assertion = credentials == null || backup.s3 ? bucket;
        message = "services.floe.controlplane.backupCredentialsFile is given and no bucket: set settings.backup.s3.bucket, too.";
      }
      {
        assertion = cfg.settings.pod_cidr != cfg.settings.service_cidr;
        message = "services.floe.controlplane.settings.pod_cidr and service_cidr are both ${cfg.settings.pod_cidr}: choose separate ranges.";
      }
      {
        assertion = builtins.match ".*:[0-9]+" cfg.settings.listen != null;
        message = "services.floe.controlplane.settings.listen is ${cfg.settings.listen}: give an address and a port, such as [::]:6443.";
      }
    ];
  };
}
