//! The measurements behind the numbers in docs/performance: what a change costs, and what a cluster weighs.
//!
//! ```text
//!  rows or YAML ──▶ weft run (the release build, a process of its own) ──▶ nodes: real Open vSwitch, dummy datapaths
//!       ▲                         │ up, after the barrier
//!       └──────── clock ──────────┘          CPU and memory of all of them from /proc
//! ```
//!
//! Every figure is printed with what it was made of. Must not: assert a time; a slow machine is no defect.

mod added;
mod cluster;
mod compile;
mod controller;
mod process;
mod report;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};

use crate::report::Report;

/// Measures weft on this machine.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  make bench                        everything
  BENCH=added-pod make bench        one of the measurements
  target/release/weft-bench --pods 500 cluster")]
struct Arguments {
    /// What to measure; everything unless named
    #[arg(value_enum)]
    only: Vec<Measurement>,

    /// The program to measure, a release build
    #[arg(long, default_value = "target/release/weft", value_name = "FILE")]
    weft: PathBuf,

    /// Pods of the cluster
    #[arg(long, default_value_t = 2000)]
    pods: usize,

    /// Namespaces of the cluster
    #[arg(long, default_value_t = 50)]
    namespaces: usize,

    /// Nodes of the cluster
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=200))]
    nodes: u8,

    /// How often one pod is added where single changes are timed
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// Commit to barrier for one pod more, on one node
    AddedPod,
    /// A cluster from YAML: from nothing to acknowledged, flows, memory, one pod more
    Cluster,
    /// The same pods written by hand, a switch with a /24 for each namespace
    ByHand,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if !arguments.weft.exists() {
        bail!(
            "{} is not there: make build makes it",
            arguments.weft.display()
        );
    }
    if arguments.namespaces == 0
        || arguments.pods % (arguments.namespaces * usize::from(arguments.nodes)) != 0
    {
        bail!(
            "--pods {} cannot be dealt out evenly to {} namespaces on {} nodes each",
            arguments.pods,
            arguments.namespaces,
            arguments.nodes
        );
    }
    let wanted = |measurement| arguments.only.is_empty() || arguments.only.contains(&measurement);
    let mut report = Report::new()?;
    let size = cluster::Size {
        pods: arguments.pods,
        namespaces: arguments.namespaces,
        nodes: arguments.nodes,
        rounds: arguments.rounds,
    };
    if wanted(Measurement::AddedPod) {
        added::measure(&arguments.weft, arguments.rounds, &mut report).await?;
    }
    if wanted(Measurement::Cluster) {
        cluster::from_yaml(&arguments.weft, size, &mut report).await?;
    }
    if wanted(Measurement::ByHand) {
        cluster::by_hand(&arguments.weft, size, &mut report).await?;
    }
    Ok(())
}
