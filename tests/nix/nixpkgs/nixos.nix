# `lib.nixosSystem` over the options that our modules set.
{ lib, packages }:
{
  modules,
  system ? "x86_64-linux",
  specialArgs ? { },
}:
lib.evalModules {
  inherit specialArgs;
  modules = [
    ./options.nix
    ./etc.nix
    ./units.nix
    { _module.args.pkgs = packages system; }
  ]
  ++ modules;
}
