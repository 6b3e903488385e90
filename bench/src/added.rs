//! From the commit of a row to the barrier of its flows: one pod more on one node.
//!
//! The interface is there before the row, so that what is measured is weft and the switch's flow table, not the
//! making of a device.
//!
//! Must not: count anything before the transaction is sent.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use weft_schema::nb::LogicalSwitch;
use weft_schema::{RowId, Table as _};

use crate::controller::{Controller, add_port, port};
use crate::report::Report;

/// Adds pods one by one.
pub async fn measure(weft: &Path, rounds: u32, report: &mut Report) -> Result<()> {
    report.title("one pod more, on one node: northbound commit → up, which follows the barrier")?;
    let mut controller = Controller::new(weft, 1)?;
    controller.start()?;
    let mut ups = controller.watch().await?;
    let nb = controller.northbound()?;
    let switch = LogicalSwitch {
        uuid: RowId::<LogicalSwitch>::derived("ls").uuid(),
        name: "ls".to_owned(),
        ..LogicalSwitch::default()
    };
    nb.transact(vec![switch.insert()]).await?;
    let node = &controller.nodes[0];
    tokio::task::block_in_place(|| {
        node.await_column("Interface", "weft-tunnel", "ofport=65000");
        node.attach_many((0..rounds).map(|round| (format!("if{round}"), name(round), None)));
        for round in 0..rounds {
            node.await_column("Interface", &format!("if{round}"), "ofport!=[]");
        }
    });
    let mut times = Vec::new();
    for round in 0..rounds {
        let [high, low] = u16::try_from(round + 2)?.to_be_bytes();
        let addresses =
            format!("0a:58:0a:00:{high:02x}:{low:02x} 10.0.{high}.{low} fd00::{high:x}:{low:x}");
        let row = port(&name(round), addresses);
        let begin = Instant::now();
        let operations = add_port(switch.uuid, &row);
        let (sent, seen) = tokio::join!(nb.transact(operations), ups.reach(ups_after(round)));
        sent?;
        seen?;
        times.push(begin.elapsed());
    }
    report.times("commit → barrier", times)
}

fn name(round: u32) -> String {
    format!("pod-{round}")
}

fn ups_after(round: u32) -> usize {
    round as usize + 1
}
