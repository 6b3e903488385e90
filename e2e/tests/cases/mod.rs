//! All cases by name. A name says what must hold.

use std::pin::Pin;

mod attach;
mod bad_input;
mod basic;
mod by_hand;
mod churn;
mod demo;
mod errors;
mod faults;
mod harness;
mod host;
mod l2;
mod l3;
mod lab;
mod localnet;
mod model;
mod nat;
mod overlay;
mod packet;
mod probing;
mod programs;
mod services;
mod spoofing;
mod standalone;
mod tls;
mod upgrade;
mod witness;

pub use churn::more_time;
pub use harness::{HOLD, hold};
pub use host::AS_WEFT_CNI;
pub use lab::AS_WEFT;

/// A case under way.
pub type Running = Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

/// A case.
pub struct Case {
    /// What must hold, as a sentence.
    pub name: &'static str,
    /// The file it is in.
    pub module: &'static str,
    /// Whether the kernel's datapath has to show it at every change, too: it is about what the two do differently, or might.
    pub is_on_both: bool,
    /// Fails when it does not.
    pub run: fn() -> Running,
}

macro_rules! cases {
    ($($module:ident :: $name:ident $(on $both:ident)?,)*) => {
        /// All of them.
        pub const ALL: &[Case] = &[$(Case {
            name: stringify!($name),
            module: stringify!($module),
            is_on_both: <[&str]>::len(&[$(stringify!($both))?]) > 0,
            run: || Box::pin($module::$name()),
        },)*];
    };
}

// `on both`: also in the virtual machine, where a case costs some 40 s of processor time. Those about which fields, tags and tunnel
// headers a frame has on the wire, where it is copied, and who answers; a few stand for many.
cases! {
    harness::nodes_start_side_by_side_and_reach_each_other_on_the_underlay,
    harness::the_audit_finds_what_was_tampered_with_and_what_was_logged_and_left,
    harness::a_caller_that_is_killed_leaves_nothing_behind,
    harness::a_signal_reaches_the_worker_and_its_end_the_caller,
    attach::a_pod_is_configured_as_the_answer_says_and_is_gone_without_a_trace_afterwards,
    attach::an_attachment_may_be_repeated_and_repairs_what_is_missing,
    attach::an_attachment_that_nobody_answers_says_so_and_takes_back_what_it_made,
    attach::a_pod_can_be_detached_without_its_namespace_and_without_open_vswitch,
    probing::a_probe_tells_the_pod_that_was_meant_from_one_with_the_same_address,
    basic::two_pods_on_two_nodes_reach_each_other_because_yaml_said_so,
    basic::tenants_with_the_same_addresses_never_meet,
    basic::a_new_pod_changes_flows_on_its_own_node_alone_and_its_end_restores_them,
    basic::a_pod_whose_address_is_edited_is_attached_again_and_reached_at_the_new_one,
    basic::a_controller_that_is_killed_and_comes_back_changes_no_flow_and_loses_no_packet,
    upgrade::a_controller_that_makes_other_flows_takes_over_in_one_bundle_and_loses_no_packet,
    standalone::a_controller_alone_reaches_its_nodes_over_the_underlay_and_follows_the_nodes_file,
    standalone::a_real_ovsdb_server_that_dies_and_comes_back_disturbs_nothing,
    churn::random_changes_leave_what_a_recompute_says_and_lose_no_packet_of_others,
    faults::a_switch_that_dies_is_filled_again_in_the_right_order_and_packets_flow,
    faults::a_nodes_database_server_that_dies_stops_nobody_else_and_is_followed_again,
    faults::a_bridge_deleted_by_hand_is_made_again,
    faults::flows_and_groups_changed_by_hand_are_repaired,
    faults::mute_and_mad_peers_disturb_nobody,
    faults::a_node_cut_off_while_much_changes_is_brought_up_to_date_by_one_bundle,
    faults::a_change_that_a_switch_refuses_is_named_and_marked_and_all_else_is_applied,
    services::a_service_is_reached_from_every_pod_and_from_its_own_endpoints,
    services::new_connections_are_spread_over_endpoints_also_over_one_that_came_later,
    services::connections_outlive_a_hundred_changes_of_their_service,
    demo::the_quickstart_demo_ends_well_and_says_so_in_one_object,
    demo::a_demo_that_is_kept_can_be_looked_at_as_it_says_and_follows_its_files,
    bad_input::bad_manifests_are_told_with_file_and_field_and_disturb_nobody,
    bad_input::a_second_demo_is_refused_while_one_runs_and_the_first_goes_on,
    bad_input::a_demo_that_cannot_be_says_in_one_line_what_is_missing,
    bad_input::a_demo_that_can_give_no_pod_a_port_passes_on_why,
    bad_input::a_demo_tells_of_bad_manifests_and_is_judged_by_the_good_ones,
    l2::a_unicast_frame_crosses_to_its_node_unchanged_and_reaches_nobody_else on both,
    l2::broadcast_and_multicast_reach_every_pod_of_the_switch_once_with_one_copy_per_node on both,
    l2::a_pod_cannot_send_with_an_address_that_is_not_its_own,
    l2::a_pod_cannot_send_tunnel_packets_to_a_node on both,
    l2::duplicate_detection_hears_nothing_about_ones_own_address_and_the_owner_of_anothers,
    l2::arp_and_nd_are_answered_without_a_packet_on_the_tunnel on both,
    spoofing::what_a_host_says_before_it_has_an_address_passes,
    spoofing::neighbour_discovery_may_name_ones_own_addresses_alone on both,
    spoofing::an_address_that_nobody_has_is_nobodys_answer,
    l3::a_router_takes_one_from_the_ttl_and_drops_what_has_none_left on both,
    l3::the_router_answers_ping_arp_and_nd_on_every_switch on both,
    l3::a_packet_without_a_route_goes_nowhere,
    errors::a_router_tells_whose_packets_expire_or_have_no_route_and_does_it_in_measure on both,
    errors::each_of_two_routers_shows_itself_and_discarding_routes_are_silent,
    l3::a_pod_gets_the_mtu_that_the_underlay_leaves_and_a_full_packet_crosses_whole on both,
    l3::an_underlay_with_a_larger_mtu_gives_pods_a_larger_one,
    l3::tunnels_over_ipv6_cost_twenty_bytes_more on both,
    host::hosts_pods_and_the_outside_reach_each_other_also_after_the_switch_was_killed on both,
    host::nothing_of_a_tunnel_is_forwarded_by_a_host on both,
    host::a_set_up_that_is_repeated_changes_nothing_and_one_that_is_undone_leaves_nothing,
    host::a_set_up_says_what_is_missing,
    by_hand::packets_between_two_routers_lose_one_ttl_at_each,
    overlay::what_comes_out_of_a_tunnel_goes_to_no_other_node,
    model::dynamic_addresses_are_handed_out_and_served,
    model::a_nested_port_speaks_in_its_vlan_on_its_parents_interface on both,
    model::a_port_that_is_not_enabled_neither_sends_nor_receives,
    model::frames_to_macs_that_no_port_has_reach_the_ports_that_take_them,
    localnet::a_physical_network_joins_the_nodes_that_have_it_in_its_vlan_and_without_one on both,
    nat::pods_get_out_by_one_node_and_a_floating_address_leads_in on both,
    localnet::localnet_ports_follow_mappings_and_rows_and_bad_mappings_are_told_once,
    model::static_routes_lead_by_prefix_source_and_hash_through_joined_routers,
    tls::a_nodes_certificate_opens_no_other_nodes_ovsdb_and_openflow,
    tls::certificates_and_their_ca_change_under_traffic_and_no_packet_is_lost,
    overlay::a_node_takes_tunnel_packets_from_nodes_alone_and_for_known_networks_alone on both,
}
