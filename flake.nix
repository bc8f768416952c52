{
  description = "Floe: a Kubernetes-compatible cluster whose pods are systemd units";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      perSystem = build: lib.genAttrs systems (system: build nixpkgs.legacyPackages.${system});
      nixFiles = import ./nix/files.nix { inherit lib; };
    in
    {
      packages = perSystem (pkgs: rec {
        floe = pkgs.callPackage ./nix/package.nix { src = self; };
        default = floe;
      });

      overlays.default = final: _: {
        floe = final.callPackage ./nix/package.nix { src = self; };
      };

      # One for each file of nix/modules, and `default` with them all.
      nixosModules =
        let
          # Where the system's own package set has no Floe, the package is this flake's.
          ownPackage = {
            key = "floe-package";
            imports = [
              (
                { pkgs, ... }:
                {
                  services.floe.package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.floe;
                }
              )
            ];
          };
          role = file: {
            imports = [
              file
              ownPackage
            ];
          };
          roles = lib.mapAttrs (_: role) (nixFiles ./nix/modules);
        in
        roles // { default.imports = lib.attrValues roles; };

      # One for each file of nix/checks, and `vm-…` for each of tests/vm.
      checks = perSystem (
        pkgs:
        let
          machines = import ./nix/machines.nix {
            inherit lib self;
            inherit (pkgs.stdenv.hostPlatform) system;
          };
          given = {
            inherit
              pkgs
              lib
              self
              machines
              ;
          };
          made = folder: lib.mapAttrs (_: file: import file given) (nixFiles folder);
          vm = name: test: lib.nameValuePair "vm-${name}" (pkgs.testers.runNixOSTest test);
        in
        made ./nix/checks // lib.mapAttrs' vm (made ./tests/vm)
      );

      formatter = perSystem (pkgs: pkgs.nixfmt-tree);
    };
}
