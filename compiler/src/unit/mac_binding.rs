//! A next hop's MAC that somebody has told (`Static_MAC_Binding`): hosts on a physical network are ports of no switch.
//!
//! Must not: overrule a port that has the address.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;
use weft_schema::nb;

use super::draft::Draft;
use super::gateway::resolve_at;
use crate::diagnostic::Diagnostic;
use crate::engine::{Key, Reader};
use crate::logical_flow::{NodeSet, Scope};
use crate::topology::address;

pub(super) fn compile(reader: &mut Reader<'_>, draft: &mut Draft, binding: Uuid) {
    let row = reader.read(Key::MacBindingRow(binding)).mac_binding_row();
    let Some(row) = row.cloned() else {
        return;
    };
    draft.own("Static_MAC_Binding", binding, "");
    let ip = row.ip.parse::<IpAddr>().map_err(|_| {
        let message = format!("{:?} is no address", row.ip);
        ("ip", message)
    });
    let mac = address::parse_mac(&row.mac).map_err(|message| ("mac", message));
    let port = reader.first_row(Key::RouterPortsNamed(Arc::from(row.logical_port.as_str())));
    let port = port.ok_or_else(|| {
        let message = format!("there is no router port {:?}", row.logical_port);
        ("logical_port", message)
    });
    let (ip, mac, port) = match (ip, mac, port) {
        (Ok(ip), Ok(mac), Ok(port)) => (ip, mac, port),
        (Err(problem), ..) | (_, Err(problem), _) | (.., Err(problem)) => {
            return complain(reader, &row, problem);
        }
    };
    if let Some(face) = reader.read(Key::Face(port)).face().cloned() {
        let scope = Scope::On {
            nodes: NodeSet::Domain(face.router),
            except: None,
        };
        // Below the addresses of ports, above MACs that are computed.
        resolve_at(draft, 60, &face, mac, ip, &scope);
    }
}

fn complain(
    reader: &mut Reader<'_>,
    row: &nb::StaticMacBinding,
    (column, message): (&'static str, String),
) {
    reader.diagnose(Diagnostic {
        table: "Static_MAC_Binding",
        uuid: row.uuid,
        name: format!("{} {}", row.logical_port, row.ip),
        column,
        message: format!("{message}; the row is left out"),
    });
}
