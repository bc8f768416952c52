# The units of a machine with every role are as systemd wants them, and no more exposed than they must be.
{
  pkgs,
  lib,
  machines,
  ...
}:
let
  inherit ((machines.machine machines.both).config.system.build) etc;

  # The most that `systemd-analyze security` may say of each unit, times ten. The agent makes mounts, namespaces
  # and links for others, with every capability; a control plane listens and writes one folder.
  thresholds = {
    floe-controlplane = 20;
    floe-agent = 96;
    floe-mounts = 95;
  };
in
pkgs.runCommand "floe-units" { nativeBuildInputs = [ pkgs.systemd ]; } ''
  units=${etc}/etc/systemd/system
  for unit in $units/floe-*.service; do
    case ''${unit##*/} in
      ${lib.concatMapStringsSep "|" (name: "${name}.service") (lib.attrNames thresholds)}) ;;
      *) echo "$unit has no threshold in nix/checks/units.nix" >&2; exit 1 ;;
    esac
  done
  # Manual pages are the package's, which these units do not know the place of.
  systemd-analyze verify --man=no $units/floe-*.service 2> said || { cat said; exit 1; }
  # Keys and values that systemd does not know are told, and are no error to it.
  ! grep floe- said || exit 1
  ${lib.concatStrings (
    lib.mapAttrsToList (name: most: ''
      systemd-analyze security --offline=true --threshold=${toString most} $units/${name}.service > report ||
        { cat report; echo "${name}.service is more exposed than ${toString most} of 100"; exit 1; }
    '') thresholds
  )}
  touch $out
''
