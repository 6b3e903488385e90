//! `Sample_Collector`: a receiver of samples.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// A receiver of samples.
    "OVN_Northbound", "Sample_Collector" as SampleCollector: root(), index(&["id"]);

    /// Number, unique.
    id: i64, range(1, 255);
    /// Name.
    name: String;
    /// Of 65,535 packets, how many are sampled.
    probability: i64, range(0, 65535);
    /// Number of Open vSwitch's `Flow_Sample_Collector_Set`.
    set_id: i64, range(1, 4_294_967_295);
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
