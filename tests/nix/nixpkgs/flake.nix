# What Floe's flake uses of nixpkgs, for machines that cannot fetch it: the real `lib` (tests/nix/run lays it
# beside this file), the options that our modules set, and packages that stand for Debian's programs.
{
  outputs =
    _:
    let
      packages = import ./packages.nix { inherit lib; };
      lib = (import ./lib).extend (
        final: _: {
          nixosSystem = import ./nixos.nix {
            lib = final;
            inherit packages;
          };
        }
      );
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] packages;
    };
}
