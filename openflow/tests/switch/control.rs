//! What a session does, in its simplest form: one request at a time.

use std::collections::VecDeque;

use bytes::Bytes;
use openflow_rs::connection::{Connection, Sender};
use openflow_rs::framing::Received;
use openflow_rs::{
    BundleAdd, BundleStep, ErrorMessage, Flow, FlowRequest, Group, Message, MultipartReply,
    MultipartRequest, Part, Reassembly, TlvCommand, TlvMapping, TlvTableMod,
};
use tokio::sync::mpsc;

use crate::harness::{Switch, TIMEOUT};
use crate::{Failed, bundle};

/// Entries of the largest dump in these tests, and some.
const DUMP_MAX: usize = 100_000;

pub struct Control {
    sender: Sender,
    received: mpsc::Receiver<Received>,
    /// Messages that nobody asked for.
    unasked: VecDeque<Message>,
    xid: u32,
}

impl Control {
    pub async fn connect(switch: &Switch) -> Control {
        let connection = Connection::connect(&switch.remote(), None, TIMEOUT)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let (sender, mut receiver) = connection.split();
        // A full channel stops reading: the tests ask for less than this at a time.
        let (queue, received) = mpsc::channel(100_000);
        tokio::spawn(async move {
            while let Ok(Some(message)) = receiver.receive().await {
                if queue.send(message).await.is_err() {
                    break;
                }
            }
        });
        Control {
            sender,
            received,
            unasked: VecDeque::new(),
            xid: 0,
        }
    }

    fn xid(&mut self) -> u32 {
        self.xid += 1;
        self.xid
    }

    async fn next(&mut self) -> (u32, Message) {
        let received = tokio::time::timeout(TIMEOUT, self.received.recv()).await;
        let received = received
            .expect("an answer in time")
            .expect("the connection stays");
        let message = received
            .message
            .unwrap_or_else(|error| panic!("{error}: {:02x?}", received.bytes));
        (received.header.xid, message)
    }

    /// The next message with a transaction ID; others are kept.
    async fn answer(&mut self, xid: u32) -> Message {
        loop {
            match self.next().await {
                (of, message) if of == xid && of != 0 => return message,
                (_, message) => self.unasked.push_back(message),
            }
        }
    }

    /// The next message that nobody asked for and that is wanted.
    pub async fn told(&mut self, is_wanted: impl Fn(&Message) -> bool) -> Message {
        loop {
            let message = match self.unasked.pop_front() {
                Some(message) => message,
                None => self.next().await.1,
            };
            if is_wanted(&message) {
                return message;
            }
        }
    }

    /// Sends a request; gives its answer.
    pub async fn ask(&mut self, message: Message) -> Message {
        let xid = self.xid();
        self.sender.send(xid, &message).await.unwrap();
        self.answer(xid).await
    }

    /// Sends a message that must be carried out.
    pub async fn tell(&mut self, message: Message) {
        if let Some(error) = self.attempt(&message).await {
            panic!("{error}: {message:?}");
        }
    }

    /// Sends a message until it is carried out; for now it may be refused with this error.
    pub async fn tell_in_time(&mut self, message: Message, for_now: &str) {
        let deadline = tokio::time::Instant::now() + TIMEOUT;
        while let Some(error) = self.attempt(&message).await {
            assert_eq!(error.to_string(), for_now, "{message:?}");
            assert!(
                tokio::time::Instant::now() < deadline,
                "{error} for {TIMEOUT:?}: {message:?}"
            );
        }
    }

    /// Sends a message that must be refused.
    pub async fn refused(&mut self, message: Message) -> ErrorMessage {
        self.attempt(&message)
            .await
            .unwrap_or_else(|| panic!("accepted: {message:?}"))
    }

    /// Sends a whole message that must be carried out.
    pub async fn tell_bytes(&mut self, bytes: Bytes) {
        let (_, message) = Message::decode(&bytes).expect("a message");
        self.tell(message).await;
    }

    async fn attempt(&mut self, message: &Message) -> Option<ErrorMessage> {
        let (xid, barrier) = (self.xid(), self.xid());
        self.sender.send(xid, message).await.unwrap();
        self.sender
            .send(barrier, &Message::BarrierRequest)
            .await
            .unwrap();
        let mut error = None;
        loop {
            match self.next().await {
                (of, Message::BarrierReply) if of == barrier => return error,
                (of, Message::Error(found)) if of == xid => error = Some(found),
                (_, message) => self.unasked.push_back(message),
            }
        }
    }

    pub async fn dump(&mut self, request: MultipartRequest) -> MultipartReply {
        let xid = self.xid();
        self.sender
            .send(xid, &Message::MultipartRequest(Part::last(request)))
            .await
            .unwrap();
        let mut reassembly = Reassembly::new();
        loop {
            let message = self.answer(xid).await;
            let Message::MultipartReply(part) = message else {
                panic!("{message:?}")
            };
            if let Some(reply) = reassembly.push(part, DUMP_MAX).expect("parts of one reply") {
                return reply;
            }
        }
    }

    pub async fn flows(&mut self) -> Vec<Flow> {
        let reply = self.dump(MultipartRequest::Flows(FlowRequest::all())).await;
        let MultipartReply::Flows(flows) = reply else {
            panic!("{reply:?}")
        };
        flows.into_iter().map(|desc| desc.flow).collect()
    }

    pub async fn groups(&mut self) -> Vec<Group> {
        let reply = self
            .dump(MultipartRequest::Groups(openflow_rs::ALL_GROUPS))
            .await;
        let MultipartReply::Groups(mut groups) = reply else {
            panic!("{reply:?}")
        };
        groups.sort();
        groups
    }

    pub async fn map_option(&mut self, mapping: TlvMapping) {
        let change = TlvTableMod {
            command: TlvCommand::Add,
            mappings: vec![mapping],
        };
        self.tell(Message::TlvTableMod(change)).await;
    }

    /// Sends messages in one bundle; waits until it is carried out or refused.
    pub async fn commit(
        &mut self,
        messages: impl IntoIterator<Item = Bytes>,
    ) -> Result<(), Failed> {
        let id = self.xid();
        let open = self.ask(bundle(id, BundleStep::OpenRequest)).await;
        assert!(
            matches!(&open, Message::BundleControl(control) if control.step == BundleStep::OpenReply),
            "{open:?}"
        );
        let mut xids = Vec::new();
        for message in messages {
            let xid = self.xid();
            xids.push(xid);
            self.sender
                .feed(BundleAdd::wrap(id, xid, &message).expect("it fits"))
                .await
                .unwrap();
        }
        let barrier = self.xid();
        self.sender
            .send(barrier, &Message::BarrierRequest)
            .await
            .unwrap();
        let mut errors = Vec::new();
        let mut last = barrier;
        loop {
            match self.next().await {
                (of, Message::BarrierReply) if of == barrier => {
                    let step = if errors.is_empty() {
                        BundleStep::CommitRequest
                    } else {
                        BundleStep::DiscardRequest
                    };
                    last = self.xid();
                    self.sender.send(last, &bundle(id, step)).await.unwrap();
                }
                (of, Message::BundleControl(_)) if of == last => {
                    return if errors.is_empty() {
                        Ok(())
                    } else {
                        Err(Failed { errors, xids })
                    };
                }
                (of, Message::Error(error)) => {
                    errors.push(error);
                    if of == last {
                        return Err(Failed { errors, xids });
                    }
                }
                (_, message) => self.unasked.push_back(message),
            }
        }
    }
}
