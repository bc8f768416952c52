//! Three nodes, real kubectl, real systemd: what needs more than one machine.

mod applications;
mod lifecycle;
mod names;
mod nodes;
mod operators;
mod outage;
mod outside;
mod overlay;
mod ports;
mod registry;
mod services;

use std::process::ExitCode;

use tests_machine::{ClusterTest, Shared};

const SHARED: Shared = Shared {
    name: "t-net",
    nodes: 3,
};

const TOGETHER: &[ClusterTest] = &[
    (
        "a_client_finds_redis_by_name_and_a_web_front_is_reached_from_outside",
        applications::several_parts,
    ),
    (
        "helm_installs_upgrades_rolls_back_and_removes_a_chart",
        applications::chart,
    ),
    ("every_node_is_ready_and_shows_its_address", nodes::shown),
    (
        "a_second_machine_of_one_name_waits_and_says_what_to_do",
        nodes::one_name_twice,
    ),
    (
        "a_deployment_is_exposed_and_its_slices_are_shown",
        operators::exposed,
    ),
    (
        "pods_and_nodes_reach_every_pod_and_are_seen_as_themselves",
        overlay::matrix,
    ),
    (
        "the_largest_packet_of_a_pod_fits_through_the_overlay",
        overlay::large_packets,
    ),
    (
        "endpoint_slices_follow_readiness_scale_and_their_service",
        lifecycle::endpoints,
    ),
    (
        "what_an_owner_owned_follows_it_as_kubectl_asks",
        lifecycle::cascades,
    ),
    (
        "a_namespace_says_what_holds_it_and_takes_all_along",
        lifecycle::namespaces,
    ),
    (
        "machines_and_pods_reach_other_networks_as_this_host_and_are_not_reached_from_there",
        outside::reached,
    ),
    ("every_dns_policy_finds_the_names_that_it_should", names::policies),
    (
        "pods_of_a_headless_service_have_names_on_every_node",
        names::records,
    ),
    (
        "a_host_port_is_reached_from_everywhere_and_goes_with_its_pod",
        ports::everywhere,
    ),
    (
        "pods_share_a_host_port_on_different_addresses_and_protocols",
        ports::no_conflict,
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
    (
        "an_image_whose_tag_moved_is_pulled_by_policy_always",
        registry::moved_tag,
    ),
    (
        "every_kind_of_service_is_reached_from_pods_and_nodes",
        services::matrix,
    ),
    (
        "a_node_port_is_reached_from_outside_from_pods_and_from_nodes",
        services::node_ports,
    ),
    ("a_service_follows_its_pods_and_its_selector", services::changes),
    (
        "the_kubernetes_service_leads_to_the_api_server",
        services::kubernetes,
    ),
];

const ALONE: &[ClusterTest] = &[
    (
        "a_node_cut_off_keeps_its_pods_and_is_reached_again_once_healed",
        applications::cut_off_and_healed,
    ),
    (
        "an_overlay_that_others_changed_is_repaired_and_reported",
        overlay::vandalised,
    ),
    (
        "a_node_that_comes_is_reached_and_one_that_goes_is_forgotten",
        overlay::comes_and_goes,
    ),
    (
        "a_node_stays_ready_while_its_agent_restarts",
        overlay::agent_restarted,
    ),
    ("another_network_wins_and_ours_comes_back", overlay::other_network),
    (
        "a_pod_network_that_is_in_use_on_the_host_is_refused",
        overlay::network_in_use,
    ),
    (
        "a_cordoned_node_gets_no_pods_and_a_drained_one_gives_its_own_away",
        operators::drained,
    ),
    ("a_node_joins_and_leaves_and_its_pods_move", nodes::comes_and_goes),
    (
        "a_node_that_was_powered_off_comes_back",
        nodes::stopped_and_started,
    ),
    (
        "pods_of_a_lost_node_are_replaced_and_it_comes_back_clean",
        lifecycle::lost_node,
    ),
    (
        "a_node_cut_off_until_it_is_not_ready_is_ready_soon_after_it_heals",
        lifecycle::cut_off,
    ),
    (
        "names_are_answered_while_the_agent_is_restarted",
        names::agent_restarted,
    ),
    ("a_flushed_ruleset_is_repaired_and_reported", services::vandalised),
    ("host_ports_that_others_took_away_are_put_back", ports::vandalised),
    (
        "pods_services_and_names_are_reached_while_the_api_server_is_away_for_a_minute",
        outage::a_minute,
    ),
];

fn main() -> ExitCode {
    tests_machine::main(SHARED, TOGETHER, ALONE)
}
