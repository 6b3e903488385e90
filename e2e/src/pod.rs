//! A pod of the fabric: a network namespace, attached by the code that the CNI plugin uses, with a responder in it.
//!
//! ```text
//! Pod ─owns─▶ a task that notes which probes its interface received
//!     ─owns─▶ its responder's tasks        ─owns─▶ its pinger's tasks
//! ```
//!
//! Must not: configure what the CNI code configures.

use std::{
    collections::HashSet,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use tokio::{sync::Notify, task::JoinHandle};
use uuid::Uuid;
use weft_cni::{Attach, Attached, Detach, attach, detach, netns::Netns};

use crate::{
    node::Node,
    patience::scaled,
    probe::{Family, Pinger, Token, echo_request_token},
    responder::{ContainerPort, Responder},
    tap::{Direction, Tap},
};

/// What a pod is to be.
#[derive(Clone, Debug)]
pub struct PodSpec {
    /// `namespace/name`, which its responder answers.
    pub name: String,
    /// The logical switch port it is.
    pub port: String,
    /// Its UID.
    pub uid: String,
    /// The ports its responder listens on.
    pub container_ports: Vec<ContainerPort>,
}

/// A running pod.
#[derive(Debug)]
pub struct Pod {
    spec: PodSpec,
    node: Arc<Node>,
    netns: Netns,
    sandbox: String,
    attached: Attached,
    pinger: Pinger,
    _responder: Responder,
    seen: Arc<Seen>,
    watch: JoinHandle<()>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Pod {
    /// Makes the namespace, attaches it, and starts the responder. What was made is gone again when a step fails.
    ///
    /// # Errors
    /// The step that failed.
    pub async fn start(node: &Arc<Node>, spec: PodSpec, patience: Duration) -> anyhow::Result<Pod> {
        let sandbox = Uuid::new_v4().simple().to_string();
        let path = netns_path(&spec.port, &sandbox);
        let netns = Netns::create(&path)
            .with_context(|| format!("pod {}: network namespace", spec.name))?;
        let outcome = Pod::start_in(node, spec, netns, sandbox, patience).await;
        if outcome.is_err() {
            Netns::remove(&path)?;
        }
        outcome
    }

    async fn start_in(
        node: &Arc<Node>,
        spec: PodSpec,
        netns: Netns,
        sandbox: String,
        patience: Duration,
    ) -> anyhow::Result<Pod> {
        let what = Attach {
            ovsdb: node.ovsdb(),
            netns: netns.path().to_owned(),
            interface: INTERFACE.to_owned(),
            iface_id: spec.port.clone(),
            uid: spec.uid.clone(),
            sandbox: sandbox.clone(),
            patience,
        };
        let attached = node
            .netns()
            .run_async(async move || attach(&what).await)
            .await?
            .with_context(|| format!("pod {} on {}", spec.name, node.name()))?;
        let tap = Tap::open(&netns, INTERFACE)?;
        let seen = Arc::new(Seen::default());
        let noted = Arc::clone(&seen);
        let watch = tokio::spawn(async move {
            // Ends with the interface.
            while let Ok(frame) = tap.next().await {
                if frame.direction == Direction::In
                    && let Some(token) = echo_request_token(&frame.bytes)
                {
                    noted.note(token);
                }
            }
        });
        let pinger = Pinger::open(&netns)?;
        let responder = Responder::start(&netns, &spec.name, &spec.container_ports)
            .with_context(|| format!("pod {}: responder", spec.name))?;
        Ok(Pod {
            spec,
            node: Arc::clone(node),
            netns,
            sandbox,
            attached,
            pinger,
            _responder: responder,
            seen,
            watch,
        })
    }

    /// Detaches the pod and removes its namespace.
    ///
    /// # Errors
    /// The step that failed.
    pub async fn stop(&self) -> anyhow::Result<()> {
        let what = Detach {
            ovsdb: self.node.ovsdb(),
            interface: INTERFACE.to_owned(),
            sandbox: self.sandbox.clone(),
            patience: scaled(DETACH_PATIENCE),
        };
        let node = self.node.netns().clone();
        let detached = node.run_async(async move || detach(&what).await).await?;
        let removed = Netns::remove(self.netns.path());
        detached.with_context(|| format!("pod {}: detach", self.name()))?;
        removed.with_context(|| format!("pod {}: network namespace", self.name()))
    }

    /// `namespace/name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its logical switch port.
    #[must_use]
    pub fn port(&self) -> &str {
        &self.spec.port
    }

    /// Its UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.spec.uid
    }

    /// The node it runs on.
    #[must_use]
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Its network namespace.
    #[must_use]
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// How it was attached: MAC, addresses, gateways, MTU.
    #[must_use]
    pub fn attached(&self) -> &Attached {
        &self.attached
    }

    /// Its addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.attached
            .addresses
            .iter()
            .map(|network| network.addr())
            .collect()
    }

    /// Its first address of a family.
    #[must_use]
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses()
            .into_iter()
            .find(|address| Family::of(*address) == family)
    }

    /// A tap on its interface.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn tap(&self) -> anyhow::Result<Tap> {
        Ok(Tap::open(&self.netns, INTERFACE)?)
    }

    pub(crate) fn pinger(&self) -> &Pinger {
        &self.pinger
    }

    /// Waits until the pod's interface has received an echo request with this token; telling forgets it.
    pub(crate) async fn saw(&self, token: Token) {
        self.seen.wait_for(token).await;
    }
}

/// Tokens of the echo requests that an interface received.
#[derive(Debug, Default)]
struct Seen {
    tokens: Mutex<HashSet<Token>>,
    changed: Notify,
}

impl Seen {
    fn note(&self, token: Token) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_MAX {
            // Nobody asked for these: retries, and probes whose sender gave up.
            tokens.clear();
        }
        tokens.insert(token);
        self.changed.notify_waiters();
    }

    async fn wait_for(&self, token: Token) {
        let mut changed = std::pin::pin!(self.changed.notified());
        loop {
            // Before the look, so that nothing comes unnoticed in between.
            changed.as_mut().enable();
            if self
                .tokens
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&token)
            {
                return;
            }
            changed.as_mut().await;
            changed.set(self.changed.notified());
        }
    }
}

/// A file name that tells a reader which pod it is, and two incarnations of it apart.
fn netns_path(port: &str, sandbox: &str) -> PathBuf {
    let path = Path::new("/run/netns").join(port);
    if path.exists() {
        path.with_file_name(format!("{port}-{}", &sandbox[..8]))
    } else {
        path
    }
}

/// Name of a pod's interface inside the pod.
pub const INTERFACE: &str = "eth0";
const DETACH_PATIENCE: Duration = Duration::from_secs(5);
const TOKENS_MAX: usize = 10_000;
