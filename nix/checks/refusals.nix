# Bad configurations are refused, in words that say what to change.
{
  pkgs,
  lib,
  machines,
  ...
}:
let
  # The one assertion that a change of a good configuration breaks.
  said =
    change:
    let
      all =
        (machines.machine {
          imports = [
            machines.both
            change
          ];
        }).config.assertions;
    in
    map (one: one.message) (lib.filter (one: !one.assertion) all);
  settings = role: values: {
    services.floe.${role}.settings = lib.mapAttrs (_: lib.mkForce) values;
  };

  worded = {
    "give a URL such as https://10.0.0.1:6443" = settings "agent" { server = "10.0.0.1:6443"; };
    "name a file that is put on the machine by other means" = settings "agent" {
      bootstrap_token_file = "${builtins.storeDir}/token";
    };
    "which everyone can read" = settings "controlplane" {
      bootstrap_token_file = "${builtins.storeDir}/token";
    };
    "give an absolute path" = settings "agent" { bootstrap_token_file = "token"; };
    "credentials for backups in a bucket lie in the Nix store" = {
      services.floe.controlplane.settings.backup.s3.bucket = "floe";
      services.floe.controlplane.backupCredentialsFile = "${builtins.storeDir}/s3";
    };
    "is given and no bucket" = {
      services.floe.controlplane.backupCredentialsFile = "/run/secrets/s3";
    };
    "and it lets servers in" = settings "controlplane" {
      join = [ "10.0.0.2:6444" ];
      join_token_file = "${builtins.storeDir}/join-token";
    };
    "leave both out on the first server" = settings "controlplane" {
      join_token_file = "/etc/floe/join-token";
    };
    "name servers with their peer port" = settings "controlplane" { join = [ "10.0.0.2" ]; };
    "choose separate ranges" = settings "controlplane" { service_cidr = "10.42.0.0/16"; };
    "give an address and a port" = settings "controlplane" { listen = "10.0.0.1"; };
  };
  wrongWords = lib.filterAttrs (
    words: change:
    let
      messages = said change;
    in
    !(lib.length messages == 1 && lib.hasInfix words (lib.head messages))
  ) worded;

  # Values of another type, and what cannot be left out.
  untyped = {
    "a port as the address" = settings "controlplane" { listen = 6443; };
    "an option that does not exist" = {
      services.floe.agent.sever = "https://10.0.0.1:6443";
    };
  };
  toml = change: (machines.machine change).config.environment.etc."floe/agent.toml".source.drvPath;
  accepted = lib.filterAttrs (
    _: change:
    (builtins.tryEval (
      builtins.deepSeq (said change) (toml {
        imports = [
          machines.both
          change
        ];
      })
    )).success
  ) untyped;
  serverless = builtins.tryEval (toml {
    services.floe.agent.enable = true;
  });
in
assert lib.assertMsg (said { } == [ ]) "the good configuration is refused: ${toString (said { })}";
assert lib.assertMsg (
  wrongWords == { }
) "not refused in these words: ${toString (lib.attrNames wrongWords)}";
assert lib.assertMsg (accepted == { }) "accepted: ${toString (lib.attrNames accepted)}";
assert lib.assertMsg (!serverless.success) "an agent without a server was accepted";
pkgs.runCommand "floe-refusals" { } "touch $out"
