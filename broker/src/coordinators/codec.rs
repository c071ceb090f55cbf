//! Records of groups as Kafka keeps them in `__consumer_offsets`: the key begins with its type, the value with its
//! version, both i16. Kafka's own formatters read them.

use bytes::Bytes;
use coordinator::group::{CommittedOffset, GroupRecord, StoredGroup, StoredMember};
use protocol::records::group::group_metadata_value::MemberMetadata;
use protocol::records::group::{GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue};
use protocol::{DecodeError, Decoder, EncodeError, Encoder, Message, PersistedRecord};
use record::Record;
use types::Timestamp;

/// The first version of the key of an offset, which old logs still have.
const OLD_OFFSET_KEY: i16 = 0;
/// What Kafka 4 writes: the last version that is not flexible.
const VALUE_VERSION: i16 = 3;
const KEY_VERSION: i16 = 0;

/// A key and, unless it is a tombstone, a value.
pub(super) type Encoded = (Bytes, Option<Bytes>);

/// The record for the log.
pub(super) fn encode(record: &GroupRecord) -> Result<Encoded, EncodeError> {
    match record {
        GroupRecord::Offset { group, topic, partition, value } => {
            let key = OffsetCommitKey {
                group: group.as_str().into(),
                topic: topic.as_str().into(),
                partition: *partition,
            };
            let value = value.as_ref().map(|offset| OffsetCommitValue {
                offset: offset.offset,
                leader_epoch: offset.leader_epoch,
                metadata: offset.metadata.as_str().into(),
                commit_timestamp: offset.committed.0,
                ..Default::default()
            });
            Ok((encode_key(&key)?, value.map(|value| encode_value(&value)).transpose()?))
        }
        GroupRecord::Group { group, value } => {
            let key = GroupMetadataKey { group: group.as_str().into() };
            let value = value.as_ref().map(|stored| encode_value(&group_value(stored))).transpose()?;
            Ok((encode_key(&key)?, value))
        }
    }
}

/// The reverse of [`encode`]; `None` for a record that is not about classic groups.
pub(super) fn decode(record: &Record) -> Result<Option<GroupRecord>, DecodeError> {
    let Some(key) = &record.key else { return Ok(None) };
    let mut key = Decoder::new(key.clone());
    let kind = key.int16()?;
    if kind == OffsetCommitKey::RECORD_TYPE || kind == OLD_OFFSET_KEY {
        let key = OffsetCommitKey::decode(&mut key, KEY_VERSION)?;
        let value = decode_value::<OffsetCommitValue>(record)?.map(|value| CommittedOffset {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.to_string(),
            committed: Timestamp(value.commit_timestamp),
        });
        let (group, topic) = (key.group.to_string(), key.topic.to_string());
        return Ok(Some(GroupRecord::Offset { group, topic, partition: key.partition, value }));
    }
    if kind == GroupMetadataKey::RECORD_TYPE {
        let key = GroupMetadataKey::decode(&mut key, KEY_VERSION)?;
        let value = decode_value::<GroupMetadataValue>(record)?.map(stored_group);
        return Ok(Some(GroupRecord::Group { group: key.group.to_string(), value }));
    }
    Ok(None)
}

fn encode_key<K: PersistedRecord>(key: &K) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::new();
    encoder.int16(K::RECORD_TYPE);
    key.encode(&mut encoder, KEY_VERSION)?;
    Ok(encoder.into_bytes())
}

fn encode_value<V: Message>(value: &V) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::new();
    encoder.int16(VALUE_VERSION);
    value.encode(&mut encoder, VALUE_VERSION)?;
    Ok(encoder.into_bytes())
}

fn decode_value<V: Message>(record: &Record) -> Result<Option<V>, DecodeError> {
    let Some(value) = &record.value else { return Ok(None) };
    let mut value = Decoder::new(value.clone());
    let version = value.int16()?;
    V::decode(&mut value, version).map(Some)
}

fn group_value(stored: &StoredGroup) -> GroupMetadataValue {
    let member = |member: &StoredMember| MemberMetadata {
        member_id: member.id.as_str().into(),
        group_instance_id: member.instance_id.as_deref().map(Into::into),
        client_id: member.client_id.as_str().into(),
        client_host: member.client_host.as_str().into(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: member.subscription.clone(),
        assignment: member.assignment.clone(),
        ..Default::default()
    };
    GroupMetadataValue {
        protocol_type: stored.protocol_type.as_str().into(),
        generation: stored.generation,
        protocol: stored.protocol.as_deref().map(Into::into),
        leader: stored.leader.as_deref().map(Into::into),
        current_state_timestamp: stored.state_timestamp.0,
        members: stored.members.iter().map(member).collect(),
        ..Default::default()
    }
}

fn stored_group(value: GroupMetadataValue) -> StoredGroup {
    let member = |member: MemberMetadata| StoredMember {
        id: member.member_id.to_string(),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        rebalance_timeout_ms: member.rebalance_timeout,
        session_timeout_ms: member.session_timeout,
        subscription: member.subscription,
        assignment: member.assignment,
    };
    StoredGroup {
        protocol_type: value.protocol_type.to_string(),
        generation: value.generation,
        protocol: value.protocol.map(|protocol| protocol.to_string()),
        leader: value.leader.map(|leader| leader.to_string()),
        state_timestamp: Timestamp(value.current_state_timestamp),
        members: value.members.into_iter().map(member).collect(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use coordinator::group::{CommittedOffset, GroupRecord, StoredGroup, StoredMember};
    use record::Record;
    use types::{Offset, Timestamp};

    #[test]
    fn every_record_comes_back() {
        let member = StoredMember {
            id: "m".to_owned(),
            instance_id: Some("i".to_owned()),
            client_id: "c".to_owned(),
            client_host: "/h".to_owned(),
            rebalance_timeout_ms: 5,
            session_timeout_ms: 6,
            subscription: Bytes::from_static(b"s"),
            assignment: Bytes::from_static(b"a"),
        };
        let stored = StoredGroup {
            protocol_type: "consumer".to_owned(),
            generation: 4,
            protocol: Some("range".to_owned()),
            leader: Some("m".to_owned()),
            state_timestamp: Timestamp(77),
            members: vec![member],
        };
        let offset = CommittedOffset {
            offset: 9,
            leader_epoch: 2,
            metadata: "note".to_owned(),
            committed: Timestamp(88),
        };
        let group = |value| GroupRecord::Group { group: "g".to_owned(), value };
        let commit =
            |value| GroupRecord::Offset { group: "g".to_owned(), topic: "t".to_owned(), partition: 3, value };
        for original in [group(Some(stored)), group(None), commit(Some(offset)), commit(None)] {
            let (key, value) = super::encode(&original).unwrap();
            let record = Record {
                offset: Offset(0),
                timestamp: Timestamp(0),
                key: Some(key),
                value,
                headers: Vec::new(),
            };
            assert_eq!(super::decode(&record).unwrap(), Some(original));
        }
    }
}
