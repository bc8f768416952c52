# Good configurations evaluate, and what the machine gets is what they say.
{
  pkgs,
  lib,
  machines,
  ...
}:
let
  both = (machines.machine machines.both).config;
  node = (machines.machine machines.node).config;
  none = (machines.machine { }).config;
  scheduled =
    (machines.machine {
      imports = [ machines.both ];
      services.floe.controlplane.settings.backup = {
        directory = "/srv/backups";
        interval = "1h";
      };
    }).config;
  uploaded =
    (machines.machine {
      imports = [ machines.both ];
      services.floe.controlplane.settings.backup.s3.bucket = "floe";
      services.floe.controlplane.backupCredentialsFile = "/run/secrets/s3";
    }).config;
  joining =
    (machines.machine {
      imports = [ machines.both ];
      services.floe.controlplane.settings.join = "10.0.0.2:6444";
    }).config;
  writable = machine: machine.systemd.services.floe-controlplane.serviceConfig.ReadWritePaths or [ ];
  expect = what: holds: lib.assertMsg holds "expected: ${what}";
in
assert expect "a machine with no role has no daemon" (
  !none.systemd.services ? floe-agent && none.systemd.packages == [ ]
);
assert expect "a machine opens no port unless asked" (
  !lib.elem 6443 both.networking.firewall.allowedTCPPorts
);
assert expect "openFirewall opens the overlay and trusts the pods' links" (
  lib.elem 8472 node.networking.firewall.allowedUDPPorts
  && lib.elem "floe0" node.networking.firewall.trustedInterfaces
);
assert expect "an agent is not stopped before it is replaced, and the pods' namespace never" (
  !node.systemd.services.floe-agent.stopIfChanged
  && !node.systemd.services.floe-mounts.restartIfChanged
);
assert expect "a schedule of backups opens their directory to the unit, and nothing else does" (
  writable scheduled == [ "/srv/backups" ]
  && scheduled.systemd.tmpfiles.rules == [ "d '/srv/backups' 0700 root root -" ]
  && writable both == [ ]
);
assert expect "credentials for a bucket go through systemd, and no directory is opened" (
  uploaded.systemd.services.floe-controlplane.serviceConfig.LoadCredential == [ "s3:/run/secrets/s3" ]
  && uploaded.services.floe.controlplane.settings.backup.s3.credentials_file == "s3"
  && writable uploaded == [ ]
);
pkgs.runCommand "floe-modules"
  {
    both = both.system.build.etc;
    node = node.system.build.etc;
    joining = joining.system.build.etc;
  }
  ''
    for role in controlplane agent; do
      test -s $both/etc/floe/$role.toml
      grep -q '^ExecStart=/nix/store/.*/bin/floe-'$role $both/etc/systemd/system/floe-$role.service
    done
    grep -qx 'server = "https://10.0.0.1:6443"' $node/etc/floe/agent.toml
    grep -qx 'max_pods = 250' $node/etc/floe/agent.toml
    test ! -e $node/etc/floe/controlplane.toml
    ! grep join $both/etc/floe/controlplane.toml
    grep -qx 'join = \["10.0.0.2:6444"\]' $joining/etc/floe/controlplane.toml
    grep -qx 'join_token_file = "/etc/floe/join-token"' $joining/etc/floe/controlplane.toml
    grep -qx vxlan $node/etc/modules-load.d/nixos.conf
    touch $out
  ''
