//! How much partitions take on the disks of a broker.

use protocol::Utf8Bytes;
use protocol::messages::DescribeLogDirsRequest;
use protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use protocol::messages::describe_log_dirs_response::DescribeLogDirsResponse;

use super::{Admin, TopicPartitionName, text};
use crate::{BrokerError, Error, Purpose};

/// A replica on the disk of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSize {
    /// The partition.
    pub partition: TopicPartitionName,
    /// How many bytes of log it has there.
    pub bytes: i64,
}

impl Admin {
    /// How large a broker's replicas of these partitions are. One that it does not have, or has on a disk that failed, is left
    /// out.
    pub async fn replica_sizes(
        &self,
        broker: i32,
        partitions: &[TopicPartitionName],
    ) -> Result<Vec<ReplicaSize>, Error> {
        let request = DescribeLogDirsRequest { topics: Some(by_topic(partitions)), ..Default::default() };
        let response = self
            .client
            .retry(|| async { self.client.broker_by_id(broker, Purpose::Ask).await?.send(&request).await })
            .await?;
        BrokerError::check(response.error_code, None).map_err(|error| {
            Error::refused(format!("describing the directories of broker {broker}"), error)
        })?;
        Ok(sizes(&response))
    }
}

fn by_topic(partitions: &[TopicPartitionName]) -> Vec<DescribableLogDirTopic> {
    let mut topics: Vec<DescribableLogDirTopic> = Vec::new();
    for one in partitions {
        match topics.iter_mut().find(|topic| *topic.topic == *one.topic) {
            Some(topic) => topic.partitions.push(one.partition),
            None => topics.push(DescribableLogDirTopic {
                topic: Utf8Bytes::from(&one.topic),
                partitions: vec![one.partition],
                ..Default::default()
            }),
        }
    }
    topics
}

fn sizes(response: &DescribeLogDirsResponse) -> Vec<ReplicaSize> {
    let healthy = response.results.iter().filter(|directory| directory.error_code == 0);
    let topics = healthy.flat_map(|directory| &directory.topics);
    let all = topics.flat_map(|topic| {
        // One that moves to another directory of the same broker is there twice.
        let current = topic.partitions.iter().filter(|partition| !partition.is_future_key);
        current.map(|partition| ReplicaSize {
            partition: TopicPartitionName { topic: text(&topic.name), partition: partition.partition_index },
            bytes: partition.partition_size,
        })
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use protocol::messages::describe_log_dirs_response::{
        DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
    };
    use types::ErrorCode;

    use super::{TopicPartitionName, by_topic, sizes};

    fn directory(error_code: i16, partition_index: i32, is_future_key: bool) -> DescribeLogDirsResult {
        let partition = DescribeLogDirsPartition {
            partition_index,
            partition_size: 7,
            is_future_key,
            ..DescribeLogDirsPartition::default()
        };
        let topics = vec![DescribeLogDirsTopic {
            name: "orders".into(),
            partitions: vec![partition],
            ..Default::default()
        }];
        DescribeLogDirsResult { error_code, topics, ..Default::default() }
    }

    #[test]
    fn a_topic_is_asked_for_once() {
        let name = |topic: &str, partition| TopicPartitionName::new(topic, partition);
        let topics = by_topic(&[name("a", 0), name("b", 0), name("a", 3)]);
        let asked: Vec<_> =
            topics.iter().map(|topic| (topic.topic.as_str(), topic.partitions.as_slice())).collect();
        assert_eq!(asked, [("a", &[0, 3][..]), ("b", &[0][..])]);
    }

    #[test]
    fn what_is_on_a_failed_disk_or_on_its_way_between_two_has_no_size() {
        let failed = ErrorCode::KafkaStorageError.code();
        let results = vec![directory(0, 0, false), directory(failed, 1, false), directory(0, 0, true)];
        let found = sizes(&DescribeLogDirsResponse { results, ..Default::default() });
        let found: Vec<_> = found.iter().map(|one| (one.partition.partition, one.bytes)).collect();
        assert_eq!(found, [(0, 7)]);
    }
}
