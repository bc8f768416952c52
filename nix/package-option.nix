# The package that every role of this machine runs: one version of Floe on a node.
{ lib, pkgs, ... }:
{
  options.services.floe.package = lib.mkPackageOption pkgs "floe" { };
}
