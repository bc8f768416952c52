# A machine with every role becomes a node that runs a pod, and a restart of the daemons leaves the pod alone.
{ pkgs, self, ... }:
let
  kubectl = "kubectl --kubeconfig /var/lib/floe/controlplane/kubeconfig/admin.kubeconfig";
  token = "abcdef.0123456789abcdef";
  busybox = pkgs.runCommand "busybox-image" { nativeBuildInputs = [ pkgs.umoci ]; } ''
    mkdir -p root/bin
    cp ${pkgs.pkgsStatic.busybox}/bin/busybox root/bin/
    umoci init --layout $out
    umoci new --image $out:1
    umoci insert --rootless --image $out:1 root /
    sed -i 's|"org.opencontainers.image.ref.name":"1"|"org.opencontainers.image.ref.name":"localhost/busybox:1"|' $out/index.json
  '';
  pod = pkgs.runCommand "pod.json" {
    text = builtins.toJSON {
      apiVersion = "v1";
      kind = "Pod";
      metadata.name = "sleeper";
      spec.containers = [
        {
          name = "main";
          image = "localhost/busybox:1";
          command = [
            "/bin/busybox"
            "sleep"
            "3600"
          ];
        }
      ];
    };
  } "printf %s \"$text\" > $out";
in
{
  name = "node";

  nodes.machine = {
    imports = [ self.nixosModules.default ];
    virtualisation.memorySize = 2048;
    environment.systemPackages = [ pkgs.kubectl ];
    environment.etc = {
      "floe/bootstrap-token" = {
        text = token;
        mode = "0600";
      };
      "test/busybox".source = busybox;
      "test/pod.json".source = pod;
    };
    services.floe = {
      controlplane.enable = true;
      controlplane.settings.advertise_address = "192.168.1.1";
      agent.enable = true;
      agent.settings.server = "https://192.168.1.1:6443";
    };
  };

  # Simple calls only, one a line: Debian machines run them, too.
  testScript = ''
    machine.wait_for_unit("floe-mounts.service")
    machine.wait_for_unit("floe-controlplane.service")
    machine.wait_for_open_port(6443)
    machine.wait_for_unit("floe-agent.service")
    machine.wait_until_succeeds("${kubectl} wait --for=condition=Ready node --all --timeout=5s")
    machine.succeed("floe-agent image load /etc/test/busybox/")
    machine.wait_until_succeeds("${kubectl} apply --server-side=false -f /etc/test/pod.json")
    machine.wait_until_succeeds("${kubectl} wait --for=condition=Ready pod/sleeper --timeout=5s")
    machine.succeed("systemctl show --property=MainPID 'floe-default:sleeper:*:main.service' > /tmp/before")
    machine.succeed("systemctl restart floe-controlplane.service floe-agent.service")
    machine.wait_until_succeeds("${kubectl} wait --for=condition=Ready pod/sleeper --timeout=5s")
    machine.succeed("systemctl show --property=MainPID 'floe-default:sleeper:*:main.service' | cmp - /tmp/before")
    machine.fail("systemctl --failed --quiet --no-legend | grep .")
  '';
}
