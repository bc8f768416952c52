//! Three nodes, real kubectl, real systemd: what needs more than one machine.

mod names;
mod nodes;
mod registry;

use std::process::ExitCode;

use tests_machine::{ClusterTest, Shared};

const SHARED: Shared = Shared {
    name: "t-net",
    nodes: 3,
};

const TOGETHER: &[ClusterTest] = &[
    ("every_node_is_ready_and_shows_its_address", nodes::shown),
    ("every_dns_policy_finds_the_names_that_it_should", names::policies),
    (
        "pods_of_a_headless_service_have_names_on_every_node",
        names::records,
    ),
    (
        "every_node_pulls_an_image_and_tells_how_long_it_took",
        registry::anonymous,
    ),
    (
        "a_private_image_needs_the_right_secret_and_the_reason_is_told",
        registry::secrets,
    ),
    (
        "a_pulled_image_starts_while_its_registry_is_away",
        registry::registry_away,
    ),
    ("a_mirror_gives_the_image_that_docker_hub_would", registry::mirror),
];

const ALONE: &[ClusterTest] = &[
    ("a_node_joins_and_leaves_and_its_pods_move", nodes::comes_and_goes),
    (
        "a_node_that_was_powered_off_comes_back",
        nodes::stopped_and_started,
    ),
    ("names_are_answered_while_the_api_server_is_away", names::api_away),
];

fn main() -> ExitCode {
    match tests_machine::run(SHARED, TOGETHER, ALONE) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            report(&err);
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a test program has no other way to say why it did not start"
)]
fn report(err: &anyhow::Error) {
    eprintln!("the cluster of these tests does not run: {err:#}");
}
