//! Manifests: YAML text to objects, each with the file it came from.
//!
//! A file is a list of documents. One that does not parse keeps the last good version of its file
//! in force, so that a half-written file changes nothing. A Deployment becomes its pods.
//! Must not: read files, know nodes, or give addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::files::{self, Files, FilesError};
use super::yaml::{self, Document};
use crate::diagnostic::{Diagnostic, ObjectRef};
use crate::index::{
    ADDRESSES, LOAD_BALANCER_IP, MAC, Object, ROUTER, SUBNETS, is_label, is_subdomain,
};

/// Something with the file it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Sourced<T> {
    /// The file.
    pub file: Arc<Path>,
    /// What came from it.
    pub value: T,
}

/// Reads a directory once: its objects, and the pods of its Deployments. Pods are on a node only where the
/// manifest says so.
///
/// # Errors
/// The directory cannot be read. What is wrong with a file or object is a diagnostic.
pub fn load(directory: &Path) -> Result<(Vec<Sourced<Object>>, Vec<Diagnostic>), FilesError> {
    let mut manifests = Manifests::default();
    manifests.update(&files::read(directory)?);
    Ok(manifests.objects())
}

/// The manifests of a directory, and what was wrong with them.
#[derive(Debug, Default)]
pub struct Manifests {
    files: BTreeMap<Arc<Path>, Parsed>,
}

#[derive(Debug)]
struct Parsed {
    /// The contents that were looked at last.
    contents: Result<String, String>,
    /// The objects of the last good contents.
    manifests: Vec<Manifest>,
    passed_over: Vec<ObjectRef>,
    problems: Vec<Diagnostic>,
}

#[derive(Clone, Debug)]
enum Manifest {
    Object(Object),
    Deployment(Box<Deployment>),
}

impl Manifest {
    fn reference(&self) -> ObjectRef {
        match self {
            Manifest::Object(object) => object.reference(),
            Manifest::Deployment(deployment) => deployment_reference(deployment),
        }
    }
}

fn deployment_reference(deployment: &Deployment) -> ObjectRef {
    let metadata = &deployment.metadata;
    ObjectRef {
        kind: "Deployment".into(),
        namespace: metadata
            .namespace
            .clone()
            .unwrap_or_else(|| "default".into()),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

/// As much of a document as says what it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Head {
    kind: Option<String>,
    metadata: HeadMetadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HeadMetadata {
    name: Option<String>,
    namespace: Option<String>,
}

impl Manifests {
    /// Makes these the files there are. Says whether anything is different from before.
    pub fn update(&mut self, files: &Files) -> bool {
        let mut changed = false;
        self.files.retain(|path, _| {
            let keep = files.contains_key(path);
            changed |= !keep;
            keep
        });
        for (path, contents) in files {
            let before = self.files.get(path);
            if before.is_some_and(|before| before.contents == *contents) {
                continue;
            }
            changed = true;
            let mut parsed = parse(path, contents.clone());
            if let Some(before) = before.filter(|_| !parsed.problems.is_empty()) {
                parsed.manifests.clone_from(&before.manifests);
                parsed.passed_over.clone_from(&before.passed_over);
                for problem in &mut parsed.problems {
                    problem
                        .message
                        .push_str("; the file's last good version stays in force");
                }
            }
            self.files.insert(Arc::clone(path), parsed);
        }
        changed
    }

    /// The objects, in order of file and place, and what is wrong with them.
    #[must_use]
    pub fn objects(&self) -> (Vec<Sourced<Object>>, Vec<Diagnostic>) {
        let mut collected = Collected::default();
        for (file, parsed) in &self.files {
            collected.problems.extend(parsed.problems.iter().cloned());
            for object in &parsed.passed_over {
                if collected.kinds_passed_over.insert(object.kind.clone()) {
                    let message = format!(
                        "kind {} has no meaning in stand-alone mode; passed over",
                        object.kind
                    );
                    collected.problem(file, object, "", message);
                }
            }
            for manifest in &parsed.manifests {
                collected.check_annotations(file, manifest);
                match manifest {
                    Manifest::Object(object) => collected.add(file, object.clone()),
                    Manifest::Deployment(deployment) => collected.add_deployment(file, deployment),
                }
            }
        }
        (collected.objects, collected.problems)
    }
}

#[derive(Default)]
struct Collected {
    objects: Vec<Sourced<Object>>,
    problems: Vec<Diagnostic>,
    seen: BTreeMap<ObjectRef, Arc<Path>>,
    kinds_passed_over: BTreeSet<String>,
}

impl Collected {
    fn problem(&mut self, file: &Arc<Path>, object: &ObjectRef, field: &str, message: String) {
        self.problems.push(Diagnostic {
            file: Some(file.to_path_buf()),
            ..Diagnostic::new(object.clone(), field, message)
        });
    }

    /// Tells of annotations that look like weft's and say nothing: a slip in one would pass a tenant for one of the cluster.
    fn check_annotations(&mut self, file: &Arc<Path>, manifest: &Manifest) {
        let (kind, metadata, field, known): (_, _, _, &[&str]) = match manifest {
            Manifest::Object(object) => {
                let (metadata, known): (_, &[&str]) = match object {
                    Object::Namespace(object) => (&object.metadata, &[SUBNETS, ROUTER]),
                    Object::Pod(object) => (&object.metadata, &[ADDRESSES, MAC]),
                    Object::Service(object) => (&object.metadata, &[LOAD_BALANCER_IP]),
                    Object::Node(object) => (&object.metadata, &[]),
                    Object::EndpointSlice(object) => (&object.metadata, &[]),
                };
                let kind = object.reference().kind;
                (kind, Some(metadata), "metadata.annotations", known)
            }
            Manifest::Deployment(object) => (
                "Pod".to_owned(),
                object
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.template.metadata.as_ref()),
                "spec.template.metadata.annotations",
                &[ADDRESSES, MAC],
            ),
        };
        let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
        for key in annotations.into_iter().flat_map(BTreeMap::keys) {
            if key.starts_with(PREFIX) && !known.contains(&key.as_str()) {
                let takes = match known {
                    [] => "none of weft's".to_owned(),
                    known => known.join(" and "),
                };
                let message =
                    format!("means nothing here and is passed over; a {kind} takes {takes}");
                self.problem(
                    file,
                    &manifest.reference(),
                    &format!("{field}[{key}]"),
                    message,
                );
            }
        }
    }

    /// Adds an object, unless its name is bad or another object has it.
    fn add(&mut self, file: &Arc<Path>, object: Object) {
        let reference = object.reference();
        if !self.has_good_name(file, &reference) || !self.is_first(file, &reference) {
            return;
        }
        self.objects.push(Sourced {
            file: Arc::clone(file),
            value: object,
        });
    }

    fn add_deployment(&mut self, file: &Arc<Path>, deployment: &Deployment) {
        let reference = deployment_reference(deployment);
        let ObjectRef {
            namespace, name, ..
        } = &reference;
        if !self.has_good_name(file, &reference) || !self.is_first(file, &reference) {
            return;
        }
        let Some(spec) = &deployment.spec else {
            return self.problem(file, &reference, "spec", "is missing".into());
        };
        let replicas = spec.replicas.unwrap_or(1);
        if !(0..=MAX_REPLICAS).contains(&replicas) {
            let message = format!("{replicas} is not a number of pods from 0 to {MAX_REPLICAS}");
            return self.problem(file, &reference, "spec.replicas", message);
        }
        let template = spec.template.metadata.clone().unwrap_or_default();
        for number in 0..replicas {
            self.add(
                file,
                Object::Pod(Box::new(Pod {
                    metadata: ObjectMeta {
                        name: Some(format!("{name}-{number}")),
                        namespace: Some(namespace.clone()),
                        ..template.clone()
                    },
                    spec: spec.template.spec.clone(),
                    status: None,
                })),
            );
        }
    }

    fn has_good_name(&mut self, file: &Arc<Path>, reference: &ObjectRef) -> bool {
        let rule = "lower case letters, digits and '-', a letter or digit at either end";
        let is_namespaced = !matches!(reference.kind.as_str(), "Namespace" | "Node");
        let is_short = matches!(reference.kind.as_str(), "Namespace" | "Service");
        let (field, name, is_good, rule) = if is_namespaced && !is_label(&reference.namespace) {
            (
                "metadata.namespace",
                &reference.namespace,
                false,
                format!("at most 63 {rule}"),
            )
        } else if is_short {
            (
                "metadata.name",
                &reference.name,
                is_label(&reference.name),
                format!("at most 63 {rule}"),
            )
        } else {
            let rule = "at most 253 lower case letters, digits, '-' and '.', a letter or digit at either end of each part";
            (
                "metadata.name",
                &reference.name,
                is_subdomain(&reference.name),
                rule.to_owned(),
            )
        };
        if !is_good {
            let message = if name.is_empty() {
                "is missing".to_owned()
            } else {
                format!("\"{name}\" is not a name for Kubernetes: {rule}")
            };
            self.problem(file, reference, field, message);
        }
        is_good
    }

    fn is_first(&mut self, file: &Arc<Path>, reference: &ObjectRef) -> bool {
        let Some(other) = self.seen.get(reference).cloned() else {
            self.seen.insert(reference.clone(), Arc::clone(file));
            return true;
        };
        let message = format!(
            "is defined in {} already, which counts; remove one of them",
            other.display()
        );
        self.problem(file, reference, "", message);
        false
    }
}

fn parse(path: &Arc<Path>, contents: Result<String, String>) -> Parsed {
    let mut parsed = Parsed {
        contents,
        manifests: Vec::new(),
        passed_over: Vec::new(),
        problems: Vec::new(),
    };
    let text = match &parsed.contents {
        Ok(text) => text.clone(),
        Err(error) => {
            let message = format!("cannot be read: {error}");
            parsed.problems.push(Diagnostic {
                file: Some(path.to_path_buf()),
                object: None,
                field: String::new(),
                message,
            });
            return parsed;
        }
    };
    for document in yaml::documents(&text) {
        if let Err(problem) = parse_document(path, &document, &mut parsed) {
            parsed.problems.push(*problem);
        }
    }
    parsed
}

fn parse_document(
    path: &Arc<Path>,
    document: &Document,
    parsed: &mut Parsed,
) -> Result<(), Box<Diagnostic>> {
    let Some(head) = read::<Option<Head>>(path, None, document)? else {
        return Ok(());
    };
    let metadata = head.metadata;
    let reference = ObjectRef {
        kind: head.kind.unwrap_or_default(),
        namespace: metadata.namespace.unwrap_or_default(),
        name: metadata.name.unwrap_or_default(),
    };
    let at = Some(&reference);
    let object = match reference.kind.as_str() {
        "Namespace" => Object::Namespace(read(path, at, document)?),
        "Pod" => Object::Pod(read(path, at, document)?),
        "Node" => Object::Node(read(path, at, document)?),
        "Service" => Object::Service(read(path, at, document)?),
        "EndpointSlice" => Object::EndpointSlice(read(path, at, document)?),
        "Deployment" => {
            let deployment = read(path, at, document)?;
            parsed.manifests.push(Manifest::Deployment(deployment));
            return Ok(());
        }
        "" => {
            return Err(Box::new(Diagnostic {
                file: Some(path.to_path_buf()),
                object: None,
                field: "kind".into(),
                message: "is missing in a document; write what it is, such as Pod".into(),
            }));
        }
        _ => {
            parsed.passed_over.push(reference);
            return Ok(());
        }
    };
    parsed.manifests.push(Manifest::Object(object));
    Ok(())
}

/// Reads a document as one kind of object; what is wrong with it is told with its place in the file.
fn read<T: DeserializeOwned>(
    path: &Path,
    object: Option<&ObjectRef>,
    document: &Document,
) -> Result<T, Box<Diagnostic>> {
    document.read().map_err(|error| {
        let place = error
            .place
            .map(|(line, column)| format!(":{line}:{column}"));
        let file = format!("{}{}", path.display(), place.unwrap_or_default());
        Box::new(Diagnostic {
            file: Some(file.into()),
            object: object.cloned().map(Box::new),
            field: error.field,
            message: error.message,
        })
    })
}

/// Begins every annotation that is weft's.
const PREFIX: &str = "weft.dev/";
/// More than any node takes, fewer than a slip of the keyboard asks for.
const MAX_REPLICAS: i32 = 10_000;

#[cfg(test)]
mod tests;
