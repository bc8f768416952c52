# Every .nix file is as `nix fmt` writes it.
{ pkgs, self, ... }:
pkgs.runCommand "floe-nix-format" { nativeBuildInputs = [ pkgs.nixfmt ]; } ''
  find ${self} -name '*.nix' -exec nixfmt --check {} +
  touch $out
''
