//! The rows of the examples on three nodes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use weft_northd::index::{Config, Index, NbRow};
use weft_northd::standalone::{Placement, load};

#[test]
fn the_quickstart_becomes_these_rows() {
    insta::assert_snapshot!(print(&index("../examples/quickstart"), |_| true));
}

#[test]
fn the_services_become_these_rows() {
    let index = index("../examples/services");
    insta::assert_snapshot!(print(&index, |row| row.table().starts_with("Load")));
}

fn index(directory: &str) -> Index {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let (sourced, problems) = load(&directory).unwrap();
    assert_eq!(problems, []);
    let mut objects: Vec<_> = sourced.into_iter().map(|sourced| sourced.value).collect();
    let nodes: BTreeSet<Arc<str>> = ["n1", "n2", "n3"].map(Arc::from).into();
    Placement::default().place(&mut objects, &nodes);
    let mut index = Index::new(Config::default()).unwrap();
    index.set_nodes(nodes.iter().map(|node| &**node));
    index.reset(objects, Vec::new());
    index.translate();
    assert_eq!(index.diagnostics().count(), 0);
    index
}

/// One paragraph per row that is of interest, references by name.
fn print(index: &Index, is_of_interest: impl Fn(&NbRow) -> bool) -> String {
    let mut paragraphs: Vec<String> = index
        .rows()
        .values()
        .filter(|row| is_of_interest(row))
        .map(|row| paragraph(index, row))
        .collect();
    paragraphs.sort();
    paragraphs.join("\n")
}

fn paragraph(index: &Index, row: &NbRow) -> String {
    let names = |uuids: &[uuid::Uuid]| {
        let mut names: Vec<&str> = uuids.iter().map(|uuid| index.rows()[uuid].name()).collect();
        names.sort_unstable();
        names.join(" ")
    };
    let mut lines = vec![format!("{} {} {}", row.table(), row.name(), row.uuid())];
    let mut line = |column: &str, value: String| {
        if !value.is_empty() && value != "{}" {
            lines.push(format!("    {column}: {value}"));
        }
    };
    match row {
        NbRow::LogicalSwitch(row) => {
            line("ports", names(&row.ports));
            line("external_ids", format!("{:?}", row.external_ids));
        }
        NbRow::LogicalSwitchPort(row) => {
            line("type", row.kind.clone());
            line("addresses", format!("{:?}", row.addresses));
            line("port_security", format!("{:?}", row.port_security));
            line("options", format!("{:?}", row.options));
            line("external_ids", format!("{:?}", row.external_ids));
        }
        NbRow::LogicalRouter(row) => {
            line("ports", names(&row.ports));
            line("external_ids", format!("{:?}", row.external_ids));
        }
        NbRow::LogicalRouterPort(row) => {
            line("mac", row.mac.clone());
            line("networks", format!("{:?}", row.networks));
            line("external_ids", format!("{:?}", row.external_ids));
        }
        NbRow::LogicalRouterStaticRoute(row) => line("nexthop", row.nexthop.clone()),
        NbRow::LoadBalancer(row) => {
            for (vip, endpoints) in &row.vips {
                line(vip, format!("[{endpoints}]"));
            }
            line("protocol", row.protocol.clone().unwrap_or_default());
            line("options", format!("{:?}", row.options));
            line("external_ids", format!("{:?}", row.external_ids));
        }
        NbRow::LoadBalancerGroup(row) => line("load_balancer", names(&row.load_balancer)),
    }
    lines.join("\n") + "\n"
}
