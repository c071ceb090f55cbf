//! Topics: create, delete, list, describe, add partitions.

use std::collections::BTreeMap;

use protocol::Utf8Bytes;
use protocol::messages::create_partitions_request::CreatePartitionsTopic;
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::delete_topics_request::DeleteTopicState;
use protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};
use types::TopicId;

use super::{Admin, Outcomes, only, text};
use crate::{BrokerError, ClusterMetadata, Error, TopicMetadata};

/// A topic to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` is the broker's default.
    pub partitions: Option<i32>,
    /// How many replicas of each; `None` is the broker's default.
    pub replication_factor: Option<i16>,
    /// Its configuration, beyond the defaults.
    pub configs: BTreeMap<String, String>,
}

/// A topic that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its identity; zero from brokers that tell none.
    pub topic_id: TopicId,
    /// Its partitions; -1 from brokers that do not tell.
    pub partitions: i32,
    /// The replicas of each; -1 from brokers that do not tell.
    pub replication_factor: i16,
}

impl Admin {
    /// Creates topics, or with `validate_only` says whether they could be created. A retry after a broken connection may
    /// find that the first attempt succeeded and answer TOPIC_ALREADY_EXISTS.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<Outcomes<CreatedTopic>, Error> {
        let request = CreateTopicsRequest {
            topics: topics.iter().map(creatable).collect(),
            timeout_ms: self.timeout_ms(),
            validate_only,
            ..Default::default()
        };
        let response = self.client.retry(|| self.client.ask(&request)).await?;
        let outcomes = response.topics.iter().map(|topic| {
            let created = CreatedTopic {
                topic_id: TopicId(topic.topic_id),
                partitions: topic.num_partitions,
                replication_factor: topic.replication_factor,
            };
            let outcome = BrokerError::check(topic.error_code, topic.error_message.as_ref());
            (text(&topic.name), outcome.map(|()| created))
        });
        Ok(outcomes.collect())
    }

    /// Creates one topic.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<CreatedTopic, Error> {
        let outcomes = self.create_topics(std::slice::from_ref(topic), false).await?;
        only(format!("creating topic {}", topic.name), outcomes)
    }

    /// Deletes topics with all their records.
    pub async fn delete_topics(&self, names: &[&str]) -> Result<Outcomes<()>, Error> {
        let state =
            |name: &&str| DeleteTopicState { name: Some(Utf8Bytes::from(*name)), ..Default::default() };
        let response = self
            .client
            .retry(|| async {
                let connection = self.client.any_broker().await?;
                let version = connection.version::<DeleteTopicsRequest>(i16::MAX)?;
                let mut request = DeleteTopicsRequest { timeout_ms: self.timeout_ms(), ..Default::default() };
                match version >= 6 {
                    true => request.topics = names.iter().map(state).collect(),
                    false => request.topic_names = names.iter().map(|name| Utf8Bytes::from(*name)).collect(),
                }
                connection.send_version(&request, version, self.client.request_timeout()).await
            })
            .await?;
        names.iter().for_each(|name| self.client.forget_topic(name));
        let outcomes = response.responses.iter().map(|topic| {
            let name = topic.name.as_ref().map(text).unwrap_or_default();
            (name, BrokerError::check(topic.error_code, topic.error_message.as_ref()))
        });
        Ok(outcomes.collect())
    }

    /// Deletes one topic.
    pub async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        only(format!("deleting topic {name}"), self.delete_topics(&[name]).await?)
    }

    /// Every topic, by name; those of the brokers themselves too.
    pub async fn list_topics(&self) -> Result<Vec<TopicMetadata>, Error> {
        let metadata = self.client.retry(|| self.client.look(None)).await?;
        Ok(metadata.topics.into_values().collect())
    }

    /// The cluster with these topics in it, asked for now.
    pub async fn describe_topics(&self, names: &[&str]) -> Result<ClusterMetadata, Error> {
        self.client.retry(|| self.client.look(Some(names))).await
    }

    /// Raises the number of a topic's partitions to `count`.
    pub async fn create_partitions(&self, topic: &str, count: i32, validate_only: bool) -> Result<(), Error> {
        let partitions = CreatePartitionsTopic {
            name: Utf8Bytes::from(topic),
            count,
            assignments: None,
            ..Default::default()
        };
        let request = CreatePartitionsRequest {
            topics: vec![partitions],
            timeout_ms: self.timeout_ms(),
            validate_only,
            ..Default::default()
        };
        let response = self.client.retry(|| self.client.ask(&request)).await?;
        self.client.forget_topic(topic);
        let outcomes = response.results.iter().map(|result| {
            (text(&result.name), BrokerError::check(result.error_code, result.error_message.as_ref()))
        });
        only(format!("raising topic {topic} to {count} partitions"), outcomes.collect())
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let configs = topic.configs.iter().map(|(name, value)| CreatableTopicConfig {
        name: Utf8Bytes::from(name),
        value: Some(Utf8Bytes::from(value)),
        ..Default::default()
    });
    CreatableTopic {
        name: Utf8Bytes::from(&topic.name),
        num_partitions: topic.partitions.unwrap_or(-1),
        replication_factor: topic.replication_factor.unwrap_or(-1),
        configs: configs.collect(),
        ..Default::default()
    }
}
