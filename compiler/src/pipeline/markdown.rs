//! `docs/pipeline.md`, made from the tables so that it cannot drift.
//!
//! Must not: say anything that is not in the tables, but for the introduction.

use std::fmt::Write as _;

use weft_expr::Pipeline;

use super::{
    DatapathKind, FIRST_BALANCER_GROUP, FIRST_MULTICAST_KEY, OPTION_CLASS, OPTION_LENGTH,
    OPTION_TYPE, PortKey, Stage, TUNNEL_OFPORT, meter, register, table, zone,
};

/// The text of `docs/pipeline.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    write_tables(&mut text);
    write_stages(&mut text);
    write_registers(&mut text);
    write_keys(&mut text);
    write_meters(&mut text);
    write_zones(&mut text);
    text
}

fn write_tables(text: &mut String) {
    text.push_str("\n## OpenFlow tables\n\n| tables | name | job |\n| --- | --- | --- |\n");
    let mut rows: Vec<(u8, String)> = table::ALL
        .iter()
        .map(|table| {
            let row = format!("| {} | {} | {} |\n", table.id, table.name, table.job);
            (table.id.get(), row)
        })
        .collect();
    for (kind, pipeline, name) in PIPELINES {
        let (first, last) = kind.tables(pipeline);
        rows.push((
            first,
            format!("| {first} – {last} | {name} | the stages below |\n"),
        ));
    }
    rows.sort();
    for (_, row) in rows {
        text.push_str(&row);
    }
}

fn write_stages(text: &mut String) {
    for (kind, pipeline, name) in PIPELINES {
        let _ = write!(
            text,
            "\n## Stages of {name}\n\n| number | table | stage | job |\n| --- | --- | --- | --- |\n"
        );
        for stage in Stage::ALL {
            if stage.kind() == kind && stage.pipeline() == pipeline {
                let (number, table, job) = (stage.number(), stage.table(), stage.job());
                let _ = writeln!(text, "| {number} | {table} | `{stage}` | {job} |");
            }
        }
    }
}

fn write_registers(text: &mut String) {
    text.push_str(
        "\n## Registers\n\n| field | bits | name | meaning |\n| --- | --- | --- | --- |\n",
    );
    for field in register::ALL {
        let high = field.low.saturating_add(field.width).saturating_sub(1);
        let _ = writeln!(
            text,
            "| {} | {} – {high} | {} | {} |",
            field.field, field.low, field.name, field.meaning
        );
    }
}

fn write_keys(text: &mut String) {
    let _ = write!(
        text,
        "\n## Keys, groups and cookies\n\n\
         - Datapath keys have 24 bits and are never 0; port keys are 1 to 0x7fff, multicast groups {FIRST_MULTICAST_KEY:#x} (flood), {:#x} (elsewhere) and {:#x} (unknown). Datapath and port keys are \
         derived from the row's UUID, so that they survive a restart of the controller.\n\
         - The tunnel is OpenFlow port {TUNNEL_OFPORT} on every node. A Geneve option of class {OPTION_CLASS:#06x}, type {OPTION_TYPE:#04x} and {OPTION_LENGTH} bytes carries the \
         ingress port's key in bits 16 to 30 and the egress port's in bits 0 to 15, as OVN's does.\n\
         - Group numbers are the switch's key times 8: plus 0 for its ports on this node, plus 1 for the other nodes that hold ports of it, plus 2 and 3 for those of them that take unknown MACs. \
         Groups of load balancers have numbers from {FIRST_BALANCER_GROUP:#x}, derived from the row, the virtual address, and which of its groups it is.\n\
         - A flow's cookie is 32 bits derived from the logical flow it comes from (`weft lflow-list` prints it); 0 for flows of the physical tables.\n",
        PortKey::ELSEWHERE.get(),
        PortKey::UNKNOWN.get(),
    );
}

fn write_meters(text: &mut String) {
    text.push_str(
        "\n## Meters\n\nOf packets that go to the controller; a node has those that its flows name.\n\n\
         | number | packets a second | at once | meaning |\n| --- | --- | --- | --- |\n",
    );
    for spec in meter::ALL {
        let meter::MeterSpec {
            id,
            rate,
            burst,
            meaning,
            ..
        } = spec;
        let _ = writeln!(text, "| {id} | {rate} | {burst} | {meaning} |");
    }
}

fn write_zones(text: &mut String) {
    text.push_str("\n## Conntrack zones\n\n| zones | of | what they hold |\n| --- | --- | --- |\n");
    for zones in zone::ALL {
        let zone::Zones {
            name,
            first,
            last,
            job,
        } = zones;
        let _ = writeln!(text, "| {first} – {last} | {name} | {job} |");
    }
}

const PIPELINES: [(DatapathKind, Pipeline, &str); 4] = [
    (DatapathKind::Switch, Pipeline::Ingress, "switch ingress"),
    (DatapathKind::Router, Pipeline::Ingress, "router ingress"),
    (DatapathKind::Switch, Pipeline::Egress, "switch egress"),
    (DatapathKind::Router, Pipeline::Egress, "router egress"),
];

const INTRODUCTION: &str = "\
# The pipeline

Generated from `compiler/src/pipeline/` by `cargo xtask docs`; edit the tables there, not this page.

A packet starts in table 0. From a port it enters the ingress pipeline of the port's switch; from the tunnel of a known node it goes on where the sender left off. \
Flows of switches and routers live in tables of their own, so that a flow that all datapaths of a kind share needs no match on the datapath. \
What no flow matches is dropped.
";
