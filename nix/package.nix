# The whole workspace: the `floe` command, the daemons, the CNI plugins and their units.
{
  lib,
  stdenv,
  rustPlatform,
  installShellFiles,
  src,
}:
let
  workspace = (lib.importTOML ../Cargo.toml).workspace.package;
in
rustPlatform.buildRustPackage {
  pname = "floe";
  inherit (workspace) version;
  inherit src;

  cargoLock.lockFile = ../Cargo.lock;
  # What a machine runs; the schema generator and the tests are left out.
  cargoBuildFlags = [
    "--package=controlplane-cli"
    "--package=controlplane-bin"
    "--package=agent-bin"
    "--package=agent-run"
    "--package=cni-plugins-bin"
  ];
  # tests/run runs them: most need root, a systemd and network namespaces, which the sandbox denies.
  doCheck = false;

  nativeBuildInputs = [ installShellFiles ];

  # The plugins are one program that goes by the name it is called.
  postInstall = ''
    mkdir -p $out/lib/systemd/system $out/lib/floe/cni
    for unit in systemd/*.service; do
      substitute $unit $out/lib/systemd/system/''${unit##*/} --replace-fail /usr/bin/ $out/bin/
    done
    for plugin in bridge host-local loopback portmap vxlan; do
      ln -s $out/bin/floe-cni $out/lib/floe/cni/$plugin
    done
  ''
  + lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    for shell in bash fish zsh; do
      $out/bin/floe completion $shell > floe.$shell
    done
    installShellCompletion --cmd floe --bash floe.bash --fish floe.fish --zsh floe.zsh
    mkdir -p man
    $out/bin/floe man man
    installManPage man/*
  '';

  meta = {
    description = "Kubernetes-compatible cluster whose pods are systemd units";
    license = lib.licenses.asl20;
    mainProgram = "floe";
    platforms = lib.platforms.linux;
  };
}
