# The package builds.
{ pkgs, self, ... }:
self.packages.${pkgs.stdenv.hostPlatform.system}.floe
