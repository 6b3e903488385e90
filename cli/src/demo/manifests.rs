//! The manifests of a run: where they lie, what they say about pods, and the pod that is added and taken away.
//!
//! ```text
//! examples/quickstart, in the program ─┐
//! the user's directory ──copied────────┴▶ a directory in the sandbox ─▶ weft run
//!                       (and watched)      └ one file more: the pod that comes and goes
//! ```
//!
//! The user's directory is only ever read. What the manifests say is read without weft's compiler, or what runs now.
//!
//! Must not: write outside the sandbox's own directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use notify::Watcher;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use weft_e2e::{
    expectation::PodFacts,
    responder::{ContainerPort, Transport},
};
use weft_northd::{
    Diagnostic,
    index::{Object, ROUTER},
    standalone,
};

/// What is wrong with the manifests, and what they say about each pod, by `namespace/name`.
pub(super) type Facts = (BTreeMap<String, PodFacts>, Vec<Diagnostic>);

/// Reads what the manifests in a directory say about pods. Pods on the host's network, and those that have ended, are
/// none of weft's.
pub(super) fn facts(directory: &Path) -> Result<Facts> {
    let (objects, diagnostics) = standalone::load(directory)?;
    let mut routers = BTreeMap::new();
    let mut pods = BTreeMap::new();
    for object in objects {
        match object.value {
            Object::Namespace(namespace) => {
                let router = router_of(&namespace);
                routers.insert(namespace.metadata.name.unwrap_or_default(), router);
            }
            Object::Pod(pod) => {
                let spec = pod.spec.unwrap_or_default();
                let phase = pod.status.and_then(|status| status.phase);
                let has_ended = matches!(phase.as_deref(), Some("Succeeded" | "Failed"));
                if spec.host_network == Some(true) || has_ended {
                    continue;
                }
                let namespace = pod
                    .metadata
                    .namespace
                    .unwrap_or_else(|| "default".to_owned());
                let name = format!("{namespace}/{}", pod.metadata.name.unwrap_or_default());
                let ports = spec
                    .containers
                    .into_iter()
                    .flat_map(|container| container.ports.unwrap_or_default());
                let ports = ports.filter_map(|port| {
                    let transport = match port.protocol.as_deref() {
                        None | Some("TCP") => Transport::Tcp,
                        Some("UDP") => Transport::Udp,
                        Some(_) => return None,
                    };
                    Some(ContainerPort {
                        transport,
                        port: u16::try_from(port.container_port)
                            .ok()
                            .filter(|port| *port > 0)?,
                    })
                });
                pods.insert(name, (namespace, ports.collect::<BTreeSet<_>>()));
            }
            Object::Node(_) | Object::Service(_) | Object::EndpointSlice(_) => {}
        }
    }
    let facts = pods.into_iter().map(|(name, (namespace, ports))| {
        let router = routers.get(&namespace).cloned().flatten();
        (name, PodFacts { router, ports })
    });
    Ok((facts.collect(), diagnostics))
}

/// Reads which router each namespace is on; `None` is the cluster's.
pub(super) fn routers(directory: &Path) -> Result<BTreeMap<String, Option<String>>> {
    let (objects, _reported_by_weft_run) = standalone::load(directory)?;
    let routers = objects.into_iter().filter_map(|object| match object.value {
        Object::Namespace(namespace) => {
            let router = router_of(&namespace);
            Some((namespace.metadata.name.unwrap_or_default(), router))
        }
        _ => None,
    });
    Ok(routers.collect())
}

fn router_of(namespace: &Namespace) -> Option<String> {
    let annotations = namespace.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(ROUTER))
        .map(|name| name.trim().to_owned())
        .filter(|name| name != CLUSTER_ROUTER)
}

/// The directory that `weft run` watches.
#[derive(Debug)]
pub(super) struct Manifests {
    directory: PathBuf,
    /// Copies what the user changes; ends with this value.
    mirror: Option<JoinHandle<()>>,
}

impl Drop for Manifests {
    fn drop(&mut self) {
        if let Some(mirror) = &self.mirror {
            mirror.abort();
        }
    }
}

impl Manifests {
    /// Fills `directory` from the user's, now and whenever that changes; without one, with the quick start.
    pub(super) fn prepare(directory: PathBuf, source: Option<&Path>) -> Result<Manifests> {
        fs::create_dir_all(&directory)?;
        let mirror = match source {
            Some(source) => Some(mirror(source.to_owned(), directory.clone())?),
            None => {
                for (name, text) in QUICKSTART {
                    fs::write(directory.join(name), text)?;
                }
                None
            }
        };
        Ok(Manifests { directory, mirror })
    }

    /// Where they lie.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Adds a pod of its own file to a namespace.
    pub(super) fn add_pod(&self, namespace: &str, name: &str) -> io::Result<()> {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: {namespace}\nspec:\n  containers:\n    - name: main\n      image: example.org/main\n"
        );
        write_whole(&self.directory.join(ADDED), &text)
    }

    /// Takes that pod away again.
    pub(super) fn remove_pod(&self) -> io::Result<()> {
        fs::remove_file(self.directory.join(ADDED))
    }
}

/// Keeps `to` as `from` is. A directory that goes away, or a file that cannot be read, changes nothing.
fn mirror(from: PathBuf, to: PathBuf) -> Result<JoinHandle<()>> {
    // One place is enough: a full channel already says "look again".
    let (touched, mut look) = mpsc::channel::<()>(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| !event.kind.is_access()) {
            let _full_says_the_same = touched.try_send(());
        }
    })?;
    let shown = from.display().to_string();
    watcher
        .watch(&from, notify::RecursiveMode::NonRecursive)
        .with_context(|| format!("{shown} cannot be watched"))?;
    let mut copied =
        copy(&from, &to, &BTreeSet::new()).with_context(|| format!("reading {shown}"))?;
    Ok(tokio::spawn(async move {
        let _watcher = watcher;
        let mut complaint = String::new();
        // A directory that was replaced wakes nobody up: it is looked at now and then.
        while !matches!(timeout(RESCAN, look.recv()).await, Ok(None)) {
            match copy(&from, &to, &copied) {
                Ok(now) => (copied, complaint) = (now, String::new()),
                Err(error) if complaint != error.to_string() => {
                    tracing::warn!(directory = %from.display(), %error, "not copied; the manifests stay as they were");
                    complaint = error.to_string();
                }
                Err(_told_already) => {}
            }
        }
    }))
}

/// Copies what differs, removes what was copied earlier and is gone, and returns the names of what is there.
fn copy(from: &Path, to: &Path, earlier: &BTreeSet<PathBuf>) -> io::Result<BTreeSet<PathBuf>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let is_manifest = path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
        let Some(name) = path.file_name().filter(|_| is_manifest && path.is_file()) else {
            continue;
        };
        let name = PathBuf::from(name);
        let text = fs::read(&path)?;
        let target = to.join(&name);
        if fs::read(&target).ok().as_ref() != Some(&text) {
            write_whole(&target, &text)?;
        }
        names.insert(name);
    }
    for gone in earlier.difference(&names) {
        fs::remove_file(to.join(gone))?;
    }
    Ok(names)
}

/// A reader sees the old contents or the new, never half of them.
fn write_whole(path: &Path, text: impl AsRef<[u8]>) -> io::Result<()> {
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(path.file_name().unwrap_or_default());
    let hidden = path.with_file_name(hidden);
    fs::write(&hidden, text)?;
    fs::rename(&hidden, path)
}

/// `examples/quickstart/`, so that the program shows it wherever it is.
const QUICKSTART: [(&str, &str); 2] = [
    (
        "cluster.yaml",
        include_str!("../../../examples/quickstart/cluster.yaml"),
    ),
    (
        "tenants.yaml",
        include_str!("../../../examples/quickstart/tenants.yaml"),
    ),
];
const RESCAN: Duration = Duration::from_secs(2);
/// The name of the router that namespaces are on which name none.
const CLUSTER_ROUTER: &str = "cluster";
/// Sorts last, and looks like nothing a user would have.
const ADDED: &str = "zz-added-by-weft-demo.yaml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_quick_start_is_in_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart");
        let mut names: Vec<_> = fs::read_dir(folder)
            .expect("there")
            .map(|entry| {
                entry
                    .expect("listed")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect();
        names.retain(|name| name != "README.md");
        names.sort();
        assert_eq!(names, QUICKSTART.map(|(name, _)| name));
    }

    #[test]
    fn the_quick_start_says_who_is_on_which_router_and_what_listens() {
        let folder = tempfile::tempdir().expect("a folder");
        Manifests::prepare(folder.path().to_owned(), None).expect("written");
        let (facts, diagnostics) = facts(folder.path()).expect("read");
        assert_eq!(diagnostics, []);
        let names: Vec<_> = facts.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "blue/app-0",
                "blue/cache",
                "office/desk-0",
                "office/desk-1",
                "red/app-0",
                "red/app-1",
                "red/app-2",
                "shop/db",
                "shop/web-0",
                "shop/web-1"
            ]
        );
        assert_eq!(facts["blue/app-0"].router.as_deref(), Some("blue"));
        assert_eq!(facts["shop/web-0"].router, None);
        let ports = |name: &str| {
            facts[name]
                .ports
                .iter()
                .map(|port| (port.transport, port.port))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            ports("office/desk-0"),
            [(Transport::Tcp, 80), (Transport::Udp, 53)]
        );
        assert_eq!(ports("blue/cache"), [(Transport::Udp, 11211)]);
    }

    #[test]
    fn a_namespace_that_names_the_cluster_router_is_on_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let text: String = [("a", "cluster"), ("b", " red "), ("c", "")]
            .map(|(name, router)| {
                format!(
                    "kind: Namespace\nmetadata: {{name: {name}, annotations: {{{ROUTER}: \"{router}\"}}}}\n---\n\
                     kind: Pod\nmetadata: {{name: x, namespace: {name}}}\nspec: {{containers: []}}\n---\n"
                )
            })
            .concat();
        fs::write(folder.path().join("a.yaml"), text).expect("written");
        let (facts, _) = facts(folder.path()).expect("read");
        assert_eq!(facts["a/x"].router, None);
        assert_eq!(facts["b/x"].router.as_deref(), Some("red"));
        // Refused by northd: such a namespace has no pods that could be tried.
        assert_eq!(facts["c/x"].router.as_deref(), Some(""));
    }

    #[test]
    fn pods_that_have_no_port_by_their_nature_are_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let text: String = [
            ("here", "{}", "{}"),
            ("host", "{hostNetwork: true}", "{}"),
            ("done", "{}", "{phase: Succeeded}"),
            ("lost", "{}", "{phase: Failed}"),
            ("soon", "{}", "{phase: Pending}"),
        ]
        .map(|(name, spec, status)| {
            format!("kind: Pod\nmetadata: {{name: {name}}}\nspec: {spec}\nstatus: {status}\n---\n")
        })
        .concat();
        fs::write(folder.path().join("a.yaml"), text).expect("written");
        let (facts, diagnostics) = facts(folder.path()).expect("read");
        assert_eq!(diagnostics, []);
        let names: Vec<_> = facts.keys().collect();
        assert_eq!(names, ["default/here", "default/soon"]);
    }

    #[test]
    fn a_copy_follows_what_is_changed_and_removed_and_leaves_other_files_alone() {
        let (from, to) = (
            tempfile::tempdir().expect("a folder"),
            tempfile::tempdir().expect("a folder"),
        );
        fs::write(from.path().join("a.yaml"), "one").expect("written");
        fs::write(from.path().join("notes.txt"), "no manifest").expect("written");
        fs::write(to.path().join("own.yaml"), "own").expect("written");
        let first = copy(from.path(), to.path(), &BTreeSet::new()).expect("copied");
        assert_eq!(
            fs::read_to_string(to.path().join("a.yaml")).expect("there"),
            "one"
        );
        assert!(!to.path().join("notes.txt").exists());
        fs::remove_file(from.path().join("a.yaml")).expect("removed");
        fs::write(from.path().join("b.yaml"), "two").expect("written");
        copy(from.path(), to.path(), &first).expect("copied");
        let mut left: Vec<_> = fs::read_dir(to.path())
            .expect("there")
            .map(|entry| entry.expect("listed").file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["b.yaml", "own.yaml"]);
    }
}
