//! What a real switch refuses: its table is full.

use weft_compiler::pipeline::table;

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_switch_refuses_leaves_its_port_down_and_all_else_applied_until_there_is_room() {
    let bench = Bench::with_ports(&["n1", "n2"]).await;
    let [first, second] = &bench.nodes[..] else {
        unreachable!("two were asked for")
    };
    // The table that every packet passes first; a dump names every table but this one.
    let in_first = |flows: &[String]| {
        let flows = flows.iter();
        flows.filter(|flow| !flow.contains("table=")).count()
    };
    let full = in_first(&first.flows());
    let place = format!("flow_tables:{}=@full", table::CLASSIFY.get());
    let limit = format!("flow_limit={full}");
    let create = ["--id=@full", "create", "Flow_Table", &limit];
    let refuse = ["overflow_policy=refuse", "--", "set", "Bridge", "br-int"];
    first.vsctl(&[&["--"], &create[..], &refuse[..], &[&place]].concat());

    for (port, host) in [("p-more", "98"), ("p-late", "99")] {
        let addresses = format!("0a:58:0a:00:00:{host} 10.0.0.{host}");
        bench.nbctl(&[
            "lsp-add",
            "ls",
            port,
            "--",
            "lsp-set-addresses",
            port,
            &addresses,
        ]);
    }
    first.attach("more", "p-more");
    second.attach("late", "p-late");
    second.await_column("Interface", "late", "external_ids:ovn-installed=true");
    first.await_column("Interface", "more", "external_ids:weft-mtu=1438");
    bench
        .await_status("the port is refused", |status| {
            let refused = &status.nodes["n1"].refused;
            refused.iter().any(|line| {
                line.starts_with("Logical_Switch_Port p-more (") && line.contains("TABLE_FULL")
            })
        })
        .await;
    // All nodes have acknowledged what they take.
    bench.sync();
    let status = bench.status();
    assert_eq!(
        status.nodes["n1"].flows_refused,
        status.nodes["n1"].refused.len()
    );
    assert_eq!(status.nodes["n2"].refused, [""; 0]);
    for (port, up) in [("p-n1", "true"), ("p-more", "false"), ("p-late", "true")] {
        bench.await_nb("Logical_Switch_Port", port, "up", up).await;
    }
    let told = first.vsctl(&["get", "Interface", "more", "external_ids"]);
    assert!(!told.contains("ovn-installed"), "{told}");
    let flows = first.flows();
    assert_eq!(in_first(&flows), full);
    let is_its = |flow: &&String| flow.contains("10.0.0.98");
    assert!(flows.iter().any(|flow| is_its(&flow)), "{flows:#?}");

    let number = table::CLASSIFY.get().to_string();
    first.vsctl(&["remove", "Bridge", "br-int", "flow_tables", &number]);
    first.await_column("Interface", "more", "external_ids:ovn-installed=true");
    bench
        .await_nb("Logical_Switch_Port", "p-more", "up", "true")
        .await;
    assert_eq!(bench.status().nodes["n1"].refused, [""; 0]);
    assert!(in_first(&first.flows()) > full);
    bench.audit().await;
}
