//! OFPT_GROUP_MOD: adds, changes and deletes groups, and single buckets of them (OpenFlow 1.5 §7.3.4.3).
//!
//! Must not: decide anything (the switch does).

use bytes::Bytes;

use crate::error::{DecodeError, EncodeError};
use crate::group::{Bucket, Group, GroupType, decode_buckets, decode_properties, encode_buckets};
use crate::header::message;
use crate::message::kind;
use crate::wire::{Reader, Writer};

/// All groups (`OFPG_ALL`), in deletes.
pub const ALL_GROUPS: u32 = 0xffff_fffc;
/// The first bucket (`OFPG_BUCKET_FIRST`).
pub const BUCKET_FIRST: u32 = 0xffff_fffd;
/// The last bucket (`OFPG_BUCKET_LAST`).
pub const BUCKET_LAST: u32 = 0xffff_fffe;
/// All buckets (`OFPG_BUCKET_ALL`).
pub const BUCKET_ALL: u32 = 0xffff_ffff;

/// What a group mod does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum GroupCommand {
    /// Adds a group; refused if there is one of this number.
    Add = 0,
    /// Replaces type, buckets and selection.
    Modify = 1,
    /// Deletes the group, or all.
    Delete = 2,
    /// Inserts the buckets after the bucket named by `command_bucket_id` (or first, or last).
    InsertBucket = 3,
    /// Removes the bucket named by `command_bucket_id` (or the first, the last, all).
    RemoveBucket = 5,
    /// Open vSwitch: adds a group or replaces the one of this number.
    AddOrModify = 0x8000,
}

/// The whole message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupMod {
    /// What to do.
    pub command: GroupCommand,
    /// The group; of bucket commands, the buckets concerned.
    pub group: Group,
    /// The bucket that insert and remove are about; else [`BUCKET_ALL`].
    pub command_bucket_id: u32,
}

impl GroupMod {
    /// A command for a whole group.
    #[must_use]
    pub fn new(command: GroupCommand, group: Group) -> GroupMod {
        GroupMod {
            command,
            group,
            command_bucket_id: BUCKET_ALL,
        }
    }

    /// Deletes a group, or [`ALL_GROUPS`].
    #[must_use]
    pub fn delete(id: u32) -> GroupMod {
        GroupMod::new(GroupCommand::Delete, empty(id, GroupType::All))
    }

    /// Inserts buckets behind `after` (a bucket ID, [`BUCKET_FIRST`] or [`BUCKET_LAST`]); `kind` is the group's type.
    #[must_use]
    pub fn insert_buckets(id: u32, kind: GroupType, after: u32, buckets: Vec<Bucket>) -> GroupMod {
        let group = Group {
            buckets,
            ..empty(id, kind)
        };
        GroupMod {
            command: GroupCommand::InsertBucket,
            group,
            command_bucket_id: after,
        }
    }

    /// Removes a bucket.
    #[must_use]
    pub fn remove_bucket(id: u32, kind: GroupType, bucket: u32) -> GroupMod {
        GroupMod {
            command: GroupCommand::RemoveBucket,
            group: empty(id, kind),
            command_bucket_id: bucket,
        }
    }

    /// The whole message with its header.
    ///
    /// # Errors
    /// If a value is wider than its field, or the message would be longer than 65,535 bytes.
    pub fn message(&self, xid: u32) -> Result<Bytes, EncodeError> {
        message(kind::GROUP_MOD, xid, |writer| self.encode(writer))
    }

    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u16(self.command as u16);
        writer.u8(self.group.kind as u8);
        writer.zeros(1);
        writer.u32(self.group.id);
        let length_at = writer.len();
        writer.zeros(4);
        writer.u32(self.command_bucket_id);
        encode_buckets(writer, &self.group, length_at)
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<GroupMod, DecodeError> {
        let command = match reader.u16()? {
            0 => GroupCommand::Add,
            1 => GroupCommand::Modify,
            2 => GroupCommand::Delete,
            3 => GroupCommand::InsertBucket,
            5 => GroupCommand::RemoveBucket,
            0x8000 => GroupCommand::AddOrModify,
            command => {
                let value = u64::from(command);
                return Err(DecodeError::Value {
                    what: "group mod command",
                    value,
                    rule: "0 to 3, 5 or 0x8000",
                });
            }
        };
        let kind = GroupType::decode(reader.u8()?)?;
        reader.skip(1)?;
        let (id, length) = (reader.u32()?, usize::from(reader.u16()?));
        reader.skip(2)?;
        let command_bucket_id = reader.u32()?;
        let buckets = decode_buckets(reader.part("buckets", length)?)?;
        let selection = decode_properties(reader)?;
        Ok(GroupMod {
            command,
            group: Group {
                id,
                kind,
                buckets,
                selection,
            },
            command_bucket_id,
        })
    }
}

fn empty(id: u32, kind: GroupType) -> Group {
    Group {
        id,
        kind,
        buckets: Vec::new(),
        selection: None,
    }
}
