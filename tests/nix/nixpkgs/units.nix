# The units of a machine: those of packages, with what the configuration adds in a drop-in beside, as NixOS does.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  # What NixOS gives every service.
  always = [
    pkgs.coreutils
    pkgs.findutils
    pkgs.gnugrep
    pkgs.gnused
    pkgs.systemd
  ];
  text = value: if lib.isBool value then lib.boolToString value else toString value;
  assignment = key: value: lib.concatMapStrings (one: "${key}=${text one}\n") (lib.toList value);
  section =
    name: attrs:
    lib.optionalString (
      attrs != { }
    ) "[${name}]\n${lib.concatStrings (lib.mapAttrsToList assignment attrs)}";
  unless = condition: attrs: lib.optionalAttrs (!condition) attrs;
  filled = lib.filterAttrs (_: value: value != [ ] && value != "");

  unit =
    service:
    section "Unit" (
      filled {
        Description = service.description;
        After = service.after;
        Requires = service.requires;
        Wants = service.wants;
      }
      // service.unitConfig
      // lib.optionalAttrs (service.restartTriggers != [ ]) {
        X-Restart-Triggers = toString service.restartTriggers;
      }
    )
    + section "Service" (
      {
        Environment = lib.mapAttrsToList (key: value: ''"${key}=${value}"'') (
          service.environment // { PATH = lib.makeBinPath (service.path ++ always); }
        );
      }
      // unless service.restartIfChanged { X-RestartIfChanged = false; }
      // unless service.stopIfChanged { X-StopIfChanged = false; }
      // service.serviceConfig
    );
in
{
  system.build.units = pkgs.runCommand "units" { packages = lib.unique config.systemd.packages; } (
    ''
      mkdir -p $out
      for package in $packages; do
        for unit in $package/lib/systemd/system/*; do ln -s $unit $out/; done
      done
    ''
    + lib.concatStrings (
      lib.mapAttrsToList (name: service: ''
        target=$out/${name}.service
        [ ! -e $target ] || { mkdir $target.d; target=$target.d/overrides.conf; }
        cat > $target <<'END_OF_UNIT'
        ${unit service}
        END_OF_UNIT
        for target in ${toString service.wantedBy}; do
          mkdir -p $out/$target.wants
          ln -s ../${name}.service $out/$target.wants/
        done
      '') config.systemd.services
    )
  );
}
