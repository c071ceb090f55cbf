//! Metadata records as bytes: Kafka's own schemas, each behind Kafka's frame (frame version, record type, version, all
//! unsigned varints). A topic's configuration is filed under the topic's id, where Kafka files it under the name: a
//! re-created topic is another topic.

use std::str::FromStr;

use bytes::Bytes;
use metadata::{ConfigResource, Endpoint, MetadataRecord};
use protocol::records::metadata::register_broker_record::BrokerEndpoint;
use protocol::records::metadata::{
    ConfigRecord, FenceBrokerRecord, PartitionChangeRecord, PartitionRecord, ProducerIdsRecord,
    RegisterBrokerRecord, RemoveTopicRecord, TopicRecord, UnfenceBrokerRecord,
};
use protocol::{DecodeError, Decoder, EncodeError, Encoder, PersistedRecord};
use types::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, PartitionId, ProducerId, TopicId, Uuid};

const FRAME_VERSION: u32 = 1;
const NO_LEADER: i32 = -1;
const SAME_LEADER: i32 = -2;
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
        MetadataRecord::Partition {
            topic,
            partition,
            replicas,
            isr,
            leader,
            leader_epoch,
            partition_epoch,
        } => {
            let record = PartitionRecord {
                partition_id: partition.0,
                topic_id: topic.0,
                replicas: numbers(replicas),
                isr: numbers(isr),
                leader: leader.map_or(NO_LEADER, |leader| leader.0),
                leader_epoch: leader_epoch.0,
                partition_epoch: partition_epoch.0,
                ..Default::default()
            };
            put(encoder, &record)
        }
        MetadataRecord::PartitionChange { topic, partition, isr, leader } => {
            let record = PartitionChangeRecord {
                partition_id: partition.0,
                topic_id: topic.0,
                isr: isr.as_deref().map(numbers),
                leader: leader.map_or(SAME_LEADER, |leader| leader.map_or(NO_LEADER, |leader| leader.0)),
                ..Default::default()
            };
            put(encoder, &record)
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
        MetadataRecord::RegisterBroker { broker, epoch, incarnation, endpoints, rack } => {
            let record = RegisterBrokerRecord {
                broker_id: broker.0,
                broker_epoch: epoch.0,
                incarnation_id: *incarnation,
                end_points: endpoints.iter().map(endpoint).collect(),
                rack: rack.as_deref().map(Into::into),
                fenced: true,
                ..Default::default()
            };
            put(encoder, &record)
        }
        MetadataRecord::FenceBroker { broker, epoch } => {
            put(encoder, &FenceBrokerRecord { id: broker.0, epoch: epoch.0, ..Default::default() })
        }
        MetadataRecord::UnfenceBroker { broker, epoch } => {
            put(encoder, &UnfenceBrokerRecord { id: broker.0, epoch: epoch.0, ..Default::default() })
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
        FenceBrokerRecord::RECORD_TYPE => {
            let record: FenceBrokerRecord = get(decoder, version)?;
            Ok(MetadataRecord::FenceBroker { broker: BrokerId(record.id), epoch: BrokerEpoch(record.epoch) })
        }
        UnfenceBrokerRecord::RECORD_TYPE => {
            let record: UnfenceBrokerRecord = get(decoder, version)?;
            Ok(MetadataRecord::UnfenceBroker {
                broker: BrokerId(record.id),
                epoch: BrokerEpoch(record.epoch),
            })
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

fn partition(record: PartitionRecord) -> MetadataRecord {
    MetadataRecord::Partition {
        topic: TopicId(record.topic_id),
        partition: PartitionId(record.partition_id),
        replicas: brokers(record.replicas),
        isr: brokers(record.isr),
        leader: Some(BrokerId(record.leader)).filter(|leader| leader.0 != NO_LEADER),
        leader_epoch: LeaderEpoch(record.leader_epoch),
        partition_epoch: PartitionEpoch(record.partition_epoch),
    }
}

fn partition_change(record: PartitionChangeRecord) -> MetadataRecord {
    MetadataRecord::PartitionChange {
        topic: TopicId(record.topic_id),
        partition: PartitionId(record.partition_id),
        isr: record.isr.map(brokers),
        leader: match record.leader {
            SAME_LEADER => None,
            NO_LEADER => Some(None),
            leader => Some(Some(BrokerId(leader))),
        },
    }
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

fn register_broker(record: RegisterBrokerRecord) -> MetadataRecord {
    let endpoint = |endpoint: BrokerEndpoint| Endpoint {
        listener: endpoint.name.to_string(),
        host: endpoint.host.to_string(),
        port: endpoint.port,
    };
    MetadataRecord::RegisterBroker {
        broker: BrokerId(record.broker_id),
        epoch: BrokerEpoch(record.broker_epoch),
        incarnation: record.incarnation_id,
        endpoints: record.end_points.into_iter().map(endpoint).collect(),
        rack: record.rack.map(|rack| rack.to_string()),
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
    use metadata::{ConfigResource, Endpoint, MetadataRecord};
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
        let change = |leader| MetadataRecord::PartitionChange {
            topic: id,
            partition: PartitionId(1),
            isr: Some(vec![BrokerId(1)]),
            leader,
        };
        let records = vec![
            MetadataRecord::Topic { name: "t".to_owned(), id },
            MetadataRecord::Partition {
                topic: id,
                partition: PartitionId(0),
                replicas: vec![BrokerId(1), BrokerId(2)],
                isr: vec![BrokerId(1)],
                leader: Some(BrokerId(1)),
                leader_epoch: LeaderEpoch(3),
                partition_epoch: PartitionEpoch(8),
            },
            change(None),
            change(Some(None)),
            change(Some(Some(BrokerId(2)))),
            config(ConfigResource::Topic(id), Some("5")),
            config(ConfigResource::Broker(BrokerId(3)), None),
            config(ConfigResource::Cluster, Some("6")),
            MetadataRecord::RegisterBroker {
                broker: BrokerId(1),
                epoch: BrokerEpoch(4),
                incarnation: Uuid::from_random([1; 16]),
                endpoints: vec![Endpoint {
                    listener: "PLAINTEXT".to_owned(),
                    host: "h".to_owned(),
                    port: 65_000,
                }],
                rack: Some("r".to_owned()),
            },
            MetadataRecord::FenceBroker { broker: BrokerId(1), epoch: BrokerEpoch(4) },
            MetadataRecord::UnfenceBroker { broker: BrokerId(1), epoch: BrokerEpoch(4) },
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
