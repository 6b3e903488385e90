//! `Sample`: what is sampled, and by which collectors.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use uuid::Uuid;

use crate::table::table;

table! {
    /// What is sampled, and by which collectors.
    "OVN_Northbound", "Sample" as Sample: index(&["metadata"]);

    /// Who gets the samples.
    collectors: Vec<Uuid>, strong("Sample_Collector");
    /// Number that tells these samples from others.
    metadata: i64, range(1, 4_294_967_295);
}
