//! Nodes: those of the nodes file, with what manifests of kind Node say about them.
//!
//! Must not: let a manifest add a node; the nodes file alone says where pods can be.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Sourced;
use crate::diagnostic::Diagnostic;
use crate::index::Object;

/// Takes out the Nodes that the nodes file does not have. Returns those of the file that no manifest is about, and what is wrong.
pub(super) fn settle(
    objects: &mut Vec<Sourced<Object>>,
    nodes: &BTreeSet<Arc<str>>,
) -> (Vec<Object>, Vec<Diagnostic>) {
    let mut missing = nodes.clone();
    let mut problems = Vec::new();
    objects.retain(|object| {
        let Object::Node(node) = &object.value else {
            return true;
        };
        let name = node.metadata.name.as_deref().unwrap_or_default();
        missing.remove(name);
        let is_known = nodes.contains(name);
        if !is_known {
            let message = "is not in the nodes file, and is passed over";
            problems.push(Diagnostic {
                file: Some(object.file.to_path_buf()),
                ..Diagnostic::new(object.value.reference(), "", message)
            });
        }
        is_known
    });
    let bare = missing.iter().map(|name| {
        Object::Node(Box::new(Node {
            metadata: ObjectMeta {
                name: Some(name.to_string()),
                ..ObjectMeta::default()
            },
            ..Node::default()
        }))
    });
    (bare.collect(), problems)
}
