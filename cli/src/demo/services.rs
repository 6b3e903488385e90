//! Services: each port of each one, asked from every pod.
//!
//! ```text
//! manifests ─▶ who should answer ──────────────┐
//! rows of the northbound database ─▶ addresses ─┴▶ 20 tries per pod and port ─▶ who answered
//! ```
//!
//! Must not: take an address for a Service's that the database does not say is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    net::SocketAddr,
    path::Path,
    sync::Arc,
};

use anyhow::{Result, bail};
use futures::{StreamExt, stream};
use k8s_openapi::{
    api::core::v1::{ContainerPort, Pod as PodObject, Service as ServiceObject},
    apimachinery::pkg::util::intstr::IntOrString,
};
use weft_e2e::{
    expectation::{PodFacts, ServiceFacts, is_served},
    pod::Pod,
    probe::ask,
    responder::Transport,
};
use weft_northd::{index::Object, standalone};
use weft_ovsdb::{Connection, Operation, OperationResult};
use weft_schema::{Table, keys, nb::LoadBalancer};

use super::report::Service;
use crate::terminal::{Colour, Tone};

/// What the manifests in a directory say about the ports of Services, in order of name and place. Headless Services have none.
pub(super) fn facts(
    directory: &Path,
    router_of: impl Fn(&str) -> Option<String>,
) -> Result<Vec<ServiceFacts>> {
    let (objects, _reported_by_weft_run) = standalone::load(directory)?;
    let mut services = BTreeMap::new();
    let mut pods: Vec<(String, String, PodObject)> = Vec::new();
    for object in objects {
        let reference = object.value.reference();
        match object.value {
            Object::Service(service) => {
                services.insert((reference.namespace, reference.name), service);
            }
            Object::Pod(pod) => pods.push((reference.namespace, reference.name, *pod)),
            _ => {}
        }
    }
    let mut facts = Vec::new();
    for ((namespace, name), service) in services {
        let selected: Vec<(String, &PodObject)> = pods
            .iter()
            .filter(|(of, _, pod)| *of == namespace && is_selected(&service, pod))
            .map(|(of, pod, object)| (format!("{of}/{pod}"), object))
            .collect();
        for (protocol, port, target) in ports(&service) {
            let transport = match protocol.as_str() {
                "TCP" => Some(Transport::Tcp),
                "UDP" => Some(Transport::Udp),
                _ => None,
            };
            let listens = |pod: &PodObject| {
                declared(pod).any(|declared| {
                    let is_target = match &target {
                        IntOrString::Int(number) => declared.container_port == *number,
                        IntOrString::String(name) => declared.name.as_ref() == Some(name),
                    };
                    is_target && declared.protocol.as_deref().unwrap_or("TCP") == protocol
                })
            };
            // A pod without the named port is no endpoint of it.
            let is_endpoint =
                |pod: &PodObject| listens(pod) || matches!(target, IntOrString::Int(_));
            let endpoints = selected.iter().filter(|(_, pod)| is_endpoint(pod));
            let (listening, silent): (Vec<_>, Vec<_>) =
                endpoints.partition(|(_, pod)| listens(pod));
            facts.push(ServiceFacts {
                name: format!("{namespace}/{name}"),
                router: router_of(&namespace),
                transport,
                port,
                endpoints: listening
                    .into_iter()
                    .map(|(name, _)| name.clone())
                    .collect(),
                has_silent_endpoints: !silent.is_empty(),
            });
        }
    }
    Ok(facts)
}

/// Protocol, number and target of each port that has an address.
fn ports(service: &ServiceObject) -> Vec<(String, u16, IntOrString)> {
    let spec = service.spec.clone().unwrap_or_default();
    if spec.cluster_ip.as_deref() == Some("None") || spec.type_.as_deref() == Some("ExternalName") {
        return Vec::new();
    }
    let ports = spec.ports.unwrap_or_default().into_iter();
    let read = ports.filter_map(|port| {
        let number = u16::try_from(port.port).ok().filter(|port| *port > 0)?;
        let target = match port.target_port {
            None | Some(IntOrString::Int(0)) => IntOrString::Int(port.port),
            Some(target) => target,
        };
        Some((
            port.protocol.unwrap_or_else(|| "TCP".into()),
            number,
            target,
        ))
    });
    read.collect()
}

fn is_selected(service: &ServiceObject, pod: &PodObject) -> bool {
    let spec = service.spec.as_ref();
    let selector = spec.and_then(|spec| spec.selector.as_ref());
    let labels = pod.metadata.labels.as_ref();
    let has = |key: &String| labels.and_then(|labels| labels.get(key));
    selector.is_some_and(|selector| {
        !selector.is_empty() && selector.iter().all(|(key, value)| has(key) == Some(value))
    })
}

fn declared(pod: &PodObject) -> impl Iterator<Item = &ContainerPort> {
    let spec = pod.spec.iter();
    spec.flat_map(|spec| &spec.containers)
        .flat_map(|container| container.ports.iter().flatten())
}

/// Virtual addresses of Services, by name, protocol and port.
pub(super) type Addresses = BTreeMap<(String, String, u16), Vec<SocketAddr>>;

/// The addresses at which pods reach Services, as the northbound database has them.
pub(super) async fn addresses(northbound: &Connection) -> Result<Addresses> {
    let select = Operation::Select {
        table: LoadBalancer::NAME.into(),
        conditions: vec![],
        columns: None,
    };
    let results = northbound.transact(vec![select]).await?;
    let Some(OperationResult::Rows(rows)) = results.into_iter().next() else {
        bail!("a select of load balancers was answered with something else than rows");
    };
    let mut addresses = Addresses::new();
    for (uuid, row) in rows {
        let row = LoadBalancer::from_row(uuid, &row)?;
        let id = |key| row.external_ids.get(key);
        let (Some(namespace), Some(name)) = (id(keys::NAMESPACE), id(keys::SERVICE)) else {
            continue;
        };
        // What only hosts ask is not for pods.
        if row.name.ends_with("@hosts") {
            continue;
        }
        let protocol = row.protocol.clone().unwrap_or_default();
        for vip in row
            .vips
            .keys()
            .filter_map(|vip| vip.parse::<SocketAddr>().ok())
        {
            let at = (format!("{namespace}/{name}"), protocol.clone(), vip.port());
            addresses.entry(at).or_default().push(vip);
        }
    }
    Ok(addresses)
}

/// Asks every port of every Service from every pod. A row is reached when every try was answered by one of its endpoints.
pub(super) async fn probe(
    pods: &[Arc<Pod>],
    pod_facts: &BTreeMap<String, PodFacts>,
    services: &[ServiceFacts],
    addresses: &Addresses,
) -> Vec<Service> {
    let nothing = PodFacts::default();
    let rows = pods
        .iter()
        .flat_map(|from| services.iter().map(move |service| (from, service)));
    stream::iter(rows)
        .map(|(from, service)| {
            let facts = pod_facts.get(from.name()).unwrap_or(&nothing);
            let proto = match service.transport {
                Some(Transport::Tcp) => "tcp",
                Some(Transport::Udp) => "udp",
                None => "sctp",
            };
            let at = (service.name.clone(), proto.to_owned(), service.port);
            let vips = addresses.get(&at).map_or(&[][..], Vec::as_slice);
            async move {
                let (answers, tries) = match service.transport {
                    Some(transport) if !vips.is_empty() => try_often(from, vips, transport).await,
                    _ => (Vec::new(), TRIES),
                };
                let strangers = answers.iter().any(|name| !service.endpoints.contains(name));
                // What weft gave no address, it has said why.
                let expected = is_served(facts, service).filter(|_| !vips.is_empty());
                Service {
                    from: from.name().to_owned(),
                    to: service.name.clone(),
                    port: service.port,
                    proto,
                    reached: answers.len() == tries && !strangers,
                    is_as_expected: match expected {
                        None => !strangers,
                        Some(true) => answers.len() == tries && !strangers,
                        Some(false) => answers.is_empty(),
                    },
                    endpoints: BTreeSet::from_iter(answers).into_iter().collect(),
                }
            }
        })
        .buffered(AT_A_TIME)
        .collect()
        .await
}

/// Who answered, and how many times was asked. The addresses take turns; where none answers once, each is asked no more than once:
/// what does not answer costs its time.
async fn try_often(from: &Pod, vips: &[SocketAddr], transport: Transport) -> (Vec<String>, usize) {
    let turns = vips.iter().cycle().take(TRIES.max(vips.len()));
    let mut answers = Vec::new();
    for (tried, vip) in turns.enumerate() {
        if tried >= vips.len() && answers.is_empty() {
            break;
        }
        answers.extend(ask(from, *vip, transport).await);
    }
    (answers, TRIES.max(vips.len()))
}

/// A line per port of a Service, for people.
pub(super) fn render(services: &[Service], colour: Colour) -> String {
    let mut ports: Vec<(&str, &str, u16)> = Vec::new();
    for row in services {
        let port = (row.to.as_str(), row.proto, row.port);
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    let label = |(to, proto, port): &(&str, &str, u16)| format!("{to} {port}/{proto}");
    let width = ports.iter().map(|port| label(port).chars().count()).max();
    let width = width.unwrap_or(0);
    let mut text = String::new();
    for port in &ports {
        let rows = || {
            services
                .iter()
                .filter(|row| (row.to.as_str(), row.proto, row.port) == *port)
        };
        let reached = rows().filter(|row| row.reached).count();
        let endpoints: BTreeSet<&str> = rows()
            .flat_map(|row| row.endpoints.iter().map(String::as_str))
            .collect();
        let wrong: Vec<&str> = rows()
            .filter(|row| !row.is_as_expected)
            .map(|row| row.from.as_str())
            .collect();
        let tone = match (wrong.is_empty(), reached) {
            (false, _) => Tone::Bad,
            (true, 0) => Tone::Faint,
            (true, _) => Tone::Good,
        };
        let from = colour.paint(tone, format!("from {reached} of {} pods", rows().count()));
        let by = match endpoints.is_empty() {
            true => "nobody answers".to_owned(),
            false => Vec::from_iter(endpoints).join(", "),
        };
        let _ = writeln!(text, "  {:width$}   {from}   {by}", label(port));
        if !wrong.is_empty() {
            let line = format!("not as the manifests say from {}", wrong.join(", "));
            let _ = writeln!(text, "  {:width$}   {}", "", colour.paint(Tone::Bad, line));
        }
    }
    text
}

/// How many times each port is asked from each pod.
const TRIES: usize = 20;
const AT_A_TIME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(from: &str, to: &str, endpoints: &[&str], is_as_expected: bool) -> Service {
        Service {
            from: from.to_owned(),
            to: to.to_owned(),
            port: 80,
            proto: "tcp",
            reached: !endpoints.is_empty(),
            endpoints: endpoints.iter().map(|name| (*name).to_owned()).collect(),
            is_as_expected,
        }
    }

    #[test]
    fn the_example_says_who_should_answer() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/services");
        let router = |namespace: &str| (namespace == "red").then(|| "red".to_owned());
        let facts = facts(&directory, router).expect("read");
        let lines: Vec<String> = facts
            .iter()
            .map(|facts| {
                let endpoints = Vec::from_iter(facts.endpoints.iter().map(String::as_str));
                format!("{} {} {}", facts.name, facts.port, endpoints.join(" "))
            })
            .collect();
        assert_eq!(
            lines,
            [
                "office/names 53 office/names-0 office/names-1",
                "office/names 53 office/names-0 office/names-1",
                "red/app 80 red/app-0 red/app-1",
                "shop/sold-out 80 ",
                "shop/web 80 shop/blue-0 shop/blue-1 shop/green-0",
            ]
        );
        let on = |router: Option<&str>| PodFacts {
            router: router.map(str::to_owned),
            ..PodFacts::default()
        };
        let served = |from| Vec::from_iter(facts.iter().map(|facts| is_served(&on(from), facts)));
        let yes = Some(true);
        let no = Some(false);
        assert_eq!(served(None), [yes, yes, no, no, yes]);
        assert_eq!(served(Some("red")), [no, no, yes, no, no]);
    }

    #[test]
    fn each_port_has_a_line_that_says_who_answers_and_from_where_it_is_wrong() {
        let rows = [
            row("a/x", "a/web", &["a/y", "a/x"], true),
            row("a/x", "a/none", &[], true),
            row("a/y", "a/web", &["a/y"], true),
            row("a/y", "a/none", &[], false),
        ];
        assert_eq!(
            render(&rows, Colour::Off),
            "  a/web 80/tcp    from 2 of 2 pods   a/x, a/y\n  \
             a/none 80/tcp   from 0 of 2 pods   nobody answers\n  \
             \x20               not as the manifests say from a/y\n"
        );
    }
}
