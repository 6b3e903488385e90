//! Endpoints as buckets of select groups.
//!
//! Open vSwitch hashes the packet's fields together with each bucket's ID and takes the highest, so a bucket more or less moves only its own share
//! of new connections. An ID follows from the endpoint alone, but where two endpoints of a group would have the same.
//!
//! Many endpoints are shared out, by a hash of theirs, among a power of two of groups below one that chooses among these. All are as
//! likely: a weight multiplies the hash, which favours the heavier ones by more than their weight, the more so the more there are.
//!
//! Invariant: buckets follow from the set of endpoints. Must not: make a group of more buckets than a dump of it can show.

use openflow_rs::{Action as OfAction, Bucket, Field, Group, GroupType, Selection, SelectionField};
use uuid::Uuid;
use weft_expr::{Backend, HashField};

use crate::engine::{Key, Reader};
use crate::logical_flow::Scope;
use crate::lowering::translate;
use crate::pipeline::{GroupId, Stage};
use crate::topology::{BalancerGroups, KeyTable, Protocol, Vip, first_choice};
use crate::unit::draft::Draft;

/// Adds the groups of a virtual address; gives the one that chooses. None if numbers have run out.
pub(super) fn add(
    reader: &mut Reader<'_>,
    draft: &mut Draft,
    groups: BalancerGroups,
    endpoints: &[Backend],
    fields: &[Field],
    scope: &Scope,
) -> Option<GroupId> {
    let top = number(reader, groups, 0)?;
    let parts = BalancerGroups::parts(endpoints.len());
    let mut buckets = Vec::new();
    for (part, endpoints) in share_out(endpoints, parts).into_iter().enumerate() {
        if parts == 0 {
            buckets = buckets_of(&endpoints);
        } else if !endpoints.is_empty() {
            let id = number(reader, groups, part + 1)?;
            draft.group(scope, select(id, buckets_of(&endpoints), fields));
            let bucket = u32::try_from(part).map_or(u32::MAX, |part| part + 1);
            buckets.push(Bucket::new(bucket, vec![OfAction::Group(id.get())]));
        }
    }
    draft.group(scope, select(top, buckets, fields));
    Some(top)
}

/// The fields that choose, `wanted` or else those that tell connections apart.
pub(super) fn selection(vip: Vip, wanted: &[HashField]) -> Vec<Field> {
    let (source, destination) = match vip.address.is_ipv4() {
        true => (Field::Ipv4Src, Field::Ipv4Dst),
        false => (Field::Ipv6Src, Field::Ipv6Dst),
    };
    let ports = [
        (Protocol::Tcp, [Field::TcpSrc, Field::TcpDst]),
        (Protocol::Udp, [Field::UdpSrc, Field::UdpDst]),
        (Protocol::Sctp, [Field::SctpSrc, Field::SctpDst]),
    ];
    if wanted.is_empty() {
        let protocol = vip.port.map(|(protocol, _)| protocol);
        let is_wanted = |known: Protocol| protocol.is_none_or(|protocol| protocol == known);
        let mut fields = vec![source, destination];
        fields.extend(protocol.is_none().then_some(Field::IpProto));
        let ports = ports.into_iter().filter(|(known, _)| is_wanted(*known));
        fields.extend(ports.flat_map(|(_, ports)| ports));
        return fields;
    }
    let field = |field: &HashField| match field {
        HashField::EthSrc => Field::EthSrc,
        HashField::EthDst => Field::EthDst,
        HashField::IpSrc => source,
        HashField::IpDst => destination,
        HashField::TcpSrc => Field::TcpSrc,
        HashField::TcpDst => Field::TcpDst,
        HashField::UdpSrc => Field::UdpSrc,
        HashField::UdpDst => Field::UdpDst,
        HashField::SctpSrc => Field::SctpSrc,
        HashField::SctpDst => Field::SctpDst,
    };
    wanted.iter().map(field).collect()
}

fn number(reader: &mut Reader<'_>, groups: BalancerGroups, part: usize) -> Option<GroupId> {
    let key = Key::GroupNumber(groups.identity(part));
    let number = reader.read(key).number().copied();
    number.and_then(GroupId::balancer)
}

fn select(id: GroupId, buckets: Vec<Bucket>, fields: &[Field]) -> Group {
    let field = |field: &Field| SelectionField {
        field: *field,
        mask: field.all_ones(),
    };
    Group {
        id: id.get(),
        kind: GroupType::Select,
        buckets,
        selection: Some(Selection {
            method: "hash".to_owned(),
            // Hashed too, so that a group and those below it do not choose alike.
            parameter: u64::from(id.get()),
            fields: fields.iter().map(field).collect(),
        }),
    }
}

/// Endpoints by the group that they belong to; all in one if there are no parts. What a full one cannot take goes to the next.
fn share_out(endpoints: &[Backend], parts: usize) -> Vec<Vec<Backend>> {
    let Ok(count) = u32::try_from(parts.max(1)) else {
        return Vec::new();
    };
    let mut shares = vec![Vec::new(); parts.max(1)];
    for endpoint in endpoints {
        let choice = first_choice(part_name(*endpoint), count) - 1;
        let choice = usize::try_from(choice).unwrap_or(0);
        let places = (choice..shares.len()).chain(0..choice);
        let free = places
            .into_iter()
            .find(|place| shares[*place].len() < BalancerGroups::BUCKETS);
        shares[free.unwrap_or(choice)].push(*endpoint);
    }
    shares
}

fn buckets_of(endpoints: &[Backend]) -> Vec<Bucket> {
    let following = Stage::LsInLb.following().unwrap_or(Stage::LsInLb).table();
    let ids = ids(endpoints);
    let buckets = endpoints.iter().zip(ids).map(|(endpoint, id)| {
        let actions = vec![translate(*endpoint, following)];
        Bucket::new(id, actions)
    });
    buckets.collect()
}

/// A number for each endpoint, which hardly ever depends on the others.
fn ids(endpoints: &[Backend]) -> Vec<u32> {
    let names: Vec<Uuid> = endpoints.iter().map(|endpoint| name(*endpoint)).collect();
    let mut table = KeyTable::new(IDS);
    let mut ids = std::collections::BTreeMap::new();
    for name in &names {
        ids.extend(table.change(*name, true));
    }
    let id = |name: &Uuid| ids.get(name).copied().flatten();
    names.iter().map(|name| id(name).unwrap_or(IDS)).collect()
}

/// What an endpoint's number is derived from.
fn name(endpoint: Backend) -> Uuid {
    let address = match endpoint.address {
        std::net::IpAddr::V4(address) => u128::from(address.to_bits()),
        std::net::IpAddr::V6(address) => address.to_bits(),
    };
    let port = u128::from(endpoint.port.unwrap_or(0));
    Uuid::from_u128(address ^ (port << 80))
}

/// And what its group is derived from, which is something else.
fn part_name(endpoint: Backend) -> Uuid {
    Uuid::from_u128(!name(endpoint).as_u128())
}

/// Bucket IDs go from 1 to this (the highest ones have a meaning of their own).
const IDS: u32 = 0xffff_ff00;

#[cfg(test)]
mod tests;
