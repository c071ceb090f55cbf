//! Metadata records as bytes: Kafka's own schemas, each behind Kafka's frame (frame version, record type, version, all
//! unsigned varints). A topic's configuration is filed under the topic's id, where Kafka files it under the name: a
//! re-created topic is another topic.

use std::str::FromStr;

use bytes::Bytes;
use metadata::{BrokerImage, ConfigResource, Endpoint, MetadataRecord, PartitionChange, PartitionImage};
use protocol::records::metadata::register_broker_record::BrokerEndpoint;
use protocol::records::metadata::{
    BrokerRegistrationChangeRecord, ConfigRecord, FenceBrokerRecord, PartitionChangeRecord, PartitionRecord,
    ProducerIdsRecord, RegisterBrokerRecord, RemoveTopicRecord, TopicRecord, UnfenceBrokerRecord,
    UnregisterBrokerRecord,
};
use protocol::{DecodeError, Decoder, EncodeError, Encoder, PersistedRecord};
use types::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, PartitionId, ProducerId, TopicId, Uuid};

const FRAME_VERSION: u32 = 1;
const NO_LEADER: i32 = -1;
const SAME_LEADER: i32 = -2;
/// `LeaderRecoveryState` of Kafka.
const SAME_RECOVERY: i8 = -1;
const SET: i8 = 1;
/// `ConfigResource.Type` of Kafka.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Records that cannot be read: of a newer release, or damaged.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodecError {
    /// The bytes are not what the frame announces.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A record that has no form.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A frame of another layout.
    #[error("record frame version {0} is not known")]
    FrameVersion(u32),
    /// A record of a newer release.
    #[error("record type {0} is not known: was this written by a newer release?")]
    UnknownType(u32),
    /// A resource that is neither a topic nor a broker.
    #[error("configuration of resource {name:?}, type {kind}, is not known")]
    UnknownResource {
        /// Kafka's number.
        kind: i8,
        /// Its name.
        name: String,
    },
}

/// Appends a record.
pub(super) fn encode(record: &MetadataRecord, encoder: &mut Encoder) -> Result<(), CodecError> {
    match record {
        MetadataRecord::Topic { name, id } => {
            put(encoder, &TopicRecord { name: name.as_str().into(), topic_id: id.0, ..Default::default() })
        }
        MetadataRecord::Partition { topic, partition, state } => {
            put(encoder, &partition_record(*topic, *partition, state))
        }
        MetadataRecord::PartitionChange { topic, partition, change } => {
            put(encoder, &partition_change_record(*topic, *partition, change))
        }
        MetadataRecord::RemoveTopic { id } => {
            put(encoder, &RemoveTopicRecord { topic_id: id.0, ..Default::default() })
        }
        MetadataRecord::Config { resource, key, value } => {
            let (resource_type, resource_name) = match resource {
                ConfigResource::Topic(id) => (TOPIC, id.to_string()),
                ConfigResource::Broker(id) => (BROKER, id.to_string()),
                ConfigResource::Cluster => (BROKER, String::new()),
            };
            let record = ConfigRecord {
                resource_type,
                resource_name: resource_name.into(),
                name: key.as_str().into(),
                value: value.as_deref().map(Into::into),
                ..Default::default()
            };
            put(encoder, &record)
        }
        MetadataRecord::RegisterBroker(broker) => put(encoder, &register_broker_record(broker)),
        MetadataRecord::BrokerChange { broker, epoch, is_fenced, is_in_controlled_shutdown, cordoned } => {
            let record = BrokerRegistrationChangeRecord {
                broker_id: broker.0,
                broker_epoch: epoch.0,
                fenced: is_fenced.map_or(0, change),
                in_controlled_shutdown: is_in_controlled_shutdown.map_or(0, change),
                cordoned_log_dirs: cordoned.clone(),
                ..Default::default()
            };
            put(encoder, &record)
        }
        MetadataRecord::UnregisterBroker { broker, epoch } => {
            let record =
                UnregisterBrokerRecord { broker_id: broker.0, broker_epoch: epoch.0, ..Default::default() };
            put(encoder, &record)
        }
        MetadataRecord::ProducerIds { broker, epoch, next } => {
            let record = ProducerIdsRecord {
                broker_id: broker.0,
                broker_epoch: epoch.0,
                next_producer_id: next.0,
                ..Default::default()
            };
            put(encoder, &record)
        }
    }
}

/// The bytes of several records.
pub(super) fn encode_all(records: &[MetadataRecord]) -> Result<Bytes, CodecError> {
    let mut encoder = Encoder::new();
    records.iter().try_for_each(|record| encode(record, &mut encoder))?;
    Ok(encoder.into_bytes())
}

/// All records in some bytes.
pub(super) fn decode_all(bytes: Bytes) -> Result<Vec<MetadataRecord>, CodecError> {
    let mut decoder = Decoder::new(bytes);
    let mut records = Vec::new();
    while decoder.remaining() > 0 {
        records.push(decode(&mut decoder)?);
    }
    Ok(records)
}

fn decode(decoder: &mut Decoder) -> Result<MetadataRecord, CodecError> {
    let frame = decoder.unsigned_varint()?;
    if frame != FRAME_VERSION {
        return Err(CodecError::FrameVersion(frame));
    }
    let kind = decoder.unsigned_varint()?;
    let version = i16::try_from(decoder.unsigned_varint()?).unwrap_or(i16::MAX);
    let known = i16::try_from(kind).map_err(|_| CodecError::UnknownType(kind))?;
    match known {
        TopicRecord::RECORD_TYPE => {
            let record: TopicRecord = get(decoder, version)?;
            Ok(MetadataRecord::Topic { name: record.name.to_string(), id: TopicId(record.topic_id) })
        }
        PartitionRecord::RECORD_TYPE => Ok(partition(get(decoder, version)?)),
        PartitionChangeRecord::RECORD_TYPE => Ok(partition_change(get(decoder, version)?)),
        RemoveTopicRecord::RECORD_TYPE => {
            let record: RemoveTopicRecord = get(decoder, version)?;
            Ok(MetadataRecord::RemoveTopic { id: TopicId(record.topic_id) })
        }
        ConfigRecord::RECORD_TYPE => config(get(decoder, version)?),
        RegisterBrokerRecord::RECORD_TYPE => Ok(register_broker(get(decoder, version)?)),
        BrokerRegistrationChangeRecord::RECORD_TYPE => Ok(broker_change(get(decoder, version)?)),
        UnregisterBrokerRecord::RECORD_TYPE => {
            let record: UnregisterBrokerRecord = get(decoder, version)?;
            Ok(MetadataRecord::UnregisterBroker {
                broker: BrokerId(record.broker_id),
                epoch: BrokerEpoch(record.broker_epoch),
            })
        }
        // Kafka wrote these two before it knew of other changes of a registration.
        FenceBrokerRecord::RECORD_TYPE => {
            let record: FenceBrokerRecord = get(decoder, version)?;
            Ok(fenced(record.id, record.epoch, true))
        }
        UnfenceBrokerRecord::RECORD_TYPE => {
            let record: UnfenceBrokerRecord = get(decoder, version)?;
            Ok(fenced(record.id, record.epoch, false))
        }
        ProducerIdsRecord::RECORD_TYPE => {
            let record: ProducerIdsRecord = get(decoder, version)?;
            Ok(MetadataRecord::ProducerIds {
                broker: BrokerId(record.broker_id),
                epoch: BrokerEpoch(record.broker_epoch),
                next: ProducerId(record.next_producer_id),
            })
        }
        _ => Err(CodecError::UnknownType(kind)),
    }
}

fn put<R: PersistedRecord>(encoder: &mut Encoder, record: &R) -> Result<(), CodecError> {
    encoder.unsigned_varint(FRAME_VERSION);
    encoder.unsigned_varint(u32::from(R::RECORD_TYPE.unsigned_abs()));
    encoder.unsigned_varint(u32::from(R::VERSIONS.max.unsigned_abs()));
    Ok(record.encode(encoder, R::VERSIONS.max)?)
}

fn get<R: PersistedRecord>(decoder: &mut Decoder, version: i16) -> Result<R, DecodeError> {
    R::decode(decoder, version)
}

fn partition_record(topic: TopicId, partition: PartitionId, state: &PartitionImage) -> PartitionRecord {
    // Absent is empty, and shorter.
    let unless_empty = |brokers: &[BrokerId]| (!brokers.is_empty()).then(|| numbers(brokers));
    PartitionRecord {
        partition_id: partition.0,
        topic_id: topic.0,
        replicas: numbers(&state.replicas),
        isr: numbers(&state.isr),
        adding_replicas: numbers(&state.adding),
        removing_replicas: numbers(&state.removing),
        eligible_leader_replicas: unless_empty(&state.elr),
        last_known_elr: unless_empty(&state.last_known_elr),
        leader: leader_number(state.leader),
        leader_recovery_state: flag(state.is_recovering),
        leader_epoch: state.leader_epoch.0,
        partition_epoch: state.partition_epoch.0,
        ..Default::default()
    }
}

fn partition(record: PartitionRecord) -> MetadataRecord {
    MetadataRecord::Partition {
        topic: TopicId(record.topic_id),
        partition: PartitionId(record.partition_id),
        state: PartitionImage {
            replicas: brokers(record.replicas),
            isr: brokers(record.isr),
            adding: brokers(record.adding_replicas),
            removing: brokers(record.removing_replicas),
            elr: brokers(record.eligible_leader_replicas.unwrap_or_default()),
            last_known_elr: brokers(record.last_known_elr.unwrap_or_default()),
            is_recovering: record.leader_recovery_state == SET,
            leader: Some(BrokerId(record.leader)).filter(|leader| leader.0 != NO_LEADER),
            leader_epoch: LeaderEpoch(record.leader_epoch),
            partition_epoch: PartitionEpoch(record.partition_epoch),
        },
    }
}

fn partition_change_record(
    topic: TopicId,
    partition: PartitionId,
    change: &PartitionChange,
) -> PartitionChangeRecord {
    let optional = |brokers: &Option<Vec<BrokerId>>| brokers.as_deref().map(numbers);
    PartitionChangeRecord {
        partition_id: partition.0,
        topic_id: topic.0,
        replicas: optional(&change.replicas),
        isr: optional(&change.isr),
        adding_replicas: optional(&change.adding),
        removing_replicas: optional(&change.removing),
        eligible_leader_replicas: optional(&change.elr),
        last_known_elr: optional(&change.last_known_elr),
        leader: change.leader.map_or(SAME_LEADER, leader_number),
        leader_recovery_state: change.is_recovering.map_or(SAME_RECOVERY, flag),
        ..Default::default()
    }
}

fn partition_change(record: PartitionChangeRecord) -> MetadataRecord {
    MetadataRecord::PartitionChange {
        topic: TopicId(record.topic_id),
        partition: PartitionId(record.partition_id),
        change: PartitionChange {
            replicas: record.replicas.map(brokers),
            isr: record.isr.map(brokers),
            adding: record.adding_replicas.map(brokers),
            removing: record.removing_replicas.map(brokers),
            elr: record.eligible_leader_replicas.map(brokers),
            last_known_elr: record.last_known_elr.map(brokers),
            leader: match record.leader {
                SAME_LEADER => None,
                NO_LEADER => Some(None),
                leader => Some(Some(BrokerId(leader))),
            },
            is_recovering: match record.leader_recovery_state {
                SAME_RECOVERY => None,
                state => Some(state == SET),
            },
        },
    }
}

fn leader_number(leader: Option<BrokerId>) -> i32 {
    leader.map_or(NO_LEADER, |leader| leader.0)
}

fn flag(is_set: bool) -> i8 {
    if is_set { SET } else { 0 }
}

fn config(record: ConfigRecord) -> Result<MetadataRecord, CodecError> {
    let (kind, name) = (record.resource_type, record.resource_name.as_str());
    let unknown = || CodecError::UnknownResource { kind, name: name.to_owned() };
    let resource = match (kind, name) {
        (TOPIC, id) => ConfigResource::Topic(TopicId(Uuid::from_str(id).map_err(|_| unknown())?)),
        (BROKER, "") => ConfigResource::Cluster,
        (BROKER, id) => ConfigResource::Broker(BrokerId(id.parse().map_err(|_| unknown())?)),
        _ => return Err(unknown()),
    };
    let value = record.value.map(|value| value.to_string());
    Ok(MetadataRecord::Config { resource, key: record.name.to_string(), value })
}

fn register_broker_record(broker: &BrokerImage) -> RegisterBrokerRecord {
    RegisterBrokerRecord {
        broker_id: broker.id.0,
        broker_epoch: broker.epoch.0,
        incarnation_id: broker.incarnation,
        end_points: broker.endpoints.iter().map(endpoint).collect(),
        rack: broker.rack.as_deref().map(Into::into),
        fenced: broker.is_fenced,
        in_controlled_shutdown: broker.is_in_controlled_shutdown,
        log_dirs: broker.directories.clone(),
        cordoned_log_dirs: Some(broker.cordoned.clone()).filter(|cordoned| !cordoned.is_empty()),
        ..Default::default()
    }
}

fn register_broker(record: RegisterBrokerRecord) -> MetadataRecord {
    let endpoint = |endpoint: BrokerEndpoint| Endpoint {
        listener: endpoint.name.to_string(),
        host: endpoint.host.to_string(),
        port: endpoint.port,
    };
    MetadataRecord::RegisterBroker(BrokerImage {
        id: BrokerId(record.broker_id),
        epoch: BrokerEpoch(record.broker_epoch),
        incarnation: record.incarnation_id,
        endpoints: record.end_points.into_iter().map(endpoint).collect(),
        rack: record.rack.map(|rack| rack.to_string()),
        directories: record.log_dirs,
        cordoned: record.cordoned_log_dirs.unwrap_or_default(),
        is_fenced: record.fenced,
        is_in_controlled_shutdown: record.in_controlled_shutdown,
    })
}

fn change(is_set: bool) -> i8 {
    if is_set { 1 } else { -1 }
}

/// In Kafka's record -1 stands for no, 1 for yes and 0 for no change; a controlled shutdown knows no -1.
fn broker_change(record: BrokerRegistrationChangeRecord) -> MetadataRecord {
    let changed = |value: i8| (value != 0).then_some(value == 1);
    MetadataRecord::BrokerChange {
        broker: BrokerId(record.broker_id),
        epoch: BrokerEpoch(record.broker_epoch),
        is_fenced: changed(record.fenced),
        is_in_controlled_shutdown: changed(record.in_controlled_shutdown),
        cordoned: record.cordoned_log_dirs,
    }
}

fn fenced(broker: i32, epoch: i64, is_fenced: bool) -> MetadataRecord {
    MetadataRecord::BrokerChange {
        broker: BrokerId(broker),
        epoch: BrokerEpoch(epoch),
        is_fenced: Some(is_fenced),
        is_in_controlled_shutdown: None,
        cordoned: None,
    }
}

fn endpoint(endpoint: &Endpoint) -> BrokerEndpoint {
    BrokerEndpoint {
        name: endpoint.listener.as_str().into(),
        host: endpoint.host.as_str().into(),
        port: endpoint.port,
        ..Default::default()
    }
}

fn numbers(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.0).collect()
}

fn brokers(numbers: Vec<i32>) -> Vec<BrokerId> {
    numbers.into_iter().map(BrokerId).collect()
}

#[cfg(test)]
mod tests {
    use metadata::{BrokerImage, ConfigResource, Endpoint, MetadataRecord, PartitionChange, PartitionImage};
    use types::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, PartitionId, ProducerId, TopicId, Uuid};

    use super::{decode_all, encode_all};

    #[test]
    fn every_record_comes_back() {
        let id = TopicId(Uuid::from_random([9; 16]));
        let config = |resource, value: Option<&str>| MetadataRecord::Config {
            resource,
            key: "retention.ms".to_owned(),
            value: value.map(str::to_owned),
        };
        let change =
            |change| MetadataRecord::PartitionChange { topic: id, partition: PartitionId(1), change };
        let led = |leader| change(PartitionChange { leader, ..PartitionChange::default() });
        let (one, two, three) = (BrokerId(1), BrokerId(2), BrokerId(3));
        let state = PartitionImage {
            replicas: vec![one, two, three],
            isr: vec![one],
            adding: vec![two],
            removing: vec![three],
            elr: vec![three],
            last_known_elr: vec![two],
            is_recovering: true,
            leader: Some(one),
            leader_epoch: LeaderEpoch(3),
            partition_epoch: PartitionEpoch(8),
        };
        let broker = BrokerImage {
            id: one,
            epoch: BrokerEpoch(4),
            incarnation: Uuid::from_random([1; 16]),
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".to_owned(),
                host: "h".to_owned(),
                port: 65_000,
            }],
            rack: Some("r".to_owned()),
            directories: vec![Uuid::from_random([2; 16]), Uuid::from_random([3; 16])],
            cordoned: vec![Uuid::from_random([3; 16])],
            is_fenced: false,
            is_in_controlled_shutdown: true,
        };
        let broker_change = |is_fenced, is_in_controlled_shutdown, cordoned| MetadataRecord::BrokerChange {
            broker: one,
            epoch: BrokerEpoch(4),
            is_fenced,
            is_in_controlled_shutdown,
            cordoned,
        };
        let records = vec![
            MetadataRecord::Topic { name: "t".to_owned(), id },
            MetadataRecord::Partition { topic: id, partition: PartitionId(0), state: state.clone() },
            MetadataRecord::Partition {
                topic: id,
                partition: PartitionId(1),
                state: PartitionImage { replicas: vec![one], ..PartitionImage::default() },
            },
            led(None),
            led(Some(None)),
            led(Some(Some(two))),
            change(PartitionChange {
                replicas: Some(state.replicas),
                isr: Some(state.isr),
                leader: None,
                adding: Some(state.adding),
                removing: Some(Vec::new()),
                elr: Some(state.elr),
                last_known_elr: Some(Vec::new()),
                is_recovering: Some(false),
            }),
            config(ConfigResource::Topic(id), Some("5")),
            config(ConfigResource::Broker(BrokerId(3)), None),
            config(ConfigResource::Cluster, Some("6")),
            MetadataRecord::RegisterBroker(BrokerImage {
                rack: None,
                cordoned: Vec::new(),
                is_fenced: true,
                ..broker.clone()
            }),
            MetadataRecord::RegisterBroker(broker),
            broker_change(Some(true), None, None),
            broker_change(Some(false), Some(true), Some(Vec::new())),
            broker_change(None, Some(false), Some(vec![Uuid::from_random([3; 16])])),
            MetadataRecord::UnregisterBroker { broker: BrokerId(1), epoch: BrokerEpoch(4) },
            MetadataRecord::ProducerIds {
                broker: BrokerId(1),
                epoch: BrokerEpoch(4),
                next: ProducerId(1000),
            },
            MetadataRecord::RemoveTopic { id },
        ];
        assert_eq!(decode_all(encode_all(&records).unwrap()).unwrap(), records);
    }
}
