# What all roles of a machine share: one version of Floe.
{ lib, pkgs, ... }:
{
  options.services.floe.package = lib.mkPackageOption pkgs "floe" { };
}
