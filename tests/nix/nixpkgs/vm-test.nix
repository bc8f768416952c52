# `pkgs.testers.runNixOSTest`: not the run, but all that a runner on Debian machines needs.
{
  lib,
  build,
  system,
}:
test:
let
  machine =
    module:
    lib.nixosSystem {
      inherit system;
      modules = [ module ];
    };
  machines = lib.mapAttrs (_: module: (machine module).config.system.build.toplevel) test.nodes;
in
build "vm-test-${test.name}" { inherit (test) testScript; } (
  ''
    mkdir -p $out/nodes
    printf %s "$testScript" > $out/test-script
  ''
  + lib.concatStrings (lib.mapAttrsToList (name: etc: "ln -s ${etc} $out/nodes/${name}\n") machines)
)
