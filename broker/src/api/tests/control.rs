//! What Kafka's tools ask of the controller through a broker.

use protocol::messages::alter_partition_reassignments_request::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use protocol::messages::describe_quorum_request::{self, DescribeQuorumRequest};
use protocol::messages::elect_leaders_request::{ElectLeadersRequest, TopicPartitions};
use protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use protocol::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use protocol::messages::{
    DescribeTopicPartitionsRequest, MetadataRequest, UnregisterBrokerRequest, describe_quorum_response,
};
use types::{BrokerId, ErrorCode};

use super::Harness;
use super::replication::register;

async fn reassign(harness: &Harness, replicas: Option<Vec<i32>>) -> i16 {
    let partition = ReassignablePartition { partition_index: 0, replicas, ..Default::default() };
    let missing = ReassignablePartition { partition_index: 7, replicas: None, ..Default::default() };
    let topic =
        ReassignableTopic { name: "t".into(), partitions: vec![missing, partition], ..Default::default() };
    let request = AlterPartitionReassignmentsRequest { topics: vec![topic], ..Default::default() };
    let response = harness.ask(0, &request).await;
    assert_eq!(response.error_code, 0);
    let [topic] = &response.responses[..] else { panic!("{response:?}") };
    let [missing, partition] = &topic.partitions[..] else { panic!("{topic:?}") };
    assert_eq!((missing.partition_index, missing.error_code), (7, ErrorCode::UnknownTopicOrPartition.code()));
    partition.error_code
}

async fn reassigning(harness: &Harness) -> Vec<(i32, Vec<i32>, Vec<i32>, Vec<i32>)> {
    let listed = harness.ask(0, &ListPartitionReassignmentsRequest::default()).await;
    let partitions = listed.topics.into_iter().flat_map(|topic| topic.partitions);
    let listed = partitions.map(|p| (p.partition_index, p.replicas, p.adding_replicas, p.removing_replicas));
    listed.collect()
}

#[tokio::test]
async fn partitions_are_reassigned_and_take_it_back() {
    let harness = Harness::start().await;
    harness.create_topic("t", &[]).await;
    register(&harness, BrokerId(2), 2).await;
    assert_eq!(reassign(&harness, None).await, ErrorCode::NoReassignmentInProgress.code());
    assert_eq!(reassign(&harness, Some(vec![2, 9])).await, ErrorCode::InvalidReplicaAssignment.code());
    assert_eq!(reassign(&harness, Some(vec![2])).await, 0);
    assert_eq!(reassigning(&harness).await, [(0, vec![2, 1], vec![2], vec![1])]);
    assert_eq!(reassign(&harness, None).await, 0);
    assert_eq!(reassigning(&harness).await, []);
    harness.stop().await;
}

#[tokio::test]
async fn elections_say_of_each_partition_whether_it_was_needed() {
    let harness = Harness::start().await;
    harness.create_topic("t", &[]).await;
    for version in 0..=2 {
        let topic = TopicPartitions { topic: "t".into(), partitions: vec![0, 5], ..Default::default() };
        let request = ElectLeadersRequest { topic_partitions: Some(vec![topic]), ..Default::default() };
        let response = harness.ask(version, &request).await;
        let [topic] = &response.replica_election_results[..] else { panic!("{response:?}") };
        let codes: Vec<_> = topic.partition_result.iter().map(|p| (p.partition_id, p.error_code)).collect();
        let not_needed = ErrorCode::ElectionNotNeeded.code();
        assert_eq!(codes, [(0, not_needed), (5, ErrorCode::UnknownTopicOrPartition.code())]);
        let all = ElectLeadersRequest { topic_partitions: None, ..Default::default() };
        assert_eq!(harness.ask(version, &all).await.replica_election_results, []);
    }
    harness.stop().await;
}

#[tokio::test]
async fn the_quorum_is_described_by_its_leader() {
    let harness = Harness::start().await;
    let partition = describe_quorum_request::PartitionData { partition_index: 0, ..Default::default() };
    let topic = |name: &'static str| describe_quorum_request::TopicData {
        topic_name: name.into(),
        partitions: vec![partition.clone()],
        ..Default::default()
    };
    for version in 0..=2 {
        let request =
            DescribeQuorumRequest { topics: vec![topic("__cluster_metadata")], ..Default::default() };
        let response = harness.ask(version, &request).await;
        let described: &describe_quorum_response::PartitionData = &response.topics[0].partitions[0];
        assert_eq!((response.error_code, described.error_code, described.leader_id), (0, 0, 1));
        let [voter] = &described.current_voters[..] else { panic!("{described:?}") };
        assert_eq!((voter.replica_id, voter.log_end_offset), (1, described.high_watermark));
        assert_eq!(described.observers, []);
        if version == 2 {
            let directory = harness.node.partitions.data_dir().directory_id();
            assert_eq!((voter.replica_directory_id, response.nodes.len()), (directory, 1));
        }
        let other = DescribeQuorumRequest { topics: vec![topic("t")], ..Default::default() };
        let refused = harness.ask(version, &other).await.topics[0].partitions[0].error_code;
        assert_eq!(refused, ErrorCode::UnknownTopicOrPartition.code());
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_broker_that_is_gone_shows_as_offline_until_it_is_forgotten() {
    let harness = Harness::start().await;
    let epoch = register(&harness, BrokerId(2), 2).await;
    harness.create_replicated("t", 2, &[]).await;
    let fence = metadata::Command::FenceBroker { broker: BrokerId(2), epoch };
    harness.node.metadata().submit(fence).await.unwrap();
    let described = harness
        .ask(12, &MetadataRequest { topics: None, ..Default::default() })
        .await
        .topics
        .remove(0)
        .partitions
        .remove(0);
    assert_eq!((described.isr_nodes, described.offline_replicas), (vec![1], vec![2]));
    let paged = DescribeTopicPartitionsRequest { response_partition_limit: 9, ..Default::default() };
    let paged = harness.ask(0, &paged).await.topics.remove(0).partitions.remove(0);
    assert_eq!(paged.offline_replicas, [2]);
    let unregister = UnregisterBrokerRequest { broker_id: 2, ..Default::default() };
    assert_eq!(harness.ask(0, &unregister).await.error_code, 0);
    assert!(harness.node.metadata().image().broker(BrokerId(2)).is_none());
    let again = harness.ask(0, &unregister).await;
    assert_eq!(again.error_code, ErrorCode::BrokerIdNotRegistered.code());
    harness.stop().await;
}

#[tokio::test]
async fn there_is_no_feature_to_raise() {
    let harness = Harness::start().await;
    let update =
        FeatureUpdateKey { feature: "group.version".into(), max_version_level: 1, ..Default::default() };
    let request = UpdateFeaturesRequest { feature_updates: vec![update], ..Default::default() };
    let invalid = ErrorCode::InvalidUpdateVersion.code();
    for version in 0..=1 {
        assert_eq!(harness.ask(version, &request).await.results[0].error_code, invalid);
    }
    assert_eq!(harness.ask(2, &request).await.error_code, invalid);
    harness.stop().await;
}
