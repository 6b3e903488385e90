//! Our server, driven by `ovsdb-client` and `ovs-vsctl`.

use crate::harness::{DEADLINE, Running, Served, family, run, vswitch_schema};

async fn client(arguments: &[&str]) -> String {
    run("ovsdb-client", arguments)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

async fn transact(remote: &str, operations: &str) -> String {
    client(&["transact", remote, &format!("[\"Family\",{operations}]")]).await
}

const INSERT: &str = r#"{"op":"insert","table":"Parent","row":{"name":"Ada","age":36,"children":["named-uuid","b"]}},
    {"op":"insert","table":"Child","uuid-name":"b","row":{"name":"Byron"}}"#;

#[tokio::test]
async fn ovsdb_client_lists_shows_and_changes_databases() {
    let served = Served::new(family()).await;
    let remote = served.remote();
    assert_eq!(client(&["list-dbs", &remote]).await, "Family\n_Server\n");
    let schema: serde_json::Value =
        serde_json::from_str(&client(&["get-schema", &remote, "Family"]).await).expect("JSON");
    assert_eq!(schema, family().to_json());
    assert_eq!(
        client(&["list-tables", &remote, "Family"]).await,
        "Table\n------\nChild\nParent\n"
    );
    transact(&remote, INSERT).await;
    let dump = client(&["dump", &remote, "Family", "Parent", "name", "age"]).await;
    assert_eq!(dump, "Parent table\nage name\n--- ----\n36  Ada\n");
    let refused = transact(&remote, r#"{"op":"delete","table":"Child","where":[]}"#).await;
    assert!(
        refused.contains("referential integrity violation"),
        "{refused}"
    );
    transact(
        &remote,
        r#"{"op":"delete","table":"Parent","where":[["name","==","Ada"]]}"#,
    )
    .await;
    let left = client(&[
        "query",
        &remote,
        r#"["Family",{"op":"select","table":"Child","where":[]}]"#,
    ])
    .await;
    assert_eq!(
        left.trim(),
        r#"[{"rows":[]}]"#,
        "the child went with the parent"
    );
    let refused = transact(&served.read_only(), INSERT).await;
    assert!(refused.contains("not allowed"), "{refused}");
}

#[tokio::test]
async fn ovsdb_client_backs_a_database_up() {
    let served = Served::new(family()).await;
    transact(&served.remote(), INSERT).await;
    let backup = client(&["backup", &served.remote(), "Family"]).await;
    assert!(
        backup.contains("Byron") && backup.contains("Ada"),
        "{backup}"
    );
}

#[tokio::test]
async fn ovsdb_client_monitors_with_every_method() {
    let served = Served::new(family()).await;
    let remote = served.remote();
    let since = "00000000-0000-0000-0000-000000000000";
    let methods: [&[&str]; 3] = [
        &["monitor", &remote, "Family", "Parent", "name"],
        &[
            "monitor-cond",
            &remote,
            "Family",
            r#"[["age",">",30]]"#,
            "Parent",
            "name",
        ],
        &[
            "monitor-cond-since",
            &remote,
            "Family",
            since,
            r#"[["age",">",30]]"#,
            "Parent",
            "name",
        ],
    ];
    let mut monitors = Vec::new();
    transact(
        &remote,
        r#"{"op":"insert","table":"Parent","row":{"name":"first","age":99}}"#,
    )
    .await;
    for arguments in methods {
        let arguments: Vec<&str> = ["--format=csv"].iter().chain(arguments).copied().collect();
        let mut monitor = Running::start("ovsdb-client", &arguments);
        monitor.line_with("first").await;
        monitors.push(monitor);
    }
    transact(&remote, INSERT).await;
    transact(
        &remote,
        r#"{"op":"update","table":"Parent","where":[["name","==","Ada"]],"row":{"name":"Eva"}}"#,
    )
    .await;
    transact(
        &remote,
        r#"{"op":"delete","table":"Parent","where":[["name","==","Eva"]]}"#,
    )
    .await;
    for monitor in &mut monitors {
        monitor.line_with("insert").await;
        monitor.line_with("Eva").await;
        monitor.line_with("delete").await;
    }
}

#[tokio::test]
async fn ovsdb_client_waits_for_a_database_and_takes_locks() {
    let served = Served::new(family()).await;
    let remote = served.remote();
    client(&["wait", &remote, "Family", "connected"]).await;
    let mut holder = Running::start("ovsdb-client", &["lock", &remote, "l"]);
    holder.line_with("true").await;
    let mut waiter = Running::start("ovsdb-client", &["lock", &remote, "l"]);
    waiter.line_with("false").await;
    let mut thief = Running::start("ovsdb-client", &["steal", &remote, "l"]);
    thief.line_with("true").await;
    holder.line_with("stolen").await;
    drop((thief, holder));
    waiter.line_with("locked").await;
}

#[tokio::test]
async fn a_wait_in_a_transaction_ends_when_another_client_commits() {
    let served = Served::new(family()).await;
    let remote = served.remote();
    let wait = r#"{"op":"wait","table":"Parent","where":[["name","==","Ada"]],"columns":["age"],"until":"==",
        "rows":[{"age":36}],"timeout":15000},{"op":"comment","comment":"done"}"#;
    let waiting = tokio::spawn({
        let remote = remote.clone();
        async move { transact(&remote, wait).await }
    });
    transact(
        &remote,
        r#"{"op":"insert","table":"Parent","row":{"name":"Ada","age":1}}"#,
    )
    .await;
    transact(
        &remote,
        r#"{"op":"mutate","table":"Parent","where":[],"mutations":[["age","+=",35]]}"#,
    )
    .await;
    let result = tokio::time::timeout(DEADLINE, waiting)
        .await
        .expect("it ends")
        .expect("it ran");
    assert_eq!(result.trim(), "[{},{}]");
    let refused = transact(&remote, &wait.replace("36", "37").replace("15000", "50")).await;
    assert!(refused.contains("timed out"), "{refused}");
}

#[tokio::test]
async fn ovs_vsctl_works_on_the_schema_of_open_vswitch() {
    let served = Served::new(vswitch_schema()).await;
    served.vsctl("init").await;
    served
        .vsctl("add-br br0 -- set bridge br0 fail_mode=secure other_config:a=b")
        .await;
    served
        .vsctl("add-port br0 p0 -- set interface p0 type=internal external_ids:iface-id=x -- add-port br0 p1")
        .await;
    assert_eq!(served.vsctl("list-br").await, "br0\n");
    assert_eq!(served.vsctl("list-ports br0").await, "p0\np1\n");
    assert_eq!(
        served.vsctl("get interface p0 external_ids:iface-id").await,
        "x\n"
    );
    assert_eq!(
        served
            .vsctl("--columns=name find interface external_ids:iface-id=x")
            .await
            .trim(),
        "name                : p0"
    );
    assert_eq!(served.vsctl("port-to-br p1").await, "br0\n");
    served
        .vsctl("set-controller br0 tcp:127.0.0.1:6653 -- set open . external_ids:system-id=n1")
        .await;
    assert_eq!(
        served.vsctl("get open . external_ids:system-id").await,
        "n1\n"
    );
    served
        .vsctl("del-port p0 -- remove bridge br0 other_config a -- --if-exists del-port p9")
        .await;
    assert_eq!(served.vsctl("get bridge br0 other_config").await, "{}\n");
    served.vsctl("del-br br0").await;
    for table in ["bridge", "port", "interface", "controller"] {
        assert_eq!(
            served.vsctl(&format!("list {table}")).await,
            "",
            "{table} rows went with the bridge"
        );
    }
    let db = format!("--db={}", served.remote());
    let refused = run(
        "ovs-vsctl",
        &["--no-wait", "--timeout=10", &db, "add-port", "br9", "p"],
    )
    .await;
    assert!(refused.expect_err("no bridge").contains("br9"));
}
