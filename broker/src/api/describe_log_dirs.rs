//! DescribeLogDirs: how much each log takes on this node's disks, and what is left of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::Utf8Bytes;
use protocol::messages::describe_log_dirs_request::{DescribableLogDirTopic, DescribeLogDirsRequest};
use protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use storage::DataDir;
use types::{BrokerId, ErrorCode};

use super::RequestContext;
use crate::node::Node;
use crate::partitions::Partition;

/// Every directory, with those of its logs that are asked for.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _: &RequestContext,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let asked = request.topics.map(|topics| topics.into_iter().map(partitions_of).collect());
    let me = BrokerId(node.config.node_id);
    let image = node.metadata().image();
    let cordoned = image.broker(me).map(|broker| broker.cordoned.clone()).unwrap_or_default();
    let partitions = node.partitions.all();
    let mut results = Vec::new();
    for dir in node.partitions.log_dirs().all() {
        let data_dir = Arc::clone(dir.data_dir());
        if dir.is_failed() {
            let error_code = ErrorCode::KafkaStorageError.code();
            let log_dir = path(&data_dir);
            results.push(DescribeLogDirsResult { log_dir, error_code, ..Default::default() });
            continue;
        }
        let in_it = partitions.iter().filter(|partition| Arc::ptr_eq(partition.log_dir(), dir));
        let topics = topics(in_it, asked.as_ref());
        let is_cordoned = cordoned.contains(&data_dir.directory_id());
        let result = move || DescribeLogDirsResult { is_cordoned, topics, ..space(&data_dir) };
        results.push(node.blocking.run(result).await);
    }
    DescribeLogDirsResponse { results, ..Default::default() }
}

type Asked = BTreeMap<Utf8Bytes, BTreeSet<i32>>;

fn partitions_of(topic: DescribableLogDirTopic) -> (Utf8Bytes, BTreeSet<i32>) {
    (topic.topic, topic.partitions.into_iter().collect())
}

fn topics<'a>(
    partitions: impl Iterator<Item = &'a Arc<Partition>>,
    asked: Option<&Asked>,
) -> Vec<DescribeLogDirsTopic> {
    let mut topics: BTreeMap<&'a str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for partition in partitions {
        let (name, index) = (&**partition.topic_name(), partition.id().partition.0);
        let is_asked = asked.is_none_or(|asked| asked.get(name).is_some_and(|all| all.contains(&index)));
        if !is_asked || !partition.is_online() {
            continue;
        }
        let (reader, bounds) = (partition.reader(), partition.bounds());
        topics.entry(name).or_default().push(DescribeLogDirsPartition {
            partition_index: index,
            partition_size: i64::try_from(reader.size_bytes()).unwrap_or(i64::MAX),
            // Of a log in its place: a follower may have heard of a high watermark that it has not reached.
            offset_lag: bounds.high_watermark.since(reader.log_end()).max(0),
            is_future_key: false,
            ..Default::default()
        });
    }
    let topic = |(name, partitions): (&str, _)| DescribeLogDirsTopic {
        name: name.into(),
        partitions,
        ..Default::default()
    };
    topics.into_iter().map(topic).collect()
}

fn path(data_dir: &DataDir) -> Utf8Bytes {
    let path = std::path::absolute(data_dir.path()).unwrap_or_else(|_| data_dir.path().to_owned());
    path.to_string_lossy().as_ref().into()
}

/// The directory, and the file system that it lies on.
fn space(data_dir: &DataDir) -> DescribeLogDirsResult {
    let bytes = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
    let log_dir = path(data_dir);
    match data_dir.space() {
        Ok(space) => DescribeLogDirsResult {
            log_dir,
            total_bytes: bytes(space.total_bytes),
            usable_bytes: bytes(space.free_bytes),
            ..Default::default()
        },
        Err(error) => {
            tracing::warn!(%error, dir = %log_dir, "cannot tell how much space is free");
            let error_code = ErrorCode::KafkaStorageError.code();
            DescribeLogDirsResult { log_dir, error_code, ..Default::default() }
        }
    }
}
