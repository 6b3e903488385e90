//! The nodes file: which nodes there are and where they are dialled.
//!
//! ```yaml
//! nodes:
//!   - name: n1
//!     ovsdb: unix:/run/openvswitch/db.sock
//!     openflow: unix:/run/openvswitch/br-int.mgmt   # optional
//!     encapIp: 192.0.2.1                            # optional
//!   - name: n2
//!     ovsdb: ssl:192.0.2.2:6640                     # the certificate shown there has to name n2
//! ```
//!
//! The file is watched. A version that does not parse changes nothing: the last good one stays in force, and each
//! distinct complaint is logged once.
//!
//! Invariants: names and addresses are unique within a file; every remote of a published [`Nodes`] can be dialled.
//!
//! Must not: dial anything, or know what the sessions do with a node.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::Watcher;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};
use tokio::sync::{mpsc, watch};
use weft_compiler::NodeName;
use weft_stream::{OPENFLOW_PORT, PeerName, Remote};

/// Every node of the nodes file, by name.
pub type Nodes = BTreeMap<NodeName, NodeSpec>;

/// Where one node is dialled. `encap_ip` wins over what the node itself says in `external_ids:ovn-encap-ip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// The node's OVSDB server, `unix:PATH`, `tcp:HOST:PORT` or `ssl:HOST:PORT`.
    pub ovsdb: Remote,
    /// The integration bridge's management socket or passive port. `None`: [`NodeSpec::openflow`] derives it.
    pub openflow: Option<Remote>,
    /// The address under which other nodes reach this node's tunnels.
    pub encap_ip: Option<IpAddr>,
}

impl NodeSpec {
    /// The OpenFlow address of `bridge` on this node: as given; else `BRIDGE.mgmt` beside a unix OVSDB socket, where
    /// `ovs-vswitchd` puts it; else port 6653 (IANA's) of the host that serves OVSDB.
    #[must_use]
    pub fn openflow(&self, bridge: &str) -> Remote {
        match (&self.openflow, &self.ovsdb) {
            (Some(given), _) => given.clone(),
            (None, Remote::Unix(socket)) => {
                Remote::Unix(socket.with_file_name(format!("{bridge}.mgmt")))
            }
            (None, Remote::Tcp { host, .. }) => Remote::Tcp {
                host: host.clone(),
                port: OPENFLOW_PORT,
            },
            (None, Remote::Ssl { host, .. }) => Remote::Ssl {
                host: host.clone(),
                port: OPENFLOW_PORT,
            },
        }
    }

    /// What the integration bridge has to listen on so that [`NodeSpec::openflow`] can be dialled; a management socket is
    /// always there. Bound to the address that is dialled, where it is one: pods are not to reach it on another.
    #[must_use]
    pub fn listener(&self) -> Option<Listener> {
        let (scheme, host, port) = match self.openflow("") {
            Remote::Unix(_) => return None,
            Remote::Tcp { host, port } => ("ptcp", host, port),
            Remote::Ssl { host, port } => ("pssl", host, port),
        };
        let target = match host.parse() {
            Ok(IpAddr::V4(ip)) => format!("{scheme}:{port}:{ip}"),
            Ok(IpAddr::V6(ip)) => format!("{scheme}:{port}:[{ip}]"),
            Err(_) => format!("{scheme}:{port}"),
        };
        Some(Listener { target, port })
    }

    /// Whether a certificate has to name this node.
    fn is_over_tls(&self) -> bool {
        let is_ssl = |remote: &Remote| matches!(remote, Remote::Ssl { .. });
        is_ssl(&self.ovsdb) || is_ssl(&self.openflow(""))
    }
}

/// Where a switch has to listen so that an address can be dialled, as a `Controller` row's `target` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// For instance `ptcp:6653:192.0.2.1`.
    pub target: String,
    /// The port alone: any listener on it will do.
    pub port: u16,
}

/// Why a nodes file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NodesError {
    /// The file cannot be read.
    #[error("{}: {source}; give the path of a readable nodes file", path.display())]
    Read {
        /// The nodes file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is no YAML of the expected shape.
    #[error("{}:{line}: {message}", path.display())]
    Parse {
        /// The nodes file.
        path: PathBuf,
        /// Where, from 1.
        line: u64,
        /// What is wrong there, in one line; names the field if one is at fault.
        message: String,
    },
    /// A field of one node holds something that cannot be used.
    #[error("{}:{line}: nodes[{index}] \"{node}\": {field}: {message}", path.display())]
    Field {
        /// The nodes file.
        path: PathBuf,
        /// Where, from 1.
        line: u64,
        /// Position in the list, from 0.
        index: usize,
        /// The node's name as written.
        node: String,
        /// The field's name as written in the file.
        field: &'static str,
        /// What was found and what to write instead.
        message: String,
    },
    /// The directory of the file cannot be watched.
    #[error("{}: cannot be watched: {source}; raise fs.inotify.max_user_watches if there are too many", path.display())]
    Watch {
        /// The nodes file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: notify::Error,
    },
}

/// Parses the text of a nodes file; `path` is for messages only.
///
/// # Errors
/// [`NodesError::Parse`] or [`NodesError::Field`]; nothing of a file with an error is used.
pub fn parse(path: &Path, text: &str) -> Result<Nodes, NodesError> {
    // A file that holds only comments is a list without nodes.
    let file: Option<NodesFile> =
        serde_saphyr::from_str(text).map_err(|error| unfit(path, &error))?;
    let mut nodes = Nodes::new();
    // By what must be its own, who has it already.
    let mut taken: BTreeMap<(&'static str, String), String> = BTreeMap::new();
    for (index, entry) in file.unwrap_or_default().nodes.into_iter().enumerate() {
        let name = entry.name.value.clone();
        let fault = |field, location: &Location, message| NodesError::Field {
            path: path.to_owned(),
            line: location.line(),
            index,
            node: name.clone(),
            field,
            message,
        };
        if name.is_empty() {
            let message = "is empty; write the node's name".to_owned();
            return Err(fault("name", &entry.name.referenced, message));
        }
        let address = |field, text: &Spanned<String>| {
            let parsed = Remote::parse(&text.value, None);
            parsed.map_err(|error| fault(field, &text.referenced, error.to_string()))
        };
        let ovsdb = address("ovsdb", &entry.ovsdb)?;
        let openflow = entry.openflow.as_ref();
        let openflow = openflow.map(|text| address("openflow", text)).transpose()?;
        let encap_ip = match &entry.encap_ip {
            Some(text) => Some(text.value.parse::<IpAddr>().map_err(|_| {
                let found = &text.value;
                let message = format!("\"{found}\" is no IP address; write one such as 192.0.2.1");
                fault("encapIp", &text.referenced, message)
            })?),
            None => None,
        };
        let mut own = vec![
            ("name", name.clone(), &entry.name.referenced),
            ("ovsdb", ovsdb.to_string(), &entry.ovsdb.referenced),
        ];
        if let (Some(address), Some(text)) = (&openflow, &entry.openflow) {
            own.push(("openflow", address.to_string(), &text.referenced));
        }
        if let (Some(address), Some(text)) = (encap_ip, &entry.encap_ip) {
            own.push(("encapIp", address.to_string(), &text.referenced));
        }
        for (field, value, location) in own {
            match taken.insert((field, value), name.clone()) {
                None => {}
                Some(_) if field == "name" => {
                    let message = "is used twice; give each node its own".to_owned();
                    return Err(fault(field, location, message));
                }
                Some(other) => {
                    let message = format!("is that of node \"{other}\"; give each node its own");
                    return Err(fault(field, location, message));
                }
            }
        }
        let spec = NodeSpec {
            ovsdb,
            openflow,
            encap_ip,
        };
        if spec.is_over_tls()
            && let Err(error) = PeerName::new(&name)
        {
            return Err(fault("name", &entry.name.referenced, error.to_string()));
        }
        nodes.insert(NodeName::from(name.as_str()), spec);
    }
    Ok(nodes)
}

/// The parser's complaint with its line in front, without the excerpt of the file that it prints below.
fn unfit(path: &Path, error: &serde_saphyr::Error) -> NodesError {
    let text = error.to_string();
    NodesError::Parse {
        path: path.to_owned(),
        line: error.location().map_or(1, |location| location.line()),
        message: text.lines().next().unwrap_or_default().to_owned(),
    }
}

/// Reads and parses a nodes file.
///
/// # Errors
/// As [`parse`], and [`NodesError::Read`].
pub fn load(path: &Path) -> Result<Nodes, NodesError> {
    let text = std::fs::read_to_string(path).map_err(|source| NodesError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(path, &text)
}

/// Publishes the nodes of `path`, now and whenever the file changes. Ends when no receiver is left. Needs a tokio
/// runtime.
///
/// # Errors
/// When the file is not good at the start, or its directory cannot be watched.
pub fn watch(path: &Path) -> Result<watch::Receiver<Nodes>, NodesError> {
    // One place is enough: a full channel already says "look again".
    let (touched, mut look) = mpsc::channel::<()>(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| !event.kind.is_access()) {
            let _full_says_the_same = touched.try_send(());
        }
    })
    .map_err(|source| NodesError::Watch {
        path: path.to_owned(),
        source,
    })?;
    // The directory, not the file: editors and ConfigMap mounts replace the file, and a watch on the old inode is blind.
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    watcher
        .watch(directory, notify::RecursiveMode::NonRecursive)
        .map_err(|source| NodesError::Watch {
            path: path.to_owned(),
            source,
        })?;
    // After the watch is in place, so that no change falls between.
    let (publish, nodes) = watch::channel(load(path)?);
    let path = path.to_owned();
    tokio::spawn(async move {
        let _watcher = watcher;
        let mut complaint = None;
        loop {
            tokio::select! {
                () = publish.closed() => return,
                touched = look.recv() => if touched.is_none() { return },
            }
            // A file is written in steps; wait for them to end rather than complain about a half.
            tokio::time::sleep(SETTLE).await;
            let path = path.clone();
            let loaded = tokio::task::spawn_blocking(move || load(&path)).await;
            match loaded {
                Ok(Ok(nodes)) => {
                    complaint = None;
                    publish.send_if_modified(|known| {
                        let differs = *known != nodes;
                        *known = nodes;
                        differs
                    });
                }
                Ok(Err(error)) => {
                    let text = error.to_string();
                    if complaint.as_ref() != Some(&text) {
                        tracing::error!(error = %text, "nodes file not taken; the last good one stays in force");
                        complaint = Some(text);
                    }
                }
                Err(_runtime_ends) => return,
            }
        }
    });
    Ok(nodes)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodesFile {
    #[serde(default)]
    nodes: Vec<NodeEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NodeEntry {
    name: Spanned<String>,
    ovsdb: Spanned<String>,
    openflow: Option<Spanned<String>>,
    encap_ip: Option<Spanned<String>>,
}

const SETTLE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
