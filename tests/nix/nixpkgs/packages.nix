# Packages whose programs are the host's: they build at once, with a shell and nothing else.
{ lib }:
system:
let
  hostPath = "/usr/sbin:/usr/bin:/sbin:/bin";

  build =
    name: env: script:
    let
      tools = lib.makeBinPath (env.nativeBuildInputs or [ ]);
    in
    # A derivation of Nix itself knows nothing of packages' attributes such as `meta`.
    lib.extendDerivation true { meta = { }; } (
      builtins.derivation (
        {
          inherit name system;
          builder = "/bin/bash";
          args = [
            "-euc"
            # Were the last program run in the shell's place, it would close its output before it ends, and Nix
            # kills a builder whose output is closed.
            "${script}\nexit 0"
          ];
          PATH = "${tools}${lib.optionalString (tools != "") ":"}${hostPath}";
        }
        // env
      )
    );

  # A package with the host's `programs`, given by their paths.
  linked =
    name: programs:
    build name { inherit programs; } ''
      mkdir -p $out/bin
      for program in $programs; do ln -s $program $out/bin/; done
    '';

  toml = import ./toml.nix { inherit lib build; };

  # Where programs of ours lie on the machine that runs what is built here; without, they are stood in for.
  binaries = import ./binaries.nix;

  # The phases of stdenv that our package has a part in.
  buildRustPackage =
    args:
    build "${args.pname}-${args.version}" { inherit (args) src postInstall; } ''
      mkdir -p $out/bin
      for program in floe floe-agent floe-cni floe-controlplane floe-run; do
        ln -s ${if binaries == null then "/usr/bin/true" else "${binaries}/$program"} $out/bin/$program
      done
      substitute() {
        grep --quiet --fixed-strings -- "$4" "$1" || { echo "no $4 in $1" >&2; exit 1; }
        sed "s|$4|$5|g" "$1" > "$2"
      }
      cd $src
      eval "$postInstall"
    '';

  pkgs = {
    inherit lib system;
    stdenv = {
      inherit system;
      # Its programs are not run at the build: they need not be there yet.
      buildPlatform.canExecute = _: false;
      hostPlatform = { inherit system; };
    };
    callPackage =
      file: args:
      let
        function = import file;
      in
      function (builtins.intersectAttrs (builtins.functionArgs function) pkgs // args);
    runCommand = build;
    formats.toml = toml;
    rustPlatform = { inherit buildRustPackage; };
    testers.runNixOSTest = import ./vm-test.nix { inherit lib build system; };

    installShellFiles = linked "install-shell-files" [ ];
    nixfmt = build "nixfmt" { } "mkdir -p $out/bin; ln -s ${import ./nixfmt.nix} $out/bin/nixfmt";
    nixfmt-tree = pkgs.nixfmt;

    coreutils = linked "coreutils" (
      map (name: "/usr/bin/${name}") [
        "cat"
        "cp"
        "echo"
        "false"
        "ls"
        "mkdir"
        "mv"
        "rm"
        "sleep"
        "true"
      ]
    );
    findutils = linked "findutils" [
      "/usr/bin/find"
      "/usr/bin/xargs"
    ];
    gnugrep = linked "gnugrep" [ "/usr/bin/grep" ];
    gnused = linked "gnused" [ "/usr/bin/sed" ];
    systemd = linked "systemd" [
      "/usr/bin/systemctl"
      "/usr/bin/systemd-analyze"
    ];
    bash = linked "bash" [ "/usr/bin/bash" ];
    busybox = linked "busybox" [ "/usr/bin/busybox" ];
    crun = linked "crun" [ "/usr/bin/crun" ];
    jq = linked "jq" [ "/usr/bin/jq" ];
    kubectl = linked "kubectl" [ "/usr/bin/kubectl" ];
    nftables = linked "nftables" [ "/usr/sbin/nft" ];
    pkgsStatic.busybox = pkgs.busybox;
    umoci = linked "umoci" [ "/usr/bin/umoci" ];
  };
in
pkgs
