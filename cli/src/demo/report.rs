//! What a run of the demo found, in the shape that `--json` prints.
//!
//! Invariant: `ok` is true only when every pair and Service is as expected and nothing failed on the way.
//!
//! Must not: know how it was found.

use serde::Serialize;
use weft_e2e::probe::{Family, Probe};

/// The one object on stdout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// The pods that have an address, or should.
    pub pods: Vec<Pod>,
    /// One row per ordered pair of different pods, probe and address family that both have.
    pub pairs: Vec<Pair>,
    /// One row per pod and port of a Service.
    pub services: Vec<Service>,
    /// Whether every row is as expected.
    pub ok: bool,
    /// What ended the run early, if anything did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A pod and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pod {
    /// `namespace/name`.
    pub name: String,
    /// The node it is on; none when it could not be placed.
    pub node: Option<String>,
    /// Its addresses, IPv4 first.
    pub ips: Vec<std::net::IpAddr>,
}

/// One probe from one pod to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// `namespace/name` of the sender.
    pub from: String,
    /// `namespace/name` of the one it means to reach.
    pub to: String,
    /// `ipv4` or `ipv6`.
    #[serde(serialize_with = "as_text")]
    pub family: Family,
    /// `icmp`, `tcp` or `udp`.
    pub proto: &'static str,
    /// Null for icmp.
    pub port: Option<u16>,
    /// Whether the pod that was meant saw it and its answer came back.
    pub reached: bool,
    /// Whether the manifests say that it should.
    pub expected: bool,
    /// Round-trip time in microseconds; null when not reached.
    pub rtt_us: Option<u64>,
}

/// One port of a Service, tried from one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// `namespace/name` of the pod.
    pub from: String,
    /// `namespace/name` of the Service.
    pub to: String,
    /// Port of the Service.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub proto: &'static str,
    /// Whether every try was answered by a pod behind the Service.
    pub reached: bool,
    /// The pods that answered, by `namespace/name`.
    pub endpoints: Vec<String>,
    /// Whether that is what the manifests say.
    #[serde(skip)]
    pub is_as_expected: bool,
}

impl Pair {
    /// Whether what happened is what should have.
    pub fn is_as_expected(&self) -> bool {
        self.reached == self.expected
    }

    /// Whether this row is of that probe and family.
    pub fn is_of(&self, probe: Probe, family: Family) -> bool {
        self.proto == probe.protocol() && self.port == probe.port() && self.family == family
    }
}

fn as_text<S: serde::Serializer>(value: &Family, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl Report {
    /// Sets `ok`: nothing failed, and all rows agree.
    pub fn judge(&mut self) {
        self.ok = self.error.is_none()
            && self.pairs.iter().all(Pair::is_as_expected)
            && self.services.iter().all(|service| service.is_as_expected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(reached: bool, expected: bool) -> Pair {
        Pair {
            from: "a/x".to_owned(),
            to: "a/y".to_owned(),
            family: Family::Ipv4,
            proto: "icmp",
            port: None,
            reached,
            expected,
            rtt_us: reached.then_some(123),
        }
    }

    fn service(is_as_expected: bool) -> Service {
        Service {
            from: "a/x".to_owned(),
            to: "a/web".to_owned(),
            port: 80,
            proto: "tcp",
            reached: true,
            endpoints: vec!["a/x".to_owned(), "a/y".to_owned()],
            is_as_expected,
        }
    }

    #[test]
    fn the_object_has_exactly_the_documented_shape() {
        let mut report = Report {
            nodes: vec!["n1".to_owned()],
            pods: vec![Pod {
                name: "a/x".to_owned(),
                node: Some("n1".to_owned()),
                ips: vec!["10.128.0.9".parse().expect("an address")],
            }],
            pairs: vec![pair(true, true), pair(false, false)],
            services: vec![service(true)],
            ..Report::default()
        };
        report.judge();
        assert_eq!(
            serde_json::to_string(&report).expect("JSON"),
            concat!(
                r#"{"nodes":["n1"],"pods":[{"name":"a/x","node":"n1","ips":["10.128.0.9"]}],"pairs":["#,
                r#"{"from":"a/x","to":"a/y","family":"ipv4","proto":"icmp","port":null,"reached":true,"expected":true,"rtt_us":123},"#,
                r#"{"from":"a/x","to":"a/y","family":"ipv4","proto":"icmp","port":null,"reached":false,"expected":false,"rtt_us":null}"#,
                r#"],"services":[{"from":"a/x","to":"a/web","port":80,"proto":"tcp","reached":true,"endpoints":["a/x","a/y"]}],"ok":true}"#
            )
        );
    }

    #[test]
    fn a_service_that_is_not_as_the_manifests_say_makes_it_not_ok() {
        for is_as_expected in [true, false] {
            let mut report = Report {
                services: vec![service(true), service(is_as_expected)],
                ..Report::default()
            };
            report.judge();
            assert_eq!(report.ok, is_as_expected);
        }
    }

    #[test]
    fn a_lost_pair_a_leaked_pair_and_a_failure_each_make_it_not_ok() {
        for (pairs, error) in [
            (vec![pair(true, true), pair(false, true)], None),
            (vec![pair(true, false)], None),
            (vec![pair(true, true)], Some("no Open vSwitch".to_owned())),
        ] {
            let mut report = Report {
                pairs,
                error,
                ok: true,
                ..Report::default()
            };
            report.judge();
            assert!(!report.ok, "{report:?}");
        }
    }
}
