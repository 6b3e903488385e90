//! Groups as text, as `ovs-ofctl dump-groups` prints them.
//!
//! Must not: know actions or fields.

use std::fmt;
use std::str::FromStr;

use super::{Bucket, Group, GroupType, Selection, SelectionField};
use crate::action::{actions_text, parse_actions};
use crate::error::TextError;
use crate::field::Field;
use crate::port::PortNo;
use crate::text::Piece;
use crate::value::{parse, set_field_text};

/// Type and name.
const TYPES: [(GroupType, &str); 4] = [
    (GroupType::All, "all"),
    (GroupType::Select, "select"),
    (GroupType::Indirect, "indirect"),
    (GroupType::FastFailover, "ff"),
];

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = TYPES
            .iter()
            .find(|(kind, _)| *kind == self.kind)
            .map_or("", |(_, name)| name);
        write!(f, "group_id={},type={name}", self.id)?;
        if let Some(selection) = &self.selection {
            write!(f, ",selection_method={}", selection.method)?;
            if selection.parameter != 0 {
                write!(f, ",selection_method_param={}", selection.parameter)?;
            }
            let fields: Vec<String> = selection.fields.iter().map(selection_text).collect();
            match fields.as_slice() {
                [] => {}
                [field] if !field.contains('=') => write!(f, ",fields={field}")?,
                fields => write!(f, ",fields({})", fields.join(","))?,
            }
        }
        for bucket in &self.buckets {
            write!(f, ",bucket=bucket_id:{},", bucket.id)?;
            if self.kind == GroupType::Select && bucket.weight != 1 {
                write!(f, "weight:{},", bucket.weight)?;
            }
            if let Some(port) = bucket.watch_port {
                write!(f, "watch_port:{port},")?;
            }
            if let Some(group) = bucket.watch_group {
                write!(f, "watch_group:{group},")?;
            }
            write!(f, "actions={}", actions_text(&bucket.actions))?;
        }
        Ok(())
    }
}

fn selection_text(entry: &SelectionField) -> String {
    match entry.mask == entry.field.all_ones() {
        true => entry.field.to_string(),
        false => format!(
            "{}={}",
            entry.field,
            set_field_text(entry.field, entry.mask, entry.field.all_ones())
        ),
    }
}

impl FromStr for Group {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Group, TextError> {
        let whole = Piece::new(text).trim();
        let mut group = Group {
            id: 0,
            kind: GroupType::All,
            buckets: Vec::new(),
            selection: None,
        };
        let mut parts = whole.text.split("bucket=").map(|part| whole.part(part));
        let head = parts.next().unwrap_or(whole);
        let mut has_id = false;
        for piece in head.pieces()? {
            let pair = piece
                .split_once("=")
                .map(|(name, value)| (name.text, value));
            let fields = piece
                .call()
                .filter(|(name, _)| name.text == "fields")
                .map(|(_, fields)| ("fields", fields));
            match fields.or(pair) {
                Some(("group_id", value)) => {
                    has_id = true;
                    group.id = value.to()?;
                }
                Some(("type", value)) => {
                    let kind = TYPES
                        .iter()
                        .find(|(_, name)| *name == value.text)
                        .map(|(kind, _)| *kind);
                    group.kind =
                        kind.ok_or_else(|| value.error("all, select, indirect or ff is expected"))?;
                }
                Some(("selection_method", value)) => {
                    let is_name = (1..16).contains(&value.text.len())
                        && value.text.bytes().all(|c| c.is_ascii_graphic());
                    if !is_name {
                        return Err(value.error("a name of up to 15 letters is expected"));
                    }
                    selection(&mut group).method = value.text.to_owned();
                }
                Some(("selection_method_param", value)) => {
                    selection(&mut group).parameter = value.to()?
                }
                Some(("fields", value)) => selection(&mut group).fields = parse_fields(value)?,
                _ => {
                    return Err(piece
                        .error("group_id, type, selection_method, fields or bucket is expected"));
                }
            }
        }
        if !has_id {
            return Err(whole.error("group_id= is missing"));
        }
        if group
            .selection
            .as_ref()
            .is_some_and(|selection| selection.method.is_empty())
        {
            return Err(head.error("fields and parameters need a selection_method"));
        }
        for (place, bucket) in parts.enumerate() {
            let id = u32::try_from(place).unwrap_or(u32::MAX);
            group.buckets.push(parse_bucket(
                bucket.part(bucket.text.trim_end_matches([',', ' '])),
                id,
            )?);
        }
        Ok(group)
    }
}

fn selection(group: &mut Group) -> &mut Selection {
    group.selection.get_or_insert_with(|| Selection {
        method: String::new(),
        parameter: 0,
        fields: Vec::new(),
    })
}

fn parse_fields(list: Piece<'_>) -> Result<Vec<SelectionField>, TextError> {
    let field =
        |name: Piece<'_>| Field::from_name(name.text).ok_or_else(|| name.error("no such field"));
    let entry = |piece: Piece<'_>| match piece.split_once("=") {
        None => field(piece).map(|field| SelectionField {
            field,
            mask: field.all_ones(),
        }),
        Some((name, mask)) => {
            let field = field(name)?;
            parse(field, mask).map(|(mask, _)| SelectionField { field, mask })
        }
    };
    let mut fields: Vec<SelectionField> = list
        .pieces()?
        .into_iter()
        .map(entry)
        .collect::<Result<_, _>>()?;
    fields.sort();
    Ok(fields)
}

fn parse_bucket(text: Piece<'_>, id: u32) -> Result<Bucket, TextError> {
    let mut bucket = Bucket::new(id, Vec::new());
    let (head, actions) = match text.split_once("actions=") {
        Some((head, actions)) => (head, Some(actions)),
        None => (text, None),
    };
    for piece in head.pieces()? {
        match piece
            .split_once(":")
            .map(|(name, value)| (name.text, value))
        {
            Some(("bucket_id", value)) => bucket.id = value.to()?,
            Some(("weight", value)) => bucket.weight = value.to()?,
            Some(("watch_port", value)) => {
                let port =
                    PortNo::parse(value.text).ok_or_else(|| value.error("a port is expected"))?;
                bucket.watch_port = Some(port).filter(|port| *port != PortNo::ANY);
            }
            Some(("watch_group", value)) => {
                bucket.watch_group = Some(value.to()?).filter(|group| *group != u32::MAX);
            }
            _ => {
                return Err(piece
                    .error("bucket_id, weight, watch_port, watch_group or actions= is expected"));
            }
        }
    }
    if let Some(actions) = actions {
        bucket.actions = parse_actions(actions.trim(), 0)?;
    }
    Ok(bucket)
}
