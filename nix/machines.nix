# Machines of the checks: configurations by name, on top of all roles.
{
  lib,
  self,
  system,
}:
let
  machine =
    module:
    lib.nixosSystem {
      inherit system;
      modules = [
        self.nixosModules.default
        {
          boot.isContainer = true;
          system.stateVersion = "25.11";
        }
        module
      ];
    };
in
{
  inherit machine;

  # Every role on one machine, as `floe up` makes it.
  both = {
    services.floe = {
      controlplane.enable = true;
      controlplane.settings.advertise_address = "10.0.0.1";
      agent.enable = true;
      agent.settings.server = "https://10.0.0.1:6443";
    };
  };

  # A machine that only runs pods.
  node = {
    services.floe.agent = {
      enable = true;
      openFirewall = true;
      settings = {
        server = "https://10.0.0.1:6443";
        ca_file = "/etc/floe/ca.crt";
        max_pods = 250;
      };
    };
  };
}
