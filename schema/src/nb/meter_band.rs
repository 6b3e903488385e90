//! `Meter_Band`: one threshold of a meter.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// One threshold of a [`Meter`](super::Meter).
    "OVN_Northbound", "Meter_Band" as MeterBand;

    /// What happens above the rate.
    action: String, one_of(&["drop"]);
    /// Rate, in the meter's unit.
    rate: i64, range(1, 4_294_967_295);
    /// Burst, in the meter's unit; 0 lets the switch choose.
    burst_size: i64, range(0, 4_294_967_295);
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
