//! One cluster, real kubectl, real systemd.

#![expect(
    clippy::indexing_slicing,
    reason = "an absent member of a JSON value indexes to null, never a panic"
)]

mod admission;
mod away;
mod backup;
mod debug;
mod deletion;
mod disk;
mod faults;
mod hooks;
mod killed;
mod kubectl;
mod lifecycle;
mod manifests;
mod ownership;
mod pods;
mod prints;
mod processes;
mod resize;
mod servers;
mod services;
mod streams;
mod terminals;
mod tokens;
mod updates;
mod writes;

use std::process::ExitCode;

use tests_machine::{ClusterTest, Shared};

const SHARED: Shared = Shared {
    name: "t-cluster",
    nodes: 1,
};

const TOGETHER: &[ClusterTest] = &[
    (
        "a_deployment_rolls_out_scales_restarts_and_is_undone",
        kubectl::rollout,
    ),
    (
        "logs_are_followed_and_the_previous_container_is_still_read",
        kubectl::logs,
    ),
    ("exec_passes_output_exit_code_and_a_terminal", kubectl::exec),
    (
        "exec_of_what_cannot_be_executed_ends_as_in_a_shell",
        terminals::exec_codes,
    ),
    (
        "attach_gives_stdin_to_a_container_and_hears_its_answer",
        terminals::attach_by_a_pipe,
    ),
    (
        "run_with_stdin_or_a_terminal_loses_no_byte_and_removes_its_pod",
        terminals::run,
    ),
    (
        "debug_puts_a_container_into_a_pod_on_a_terminal_among_its_processes",
        debug::into_a_pod,
    ),
    ("debug_works_on_a_copy_and_on_a_node", debug::copy_and_node),
    (
        "a_resize_changes_the_limits_of_units_that_go_on_running",
        resize::up_and_down,
    ),
    (
        "a_resize_of_many_containers_moves_their_pod_with_them",
        resize::many_containers,
    ),
    (
        "a_resize_restarts_the_container_where_its_policy_says_so",
        resize::by_restart,
    ),
    ("cp_copies_a_file_in_and_out", kubectl::copy),
    (
        "port_forward_reaches_a_port_inside_the_pod",
        kubectl::port_forward,
    ),
    (
        "kubectl_1_20_streams_by_spdy_what_newer_ones_do_by_websockets",
        streams::by_spdy,
    ),
    (
        "services_pods_and_nodes_are_reached_through_the_api",
        streams::through_the_api,
    ),
    (
        "a_pod_lives_through_kubectl_proxy_by_port_and_by_socket",
        streams::kubectl_proxy,
    ),
    (
        "label_annotate_edit_diff_and_wait_change_what_they_say",
        kubectl::edits,
    ),
    (
        "fields_change_owners_as_kubectl_applies_forces_labels_and_sets",
        ownership::moves,
    ),
    ("a_list_is_checked_and_applied_as_its_items", kubectl::lists),
    ("describe_and_get_show_the_pod_and_its_events", kubectl::shows),
    (
        "init_containers_run_in_order_before_the_pod_on_a_shared_volume",
        manifests::init_containers,
    ),
    (
        "a_crash_looping_pod_counts_its_restarts_and_backs_off",
        manifests::crash_loop,
    ),
    (
        "a_failing_liveness_probe_restarts_the_container",
        manifests::liveness,
    ),
    (
        "a_failing_readiness_probe_takes_the_pod_out_of_ready",
        manifests::readiness,
    ),
    (
        "environment_and_volumes_come_from_config_maps_and_secrets",
        manifests::environment,
    ),
    (
        "an_unknown_image_ends_in_image_pull_back_off_with_the_reason",
        manifests::unknown_image,
    ),
    (
        "an_invalid_manifest_gets_the_status_that_kubernetes_gives",
        writes::invalid,
    ),
    ("status_write_racing_an_apply_loses_neither", writes::status_race),
    (
        "status_write_after_delete_creates_nothing",
        writes::status_after_delete,
    ),
    ("a_container_shows_in_systemctl_and_journalctl", pods::units),
    (
        "a_pod_reaches_another_pod_and_the_node_reaches_both",
        pods::addresses,
    ),
    (
        "a_deletion_may_grant_more_time_than_the_pod_has",
        deletion::longer,
    ),
    ("a_second_deletion_cuts_the_grace_short", deletion::shorter),
    (
        "a_pod_bound_by_hand_runs_where_it_fits_and_fails_with_the_reason_where_not",
        admission::by_hand,
    ),
    ("a_wrong_input_gets_one_clear_sentence", lifecycle::wrong_input),
    (
        "history_sql_and_the_past_show_who_changed_what_and_when",
        backup::history,
    ),
    (
        "five_hundred_changes_of_a_pod_are_five_hundred_generations_and_the_node_sees_the_last",
        writes::five_hundred_generations,
    ),
    (
        "a_pod_holds_tokens_that_are_its_own_and_end_with_it",
        tokens::mounted,
    ),
    (
        "every_pod_reaches_the_api_as_its_account_unless_it_opts_out",
        tokens::in_every_pod,
    ),
    ("datagrams_reach_pods_as_connections_do", services::datagrams),
    ("affinity_is_switched_while_a_service_is_used", services::affinity),
    ("slices_written_by_hand_lead_to_their_ports", services::slices),
    (
        "an_external_service_is_an_alias_until_it_has_an_address",
        services::external_name,
    ),
    (
        "partial_names_are_completed_as_in_kubernetes",
        services::partial_names,
    ),
    (
        "a_program_that_is_missing_is_told_and_was_never_started",
        manifests::missing_program,
    ),
    (
        "containers_share_processes_and_no_others_end_with_one",
        processes::shared,
    ),
    ("what_changes_in_the_api_changes_in_volumes", updates::seen),
    ("fifty_volumes_a_pod_are_all_right", updates::fifty),
    (
        "a_sub_path_follows_the_pods_own_fields_or_is_refused",
        updates::sub_paths,
    ),
    ("hooks_run_after_the_start_and_before_the_end", hooks::hooks),
    ("probes_restart_what_fails_them_and_nothing_else", hooks::probes),
    ("a_restart_policy_decides_what_runs_again", hooks::restarts),
    ("every_volume_shows_what_its_pod_asks_for", prints::volumes),
    (
        "every_container_sees_and_leaves_what_it_should",
        prints::containers,
    ),
    ("secrets_never_appear_in_unit_properties_or_logs", pods::secrets),
    (
        "a_container_inherits_no_descriptor_of_the_node",
        pods::descriptors,
    ),
];

const ALONE: &[ClusterTest] = &[
    (
        "a_terminal_outlives_its_client_and_the_agent",
        terminals::attach_on_a_terminal,
    ),
    (
        "an_ephemeral_container_outlives_the_agent_and_ends_with_its_pod",
        debug::outlives_the_agent,
    ),
    (
        "a_resize_waits_for_room_on_the_node_and_says_why",
        resize::that_does_not_fit,
    ),
    (
        "init_containers_that_exit_at_once_run_exactly_once",
        pods::quick_init_containers,
    ),
    (
        "two_hundred_containers_that_exit_at_once_report_every_code",
        pods::two_hundred,
    ),
    (
        "a_job_like_pod_that_ends_while_the_agent_is_dead_runs_exactly_once",
        faults::ends_while_agent_is_dead,
    ),
    ("an_agent_killed_fifty_times_disturbs_no_pod", faults::fifty_kills),
    (
        "helpers_killed_at_any_moment_leave_nothing_behind",
        killed::helpers,
    ),
    (
        "a_reboot_frees_what_pods_that_went_meanwhile_held",
        killed::reboot,
    ),
    (
        "pods_start_after_a_reboot_while_the_api_is_away",
        away::remembered,
    ),
    ("a_full_run_time_disk_is_told_and_loses_no_exit_code", disk::full),
    (
        "a_control_plane_killed_loses_no_acknowledged_write",
        faults::control_plane_killed,
    ),
    (
        "a_backup_is_read_by_sqlite_and_restored_as_a_new_cluster",
        backup::backup_and_restore,
    ),
    (
        "three_servers_lose_one_get_another_and_serve_all_the_time",
        servers::three,
    ),
    (
        "two_clusters_live_side_by_side_and_down_leaves_nothing",
        lifecycle::side_by_side,
    ),
    (
        "down_cleans_up_after_an_up_killed_at_any_moment",
        lifecycle::killed_up,
    ),
    ("up_again_changes_nothing_and_says_so", faults::up_again),
];

fn main() -> ExitCode {
    tests_machine::main(SHARED, TOGETHER, ALONE)
}
