//! Records: delete those before an offset.

use protocol::Utf8Bytes;
use protocol::messages::DeleteRecordsRequest;
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};

use super::{Admin, TopicPartitionName};
use crate::{BrokerError, Error, Purpose};

impl Admin {
    /// Deletes the records before `offset` (-1: all that are committed) and answers the first offset that is left.
    pub async fn delete_records(&self, partition: &TopicPartitionName, offset: i64) -> Result<i64, Error> {
        let TopicPartitionName { topic, partition: index } = partition;
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: Utf8Bytes::from(topic),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: *index,
                    offset,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            timeout_ms: self.timeout_ms(),
            ..Default::default()
        };
        self.client
            .retry(|| async {
                let metadata = self.client.metadata(&[topic]).await?;
                let connection = self.client.broker(metadata.leader(topic, *index)?, Purpose::Ask).await?;
                let response = connection.send(&request).await?;
                let what = format!("deleting records of {partition}");
                let result = response.topics.first().and_then(|topic| topic.partitions.first());
                let result =
                    result.ok_or_else(|| Error::Invalid(format!("{what}: the broker's answer is empty")))?;
                BrokerError::check(result.error_code, None).map_err(|error| Error::refused(what, error))?;
                Ok(result.low_watermark)
            })
            .await
    }
}
