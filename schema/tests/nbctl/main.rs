//! The real `ovn-nbctl` against weft's server with the generated schema, and against the real
//! `ovsdb-server` with the same schema: both must print the same.

mod server;
mod show;

use server::{Nbctl, Server};

/// One invocation of ovn-nbctl; `--` separates the commands of one transaction.
const SCRIPT: &[&str] = &[
    "show",
    "ls-add sw0",
    "ls-add sw0",
    "--may-exist ls-add sw0",
    "ls-add sw1",
    "ls-list",
    "lsp-add sw0 p1",
    "lsp-add sw0 p1",
    "lsp-add sw1 p1",
    "lsp-add nosuch p2",
    "lsp-add sw0 p2 p1 5",
    "lsp-add sw0 p3 p1 5000",
    "lsp-list sw0",
    "lsp-set-addresses p1 02:00:00:00:00:01,10.0.0.1",
    "lsp-set-addresses p1 nonsense",
    "lsp-get-addresses p1",
    "lsp-set-port-security p1 02:00:00:00:00:01",
    "lsp-get-port-security p1",
    "lsp-set-type p2 nonsense",
    "lsp-set-options p1 requested-chassis=n1 iface-id-ver=u1",
    "lsp-get-options p1",
    "lsp-set-enabled p1 disabled",
    "lsp-get-enabled p1",
    "lsp-get-up p1",
    "lr-add lr0",
    "lr-add lr0",
    "lrp-add lr0 lrp0 0a:00:00:00:00:01 10.0.0.254/24 fd00::fe/64",
    "lrp-add lr0 lrp0 0a:00:00:00:00:01 10.0.0.254/24",
    "lrp-add lr0 lrp1 nonsense 10.0.0.254/24",
    "lsp-add sw0 sw0-lr0 -- lsp-set-type sw0-lr0 router -- lsp-set-addresses sw0-lr0 router -- lsp-set-options sw0-lr0 router-port=lrp0",
    "lr-route-add lr0 192.168.0.0/16 10.0.0.7",
    "lr-route-add lr0 192.168.0.0/16 10.0.0.8",
    "lr-route-add lr0 0.0.0.0/0 discard",
    "--policy=src-ip lr-route-add lr0 10.0.0.0/24 10.0.0.9",
    "lr-route-add lr0 fd01::/64 fd00::7",
    "lr-route-list lr0",
    "lr-route-del lr0 192.168.0.0/16",
    "lr-route-list lr0",
    "lr-nat-add lr0 snat 172.16.0.1 10.0.0.0/24",
    "lr-nat-list lr0",
    "show",
    "show sw0",
    "set Logical_Switch_Port p1 external_ids:a=1 external_ids:b=2",
    "get Logical_Switch_Port p1 external_ids:a",
    "remove Logical_Switch_Port p1 external_ids a",
    "add Logical_Switch_Port p1 addresses unknown",
    "set Logical_Switch_Port p1 tag=0",
    "set Logical_Switch_Port p1 nosuch=1",
    "set Logical_Switch_Port p1 tag=4095 type=localport",
    "list Logical_Switch_Port p1",
    "list Logical_Router_Port",
    "--columns=name,addresses find Logical_Switch_Port type=localport",
    "--bare --columns=name find Logical_Switch_Port options:router-port=lrp0",
    "find Logical_Switch name=nosuch",
    "list Logical_Switch",
    "list NB_Global",
    "acl-add sw0 to-lport 1000 ip4 drop",
    "acl-add sw0 to-lport 99999 ip4 drop",
    "acl-list sw0",
    "create Address_Set name=as1 addresses=10.0.0.1",
    "create Address_Set name=as1 addresses=10.0.0.2",
    "ls-add tx1 -- lsp-add tx1 tx1p -- lsp-set-addresses tx1p dynamic",
    "ls-add tx2 -- ls-add tx2",
    "lb-add lb0 10.0.0.100:80 10.0.0.1:80,10.0.0.2:80",
    "ls-lb-add sw0 lb0",
    "lb-del lb0",
    "ls-lb-list sw0",
    "list Load_Balancer",
    "lsp-del p2",
    "lsp-del nosuch",
    "--if-exists lsp-del nosuch",
    "destroy Logical_Switch sw1",
    "destroy Logical_Switch sw1",
    "lrp-del lrp0",
    "lr-del lr0",
    "ls-del sw0",
    "ls-del sw0",
    "list Logical_Switch_Port",
    "list ACL",
    "show",
    "--no-leader-only sync",
    "list NB_Global",
];

#[tokio::test]
async fn ovn_nbctl_prints_the_same_on_wefts_server_as_on_the_real_one() {
    let weft = Server::weft().await;
    let real = Server::real().await;
    let (on_weft, on_real) = (Nbctl::new(&weft), Nbctl::new(&real));
    for line in SCRIPT {
        let (printed, expected) = (on_weft.run(line).await, on_real.run(line).await);
        assert_eq!(
            printed.normalized(),
            expected.normalized(),
            "ovn-nbctl {line}"
        );
        for complaint in ["lacks", "missing", "schema"] {
            assert!(
                !printed.stderr.contains(complaint),
                "ovn-nbctl {line}: {}",
                printed.stderr
            );
        }
    }
}

#[tokio::test]
async fn ovn_nbctl_says_what_users_know_it_to_say() {
    let server = Server::weft().await;
    let nbctl = Nbctl::new(&server);
    for (line, stdout, stderr) in [
        ("ls-add sw0", "", ""),
        (
            "ls-add sw0",
            "",
            "ovn-nbctl: sw0: a switch with this name already exists\n",
        ),
        ("lsp-add sw0 p1", "", ""),
        ("lsp-set-addresses p1 02:00:00:00:00:01", "", ""),
        ("lsp-get-addresses p1", "02:00:00:00:00:01\n", ""),
        (
            "--bare --columns=name find Logical_Switch_Port name=p1",
            "p1\n",
            "",
        ),
        (
            "lsp-del nosuch",
            "",
            "ovn-nbctl: nosuch: port name not found\n",
        ),
    ] {
        let printed = nbctl.run(line).await;
        assert_eq!(
            (printed.stdout.as_str(), printed.stderr.as_str()),
            (stdout, stderr),
            "ovn-nbctl {line}"
        );
    }
    // A name that two rows of an indexed table would have: ovn-nbctl does not look, the server does.
    nbctl.run("create Address_Set name=as1").await;
    let refused = nbctl.run("create Address_Set name=as1").await;
    assert!(!refused.success);
    assert!(
        refused.stderr.contains("constraint violation"),
        "{}",
        refused.stderr
    );
}
