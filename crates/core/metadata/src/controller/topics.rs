//! Topics: created, deleted, given more partitions.

use config::{Overrides, validate_topic_override, validate_topic_overrides};
use types::{BrokerId, Decision, ErrorCode, PartitionId, TopicId, validate_topic_name};

use super::{
    Controller, CreatedTopic, Failure, NewPartitions, NewTopic, Outcome, Response, TopicRef, configs, each,
    failure, placement,
};
use crate::{ConfigResource, MetadataRecord, PartitionImage, TopicImage};

/// Partitions that one request may create (Kafka: `MAX_PARTITIONS_PER_BATCH`): an entry of the quorum's log stays of a
/// size that can be replicated.
const PARTITIONS_A_REQUEST_MAX: usize = 10_000;
/// The quorum's own log: a topic of this name would claim its folder.
const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

type Planned<T> = Result<(Vec<MetadataRecord>, T), Failure>;

impl Controller {
    pub(super) fn create_topics(&self, topics: Vec<NewTopic>, validate_only: bool) -> Outcome {
        let partitions = topics.iter().map(|topic| self.partitions_asked(topic)).sum();
        if let Err(failure) = check_count(partitions) {
            let response = Response::CreatedTopics(vec![Err(failure); topics.len()]);
            return Decision::unchanged(response);
        }
        let (records, results) = each(self, topics, validate_only, Controller::create_topic);
        Decision { records, response: Response::CreatedTopics(results) }
    }

    pub(super) fn delete_topics(&self, topics: &[TopicRef]) -> Outcome {
        let (records, results) = each(self, topics, false, |draft, topic| {
            let topic = draft.find(topic)?;
            Ok((vec![MetadataRecord::RemoveTopic { id: topic.id }], (topic.id, topic.name.to_string())))
        });
        Decision { records, response: Response::DeletedTopics(results) }
    }

    pub(super) fn create_partitions(&self, topics: Vec<NewPartitions>, validate_only: bool) -> Outcome {
        let existing = |topic: &NewPartitions| {
            self.image.topic_named(&topic.topic).map_or(0, |topic| topic.partitions.len())
        };
        let new =
            |topic: &NewPartitions| usize::try_from(topic.count).unwrap_or(0).saturating_sub(existing(topic));
        if let Err(failure) = check_count(topics.iter().map(new).sum()) {
            let response = Response::CreatedPartitions(vec![Err(failure); topics.len()]);
            return Decision::unchanged(response);
        }
        let (records, results) = each(self, topics, validate_only, Controller::grow_topic);
        Decision { records, response: Response::CreatedPartitions(results) }
    }

    fn create_topic(&self, topic: NewTopic) -> Planned<CreatedTopic> {
        self.check_name(&topic.name)?;
        let configs = self.check_configs(&topic.configs)?;
        let placed = self.place_topic(&topic)?;
        let partitions = i32::try_from(placed.len()).unwrap_or(i32::MAX);
        let replication_factor = i16::try_from(placed.first().map_or(0, Vec::len)).unwrap_or(i16::MAX);
        let mut records = vec![MetadataRecord::Topic { name: topic.name, id: topic.id }];
        records.extend(self.partition_records(topic.id, 0, placed)?);
        records.extend(configs.iter().map(|(key, value)| MetadataRecord::Config {
            resource: ConfigResource::Topic(topic.id),
            key: key.clone(),
            value: Some(value.clone()),
        }));
        Ok((records, CreatedTopic { id: topic.id, partitions, replication_factor, configs }))
    }

    fn partitions_asked(&self, topic: &NewTopic) -> usize {
        match topic.partitions {
            -1 if !topic.assignments.is_empty() => topic.assignments.len(),
            -1 => usize::try_from(self.defaults.num_partitions).unwrap_or(0),
            count => usize::try_from(count).unwrap_or(0),
        }
    }

    fn check_name(&self, name: &str) -> Result<(), Failure> {
        if name == CLUSTER_METADATA_TOPIC {
            let message = "creation of internal topic __cluster_metadata is prohibited";
            return Err(failure(ErrorCode::TopicAuthorizationFailed, message));
        }
        validate_topic_name(name).map_err(|error| {
            failure(ErrorCode::InvalidTopicException, format!("topic name is invalid: {error}"))
        })?;
        if self.image.topic_named(name).is_some() {
            return Err(failure(ErrorCode::TopicAlreadyExists, format!("topic {name:?} already exists")));
        }
        // Metrics have long replaced one by the other, so that Kafka lets only one of the two exist.
        if name.contains(['.', '_']) {
            let flat = name.replace('.', "_");
            let other = self
                .image
                .topic_names()
                .map(|(other, _)| other)
                .find(|other| other.replace('.', "_") == flat);
            if let Some(other) = other {
                let message =
                    format!("topic {name:?} collides with {other:?}: '.' and '_' count as the same");
                return Err(failure(ErrorCode::InvalidTopicException, message));
            }
        }
        Ok(())
    }

    fn check_configs(&self, configs: &[(String, Option<String>)]) -> Result<Overrides, Failure> {
        let invalid = |message: String| failure(ErrorCode::InvalidConfig, message);
        let mut overrides = Overrides::new();
        for (key, value) in configs {
            let value = value.as_ref().ok_or_else(|| invalid(format!("{key} has no value")))?;
            configs::check_length(key, value)?;
            validate_topic_override(key, value).map_err(|error| invalid(error.to_string()))?;
            overrides.insert(key.clone(), value.clone());
        }
        validate_topic_overrides(&overrides, &self.broker_layers())
            .map_err(|error| invalid(error.to_string()))?;
        Ok(overrides)
    }

    fn place_topic(&self, topic: &NewTopic) -> Result<Vec<Vec<BrokerId>>, Failure> {
        if !topic.assignments.is_empty() {
            return self.check_assignments(topic);
        }
        let partitions = match topic.partitions {
            -1 => self.defaults.num_partitions,
            count => count,
        };
        if partitions < 1 {
            let message = format!("{partitions} partitions: a topic has at least 1");
            return Err(failure(ErrorCode::InvalidPartitions, message));
        }
        let replication_factor = match topic.replication_factor {
            -1 => self.defaults.replication_factor,
            factor => factor,
        };
        let count = usize::try_from(partitions).unwrap_or(0);
        placement::place(&self.image, placement::start_of(&topic.name), count, replication_factor)
    }

    fn check_assignments(&self, topic: &NewTopic) -> Result<Vec<Vec<BrokerId>>, Failure> {
        if topic.partitions != -1 || topic.replication_factor != -1 {
            let message = "with a manual assignment, partitions and replication factor must be -1";
            return Err(failure(ErrorCode::InvalidRequest, message));
        }
        let mut assignments = topic.assignments.clone();
        assignments.sort();
        let is_gapless = (0..).zip(&assignments).all(|(index, (partition, _))| partition.0 == index);
        let factor = assignments[0].1.len();
        if !is_gapless || assignments.iter().any(|(_, replicas)| replicas.len() != factor) {
            let message = "a manual assignment names every partition from 0 once, all with as many replicas";
            return Err(failure(ErrorCode::InvalidReplicaAssignment, message));
        }
        assignments
            .iter()
            .try_for_each(|(_, replicas)| placement::check_manual(&self.image, replicas, &[]))?;
        Ok(assignments.into_iter().map(|(_, replicas)| replicas).collect())
    }

    fn grow_topic(&self, request: NewPartitions) -> Planned<()> {
        let topic = self.find(&TopicRef::Name(request.topic))?;
        let existing = topic.partitions.len();
        let wanted = usize::try_from(request.count).unwrap_or(0);
        if wanted <= existing {
            let message = format!("topic {:?} has {existing} partitions: ask for more than that", topic.name);
            return Err(failure(ErrorCode::InvalidPartitions, message));
        }
        let factor = topic.partitions.first().map_or(0, |partition| partition.replicas.len());
        let placed = match request.assignments {
            Some(placed) => {
                placed.iter().try_for_each(|replicas| placement::check_manual(&self.image, replicas, &[]))?;
                if placed.len() != wanted - existing || placed.iter().any(|replicas| replicas.len() != factor)
                {
                    let message = format!(
                        "{} new partitions need as many assignments, of {factor} replicas",
                        wanted - existing
                    );
                    return Err(failure(ErrorCode::InvalidReplicaAssignment, message));
                }
                placed
            }
            None => {
                let start = placement::start_of(&topic.name) + existing;
                let factor = i16::try_from(factor).unwrap_or(i16::MAX);
                placement::place(&self.image, start, wanted - existing, factor)?
            }
        };
        Ok((self.partition_records(topic.id, existing, placed)?, ()))
    }

    /// New partitions are led by their first replica that lives.
    fn partition_records(
        &self,
        topic: TopicId,
        first: usize,
        placed: Vec<Vec<BrokerId>>,
    ) -> Result<Vec<MetadataRecord>, Failure> {
        let first = i32::try_from(first).unwrap_or(i32::MAX);
        let lives = |id: &BrokerId| self.is_active(*id);
        (first..)
            .zip(placed)
            .map(|(partition, replicas)| {
                let isr: Vec<_> = replicas.iter().copied().filter(lives).collect();
                let Some(leader) = isr.first().copied() else {
                    let message = format!("no replica of partition {partition} is on a broker that lives");
                    return Err(failure(ErrorCode::InvalidReplicaAssignment, message));
                };
                Ok(MetadataRecord::Partition {
                    topic,
                    partition: PartitionId(partition),
                    state: PartitionImage {
                        replicas,
                        isr,
                        leader: Some(leader),
                        ..PartitionImage::default()
                    },
                })
            })
            .collect()
    }

    fn find(&self, topic: &TopicRef) -> Result<&TopicImage, Failure> {
        let (found, code) = match topic {
            TopicRef::Name(name) => (self.image.topic_named(name), ErrorCode::UnknownTopicOrPartition),
            TopicRef::Id(id) => (self.image.topic(*id), ErrorCode::UnknownTopicId),
        };
        found.map(|topic| &**topic).ok_or_else(|| failure(code, "there is no such topic"))
    }
}

fn check_count(partitions: usize) -> Result<(), Failure> {
    if partitions > PARTITIONS_A_REQUEST_MAX {
        let message = format!(
            "excessively large number of partitions per request: {partitions}, at most {PARTITIONS_A_REQUEST_MAX}"
        );
        return Err(failure(ErrorCode::PolicyViolation, message));
    }
    Ok(())
}
