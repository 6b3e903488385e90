//! Diagnostics: what is wrong with an object, in one line that says where, what and what to do.
//!
//! `FILE: Pod shop/web-0: spec.nodeName: unknown node "n9"; known nodes are n1, n2, n3`
//!
//! Must not: stop anything; the object it is about goes without, everything else goes on.

use std::{fmt, path::PathBuf};

/// Names an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// `Pod`, `Namespace`, `Node`, `Deployment`, `Service`, `EndpointSlice`.
    pub kind: String,
    /// Namespace, empty for objects that have none.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectRef {
    /// A pod.
    #[must_use]
    pub fn pod(namespace: &str, name: &str) -> Self {
        Self {
            kind: "Pod".into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// A namespace.
    #[must_use]
    pub fn namespace(name: &str) -> Self {
        Self {
            kind: "Namespace".into(),
            namespace: String::new(),
            name: name.into(),
        }
    }

    /// A Service.
    #[must_use]
    pub fn service(namespace: &str, name: &str) -> Self {
        Self {
            kind: "Service".into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// An EndpointSlice.
    #[must_use]
    pub fn endpoint_slice(namespace: &str, name: &str) -> Self {
        Self {
            kind: "EndpointSlice".into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// A node.
    #[must_use]
    pub fn node(name: &str) -> Self {
        Self {
            kind: "Node".into(),
            namespace: String::new(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() && self.name.is_empty() {
            // What has neither is told by its field: "metadata.name: is missing".
            f.write_str(&self.kind)
        } else if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Diagnostic {
    /// File the object came from, if from a file.
    pub file: Option<PathBuf>,
    /// The object; absent when the file as a whole is at fault.
    pub object: Option<Box<ObjectRef>>,
    /// Path of the field, such as `spec.nodeName`; empty when no single field is at fault.
    pub field: String,
    /// What was found, and what to do.
    pub message: String,
}

impl Diagnostic {
    /// About one field of an object.
    #[must_use]
    pub fn new(object: ObjectRef, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: None,
            object: Some(Box::new(object)),
            field: field.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}
