//! Time, refusals and coalescing, where a real switch could only be waited for. The peer here answers each message as Open
//! vSwitch does; that Open vSwitch does so is for `controller/tests` and the packet cases to show.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use openflow_rs::{
    BundleControl, BundleStep, ErrorMessage, Features, MultipartReply, MultipartRequest, Part,
    TlvTableReply,
};

use super::*;

/// A session and the switch it talks to.
struct Peer {
    session: Session,
    now: Instant,
    /// Destinations of flows that the switch has no room for.
    full: BTreeSet<&'static str>,
    /// What it has not answered yet.
    answers: VecDeque<(u32, Message)>,
    bundle: Vec<(u32, String)>,
    /// What it was asked to carry out: the flows of each bundle, whatever became of it.
    committed: Vec<Vec<String>>,
    reads: usize,
    /// The meters it has, by number, and what was done in which order.
    meters: Vec<openflow_rs::Meter>,
    steps: Vec<String>,
    told: Vec<Effect>,
}

impl Peer {
    /// Connected, read and empty.
    fn ready() -> Peer {
        let now = Instant::now();
        let mut peer = Peer {
            session: Session::new(Duration::from_secs(5), now),
            now,
            full: BTreeSet::new(),
            answers: VecDeque::new(),
            bundle: Vec::new(),
            committed: Vec::new(),
            reads: 0,
            meters: Vec::new(),
            steps: Vec::new(),
            told: Vec::new(),
        };
        peer.deliver(&[], 1);
        peer.event(Event::Connected);
        peer.answer();
        peer.told.clear();
        peer
    }

    fn event(&mut self, event: Event) {
        for effect in self.session.handle(event, self.now) {
            match effect {
                Effect::Send(bytes) => self.hear(&bytes),
                Effect::Note(_) => {}
                effect => self.told.push(effect),
            }
        }
    }

    fn deliver(&mut self, destinations: &[&str], generation: u64) {
        let flows = destinations.iter().map(|destination| {
            let text = format!("table=8,ip,nw_dst={destination},actions=drop");
            let flow = CompiledFlow::new(text.parse().expect("a flow")).expect("encodes");
            (flow.key().clone(), Some(Arc::new(flow)))
        });
        self.event(Event::Delivered(Delivery {
            flows: flows.collect(),
            generation: Some(generation),
            ..Delivery::default()
        }));
    }

    /// Answers everything, and what is sent upon that.
    fn answer(&mut self) {
        while let Some((xid, message)) = self.answers.pop_front() {
            self.event(Event::Received { xid, message });
        }
    }

    /// Lets the time pass in which nothing else happens.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.session.deadline().filter(|at| *at <= until) {
            self.now = at;
            self.event(Event::Tick);
            self.answer();
        }
        self.now = until;
    }

    fn hear(&mut self, mut bytes: &[u8]) {
        while let [_, _, high, low, ..] = *bytes {
            let (one, rest) = bytes.split_at(usize::from(u16::from_be_bytes([high, low])));
            let (header, message) = Message::decode(one).expect("sessions send what is right");
            self.take_in(header.xid, message);
            bytes = rest;
        }
    }

    fn take_in(&mut self, xid: u32, message: Message) {
        let answer = match message {
            Message::FeaturesRequest => Message::FeaturesReply(Features {
                datapath_id: 1,
                buffers: 0,
                tables: 254,
                auxiliary_id: 0,
                capabilities: 0,
                reserved: 0,
            }),
            Message::TlvTableRequest => Message::TlvTableReply(TlvTableReply {
                space_max: 256,
                fields_max: 64,
                mappings: Vec::new(),
            }),
            Message::EchoRequest(data) => Message::EchoReply(data),
            Message::BarrierRequest => Message::BarrierReply,
            Message::MultipartRequest(request) => {
                let body = match request.body {
                    MultipartRequest::Flows(_) => {
                        self.reads += 1;
                        MultipartReply::Flows(Vec::new())
                    }
                    MultipartRequest::Groups(_) => MultipartReply::Groups(Vec::new()),
                    MultipartRequest::Meters(_) => MultipartReply::Meters(self.meters.clone()),
                    _ => return,
                };
                Message::MultipartReply(Part::last(body))
            }
            Message::BundleAdd(add) => {
                if let Ok((_, Message::FlowMod(change))) = Message::decode(&add.message) {
                    self.bundle.push((xid, change.flow.to_string()));
                }
                return;
            }
            Message::BundleControl(control) => {
                self.steps.push(format!("{:?}", control.step));
                return self.control(xid, control);
            }
            Message::MeterMod(change) => {
                self.steps
                    .push(format!("{:?} {}", change.command, change.meter.id));
                self.meters.retain(|meter| meter.id != change.meter.id);
                if change.command != openflow_rs::MeterCommand::Delete {
                    self.meters.push(change.meter);
                }
                return;
            }
            _ => return,
        };
        self.answers.push_back((xid, answer));
    }

    fn control(&mut self, xid: u32, control: BundleControl) {
        let step = match control.step {
            BundleStep::OpenRequest => BundleStep::OpenReply,
            _ => {
                let flows = std::mem::take(&mut self.bundle);
                // The first that does not fit ends it, and nothing is carried out.
                let misfit = flows.iter().find(|(_, flow)| {
                    let mut full = self.full.iter();
                    full.any(|destination| flow.contains(&format!("nw_dst={destination} ")))
                });
                let errors: Vec<_> = misfit
                    .into_iter()
                    // OFPFMFC_TABLE_FULL, then OFPBFC_MSG_FAILED.
                    .flat_map(|(flow, _)| [(*flow, 5, 1), (xid, 17, 8)])
                    .collect();
                self.committed
                    .push(flows.into_iter().map(|(_, flow)| flow).collect());
                for (xid, kind, code) in &errors {
                    let error = ErrorMessage {
                        kind: *kind,
                        code: *code,
                        experimenter: None,
                        data: Bytes::new(),
                    };
                    self.answers.push_back((*xid, Message::Error(error)));
                }
                if !errors.is_empty() {
                    return;
                }
                BundleStep::CommitReply
            }
        };
        let control = BundleControl { step, ..control };
        self.answers
            .push_back((xid, Message::BundleControl(control)));
    }

    /// How many flows each bundle had.
    fn bundles(&self) -> Vec<usize> {
        self.committed.iter().map(Vec::len).collect()
    }

    /// Somebody else changed a flow.
    fn disturb(&mut self) {
        let body = MultipartReply::Unknown {
            kind: 16,
            body: Bytes::from_static(&[0, 4, 0, 1]),
        };
        let message = Message::MultipartReply(Part::last(body));
        self.event(Event::Received { xid: 0, message });
        self.answer();
    }
}

/// Which destinations each telling names.
fn refused(told: &[Effect]) -> Vec<Vec<String>> {
    let tellings = told.iter().filter_map(|effect| match effect {
        Effect::Refused(refusals) => Some(refusals),
        _ => None,
    });
    let destination = |refusal: &Refusal| {
        let (_, rest) = refusal
            .what
            .split_once("nw_dst=")
            .expect("it names the flow");
        assert!(
            refusal.error.contains("TABLE_FULL"),
            "it names the error: {}",
            refusal.error
        );
        rest.split(' ').next().expect("a destination").to_owned()
    };
    tellings
        .map(|refusals| refusals.iter().map(destination).collect())
        .collect()
}

fn acknowledged(told: &[Effect]) -> Vec<u64> {
    let generations = told.iter().filter_map(|effect| match effect {
        Effect::Acknowledged(generation) => Some(*generation),
        _ => None,
    });
    generations.collect()
}

#[test]
fn what_changes_while_a_bundle_is_in_flight_is_one_bundle_after_it() {
    let mut peer = Peer::ready();
    peer.deliver(&["10.0.0.1"], 2);
    for generation in 3..1000 {
        // Two flows, over and over; and no answer yet.
        let destination = if generation % 2 == 0 {
            "10.0.0.2"
        } else {
            "10.0.0.3"
        };
        peer.deliver(&[destination], generation);
    }
    assert_eq!(peer.bundles(), [1], "more than one is in flight");
    peer.answer();
    assert_eq!(peer.bundles(), [1, 2]);
    assert_eq!(acknowledged(&peer.told), [2, 999]);
}

#[test]
fn a_switch_that_somebody_changes_without_end_is_read_at_most_twice_a_second() {
    let mut peer = Peer::ready();
    peer.pass(Duration::from_secs(10));
    let before = peer.reads;
    for _ in 0..1000 {
        peer.disturb();
        peer.pass(Duration::from_millis(10));
    }
    let reads = peer.reads - before;
    assert!((15..=21).contains(&reads), "{reads} reads in ten seconds");
    // And once it is left alone, once more at most, and then every five minutes.
    let before = peer.reads;
    peer.pass(Duration::from_secs(1000));
    let reads = peer.reads - before;
    assert!((3..=4).contains(&reads), "{reads} reads in 1000 seconds");
}

#[test]
fn what_a_switch_refuses_is_told_in_full_once_and_all_else_is_applied_and_acknowledged() {
    let mut peer = Peer::ready();
    peer.full.extend(["10.0.0.2", "10.0.0.4"]);
    peer.deliver(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"], 2);
    peer.answer();
    // A round for each that was refused.
    assert_eq!(peer.bundles(), [4, 3, 2]);
    assert_eq!(refused(&peer.told), [["10.0.0.2", "10.0.0.4"]]);
    assert!(
        matches!(peer.told[..], [Effect::Refused(_), Effect::Acknowledged(2)]),
        "{:?}",
        peer.told
    );
    let (flows, _) = peer.session.counts();
    assert_eq!((flows.installed, flows.refused), (2, 2));
    // What comes later goes its way, and what was told is not told again.
    peer.deliver(&["10.0.0.5"], 3);
    peer.answer();
    assert_eq!(peer.bundles(), [4, 3, 2, 1]);
    assert_eq!(acknowledged(&peer.told), [2, 3]);
    assert_eq!(refused(&peer.told).len(), 1);
}

#[test]
fn what_a_switch_refuses_is_tried_again_ever_more_rarely_and_alone() {
    let mut peer = Peer::ready();
    peer.full.insert("10.0.0.2");
    peer.deliver(&["10.0.0.1", "10.0.0.2"], 2);
    peer.answer();
    peer.committed.clear();
    peer.pass(Duration::from_secs(3));
    // After one second and after two more: the one that was refused.
    assert_eq!(peer.bundles(), [1, 1]);
    peer.committed.clear();
    peer.pass(Duration::from_secs(3600));
    // The dumps of this peer are empty, so that each reading sends the other flow again.
    let is_try = |flows: &&Vec<String>| flows.iter().any(|flow| flow.contains("10.0.0.2"));
    let tries = peer.committed.iter().filter(is_try).count();
    // After four seconds, eight, …, 256; then every 300.
    assert!((15..=20).contains(&tries), "{tries} in an hour");
    assert_eq!(refused(&peer.told).len(), 1, "told again: {:?}", peer.told);
    // There is room again, which nobody says.
    peer.full.clear();
    peer.pass(Duration::from_secs(300));
    assert_eq!(
        refused(&peer.told),
        [vec!["10.0.0.2".to_owned()], Vec::new()]
    );
    let (flows, _) = peer.session.counts();
    assert_eq!((flows.installed, flows.refused), (2, 0));
    // Another fault begins with short waits again.
    peer.full.insert("10.0.0.9");
    peer.deliver(&["10.0.0.9"], 3);
    peer.answer();
    peer.committed.clear();
    peer.pass(Duration::from_secs(3));
    assert_eq!(peer.bundles(), [1, 1]);
    // What nobody wants any more is not refused either.
    let flow = "table=8,ip,nw_dst=10.0.0.9,actions=drop".parse();
    let key = EncodedKey::of(&flow.expect("a flow")).expect("encodes");
    peer.event(Event::Delivered(Delivery {
        flows: [(key, None)].into_iter().collect(),
        groups: BTreeMap::new(),
        generation: Some(4),
        ..Delivery::default()
    }));
    peer.answer();
    assert_eq!(refused(&peer.told).last(), Some(&Vec::new()));
    assert_eq!(acknowledged(&peer.told), [2, 3, 4]);
}

#[test]
fn a_meter_is_there_before_the_flows_that_use_it_and_goes_after_them() {
    let mut peer = Peer::ready();
    let flow: openflow_rs::Flow =
        "table=8,ip,nw_dst=10.0.0.1,actions=controller(reason=action,meter_id=1)"
            .parse()
            .expect("a flow");
    let flow = Arc::new(CompiledFlow::new(flow).expect("encodes"));
    assert_eq!(flow.meter(), Some(1));
    let meter = CompiledMeter::numbered(1).map(Arc::new);
    let deliver = |peer: &mut Peer, is_wanted: bool, generation| {
        peer.event(Event::Delivered(Delivery {
            flows: [(flow.key().clone(), is_wanted.then(|| Arc::clone(&flow)))]
                .into_iter()
                .collect(),
            meters: BTreeMap::from([(1, meter.clone().filter(|_| is_wanted))]),
            generation: Some(generation),
            ..Delivery::default()
        }));
        peer.answer();
        std::mem::take(&mut peer.steps)
    };
    let bundle = ["OpenRequest", "CommitRequest"];
    let steps = deliver(&mut peer, true, 2);
    assert_eq!(steps, [&["Add 1"][..], &bundle].concat());
    assert_eq!(acknowledged(&peer.told), [2]);
    // Changed by hand, it is made right without a bundle of its own.
    peer.meters[0].bands[0].rate = 7;
    peer.disturb();
    peer.pass(Duration::from_secs(1));
    assert!(
        peer.steps.contains(&"Modify 1".to_owned()),
        "{:?}",
        peer.steps
    );
    assert_eq!(peer.meters[0].bands[0].rate, 100);
    peer.steps.clear();
    let steps = deliver(&mut peer, false, 3);
    assert_eq!(steps, [&bundle[..], &["Delete 1"]].concat());
    assert_eq!(acknowledged(&peer.told), [2, 3]);
}
