//! A follower over a real socket: its fetches, its part of acks=all, and a leader that is asked by strangers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::{BrokerLayers, Overrides, TopicConfig};
use metadata::{
    BrokerRegistration, Command, ConfigChange, ConfigOperation, ConfigTarget, Endpoint, NewTopic, Response,
};
use protocol::messages::FetchRequest;
use protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use protocol::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use storage::DataDir;
use storage::fake::FakeDisk;
use tokio::sync::watch;
use types::{BrokerEpoch, BrokerId, ErrorCode, PartitionId, TopicId, TopicPartition, Uuid};

use super::Harness;
use super::log::{NOW_MS, batch, fetch_request, produce};
use crate::partitions::{OpenPartition, Partition, Partitions, ReplicaSettings};
use crate::peers::{FetcherSettings, RegisteredBrokers, ReplicaFetchers, Side, Throttle};
use crate::publisher::assignment;
use crate::seams::{Blocking, TcpTransport, Wall};

const FOLLOWER: BrokerId = BrokerId(2);

pub(super) async fn register(harness: &Harness, broker: BrokerId, incarnation: u8) -> BrokerEpoch {
    register_in(harness, broker, incarnation, None).await
}

async fn register_in(
    harness: &Harness,
    broker: BrokerId,
    incarnation: u8,
    rack: Option<&str>,
) -> BrokerEpoch {
    let incarnation = Uuid::from_random([incarnation; 16]);
    let endpoint = Endpoint { listener: "plain".to_owned(), host: "elsewhere".to_owned(), port: 9999 };
    let registration = BrokerRegistration {
        broker,
        incarnation,
        endpoints: vec![endpoint],
        rack: rack.map(str::to_owned),
        ..BrokerRegistration::default()
    };
    let answer = harness.node.metadata().submit(Command::RegisterBroker(registration)).await;
    let Ok(Response::Registered(epoch)) = answer else { panic!("{answer:?}") };
    let unfence = Command::UnfenceBroker { broker, epoch };
    harness.node.metadata().submit(unfence).await.unwrap();
    epoch
}

/// The replica that the follower is to have, on a disk in memory.
fn open(harness: &Harness, id: TopicPartition) -> (Arc<Partitions>, Arc<Partition>) {
    let dir = DataDir::open(Arc::new(FakeDisk::new(1)), Path::new("/data"), FOLLOWER.0, Some("c")).unwrap();
    let partitions = Arc::new(Partitions::new(vec![Arc::new(dir)], ReplicaSettings::of(FOLLOWER)));
    let image = harness.node.metadata().image();
    let open = OpenPartition {
        topic_name: "t".into(),
        id,
        assignment: assignment(&image, image.partition(id).unwrap()),
        config: Arc::new(TopicConfig::resolve(&Overrides::new(), &BrokerLayers::none())),
    };
    let partition = partitions.open(Wall::real().now(), open).unwrap();
    (partitions, partition)
}

/// Lets the follower fetch until its task is aborted.
fn follow(harness: &Harness, partitions: Arc<Partitions>, epoch: BrokerEpoch) -> tokio::task::JoinHandle<()> {
    let client_id = "follower".to_owned();
    let fetchers = ReplicaFetchers {
        partitions,
        leaders: Arc::new(RegisteredBrokers {
            metadata: harness.node.metadata().clone(),
            client_id,
            transport: Arc::new(TcpTransport),
        }),
        registration: watch::Sender::new(Some(epoch)).subscribe(),
        throttle: Throttle::new(harness.node.metadata().clone(), FOLLOWER, Side::Follower),
        suspects: Arc::clone(&harness.node.suspects),
        copying: harness.node.metrics.copying.clone(),
        settings: FetcherSettings::new(&harness.node.broker_config),
        blocking: Blocking::pool(2),
        wall: Wall::real(),
    };
    tokio::spawn(Arc::new(fetchers).run(harness.node.stopping.clone()))
}

async fn reaches(partition: &Partition, end: i64) {
    let mut bounds = partition.watch();
    let reached = bounds.wait_for(|bounds| bounds.log_end.0 >= end);
    tokio::time::timeout(Duration::from_secs(10), reached).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_follower_gets_what_is_written_and_acks_all_waits_for_it() {
    let harness = Harness::start().await;
    let epoch = register(&harness, FOLLOWER, 9).await;
    let topic = ("t", harness.create_replicated("t", 2, &[("min.insync.replicas", "2")]).await);
    let id = TopicPartition { topic: topic.1, partition: PartitionId(0) };
    // Out of the ISR, so that it has to come back by its fetches; and the node under test leads, whoever was first.
    let metadata = harness.node.metadata();
    metadata.submit(Command::FenceBroker { broker: FOLLOWER, epoch }).await.unwrap();
    metadata.submit(Command::UnfenceBroker { broker: FOLLOWER, epoch }).await.unwrap();
    assert_eq!(metadata.image().partition(id).unwrap().isr, [BrokerId(1)]);
    let refused = produce(&harness, 13, topic, batch(NOW_MS)).await;
    assert_eq!(refused.error_code, ErrorCode::NotEnoughReplicas.code());
    let leader = harness.node.partitions.get(id).unwrap();
    assert!(leader.is_leading());
    let (partitions, follower) = open(&harness, id);
    let following = follow(&harness, partitions, epoch);
    let mut isr = harness.node.metadata().committed();
    let is_in_sync =
        |isr: &crate::quorum::Committed| isr.image.partition(id).is_some_and(|state| state.isr.len() == 2);
    tokio::time::timeout(Duration::from_secs(10), isr.wait_for(is_in_sync)).await.unwrap().unwrap();

    for round in 1..=3 {
        let produced = produce(&harness, 13, topic, batch(NOW_MS)).await;
        assert_eq!(produced.error_code, 0, "{produced:?}");
        let end = leader.bounds().log_end;
        assert_eq!(leader.bounds().high_watermark, end, "acks=all was answered in round {round}");
        assert_eq!(follower.bounds().log_end, end, "and the follower has it");
    }
    let end = leader.bounds().log_end;
    reaches(&follower, end.0).await;
    let bytes = |partition: &Partition| {
        partition.reader().read(types::Offset(0), end, u32::MAX, true).unwrap().read_to_bytes().unwrap()
    };
    assert_eq!(bytes(&follower), bytes(&leader));
    assert_eq!(
        follower.epoch_end_offset(leader.leader_epoch()),
        leader.epoch_end_offset(leader.leader_epoch())
    );
    let delete = |timeout_ms| {
        let partition = DeleteRecordsPartition { offset: 2, ..DeleteRecordsPartition::default() };
        let topic =
            DeleteRecordsTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
        DeleteRecordsRequest { topics: vec![topic], timeout_ms, ..Default::default() }
    };
    let deleted = harness.ask(2, &delete(10_000)).await.topics.remove(0).partitions.remove(0);
    assert_eq!((deleted.error_code, deleted.low_watermark), (0, 2));
    assert_eq!(follower.bounds().log_start.0, 2, "it was answered when the follower had deleted them too");
    following.abort();
    harness.stop().await;
}

#[tokio::test]
async fn a_consumer_is_sent_to_a_replica_in_its_rack() {
    let selector = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
    let harness =
        Harness::start_with(&format!("rack: a\nconfig: {{replica.selector.class: {selector}}}\n")).await;
    register_in(&harness, FOLLOWER, 9, Some("b")).await;
    let mut ids = std::collections::BTreeMap::new();
    for name in ["t1", "t2", "t3", "t4"] {
        let topic = harness.create_replicated(name, 2, &[]).await;
        let id = TopicPartition { topic, partition: PartitionId(0) };
        let leader = harness.node.metadata().image().partition(id).unwrap().leader.unwrap();
        ids.entry(leader).or_insert((name, topic));
    }
    let ask = async |topic, version, rack: &str| {
        let request = FetchRequest { rack_id: rack.into(), ..fetch_request(version, topic, 0) };
        let mut response = harness.ask(version, &request).await;
        let answer = response.responses.remove(0).partitions.remove(0);
        (answer.error_code, answer.preferred_read_replica)
    };
    let (led, followed) = (ids[&BrokerId(1)], ids[&FOLLOWER]);
    assert_eq!(ask(led, 13, "b").await, (0, FOLLOWER.0));
    for rack in ["a", "c", ""] {
        assert_eq!(ask(led, 13, rack).await, (0, -1), "rack {rack}");
    }
    // Whoever was sent here reads here; older consumers know of leaders only.
    assert_eq!(ask(followed, 11, "a").await, (0, -1));
    assert_eq!(ask(followed, 10, "").await.0, ErrorCode::NotLeaderOrFollower.code());
    harness.stop().await;
}

#[tokio::test]
async fn a_follower_is_told_where_its_log_leaves_the_leaders() {
    let harness = Harness::start().await;
    let epoch = register(&harness, FOLLOWER, 9).await;
    let topic = ("t", harness.create_replicated("t", 2, &[]).await);
    let id = TopicPartition { topic: topic.1, partition: PartitionId(0) };
    let fence = Command::FenceBroker { broker: FOLLOWER, epoch };
    harness.node.metadata().submit(fence).await.unwrap();
    assert_eq!(produce(&harness, 13, topic, batch(NOW_MS)).await.error_code, 0);
    let leader = harness.node.partitions.get(id).unwrap();
    let (current, end) = (leader.leader_epoch().0, leader.bounds().log_end.0);

    let none = ErrorCode::None.code();
    for (broker, replica_epoch, leader_epoch, offset, last_epoch, expected) in [
        (2, epoch.0, current, 0, -1, (none, -1, true)),
        (2, epoch.0, current, end, current, (none, -1, false)),
        // More than the leader has of its epoch: cut at its end.
        (2, epoch.0, current, end + 5, current, (none, end, false)),
        (2, epoch.0, current, end + 5, -1, (ErrorCode::OffsetOutOfRange.code(), -1, false)),
        (2, epoch.0, current - 1, 0, -1, (ErrorCode::FencedLeaderEpoch.code(), -1, false)),
        (2, epoch.0, current + 1, 0, -1, (ErrorCode::UnknownLeaderEpoch.code(), -1, false)),
        (7, 1, current, 0, -1, (ErrorCode::NotLeaderOrFollower.code(), -1, false)),
    ] {
        let partition = FetchPartition {
            current_leader_epoch: leader_epoch,
            fetch_offset: offset,
            last_fetched_epoch: last_epoch,
            log_start_offset: 0,
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        };
        let TopicId(topic_id) = topic.1;
        let request = FetchRequest {
            replica_state: ReplicaState { replica_id: broker, replica_epoch, ..ReplicaState::default() },
            min_bytes: 1,
            max_bytes: 1 << 20,
            topics: vec![FetchTopic { topic_id, partitions: vec![partition], ..FetchTopic::default() }],
            ..FetchRequest::default()
        };
        let answer = harness.ask(18, &request).await.responses.remove(0).partitions.remove(0);
        let has_records =
            answer.records.as_ref().is_some_and(|records| records.inline().is_some_and(|b| !b.is_empty()));
        let answer = (answer.error_code, answer.diverging_epoch.end_offset, has_records);
        assert_eq!(answer, expected, "{broker} in {leader_epoch} at {offset} after {last_epoch}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn who_asks_the_wrong_broker_is_told_who_leads() {
    let harness = Harness::start().await;
    register(&harness, FOLLOWER, 9).await;
    let id = TopicId(Uuid::from_random([5; 16]));
    let topic = NewTopic {
        name: "t".to_owned(),
        id,
        partitions: -1,
        replication_factor: -1,
        assignments: vec![(PartitionId(0), vec![FOLLOWER])],
        configs: Vec::new(),
    };
    let create = Command::CreateTopics { topics: vec![topic], validate_only: false };
    harness.node.metadata().submit(create).await.unwrap();
    let not_leader = ErrorCode::NotLeaderOrFollower.code();
    for (version, expected) in [(9, -1), (10, FOLLOWER.0), (13, FOLLOWER.0)] {
        let refused = produce(&harness, version, ("t", id), batch(NOW_MS)).await;
        assert_eq!(
            (refused.error_code, refused.current_leader.leader_id),
            (not_leader, expected),
            "{version}"
        );
    }
    for (version, expected) in [(12, -1), (16, FOLLOWER.0), (18, FOLLOWER.0)] {
        let request = fetch_request(version, ("t", id), 0);
        let mut answer = harness.ask(version, &request).await;
        let refused = answer.responses.remove(0).partitions.remove(0);
        assert_eq!(
            (refused.error_code, refused.current_leader.leader_id),
            (not_leader, expected),
            "{version}"
        );
        let known =
            answer.node_endpoints.iter().map(|node| (node.host.as_str(), node.port)).collect::<Vec<_>>();
        assert_eq!(known.contains(&("elsewhere", 9999)), expected >= 0, "{version}");
    }
    harness.stop().await;
}

/// A fetch from the start by a follower that is not in sync; how many bytes of records it got.
async fn copied(harness: &Harness, topic: TopicId, epoch: BrokerEpoch, leader_epoch: i32) -> usize {
    let partition = FetchPartition {
        current_leader_epoch: leader_epoch,
        last_fetched_epoch: -1,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let state = ReplicaState { replica_id: FOLLOWER.0, replica_epoch: epoch.0, ..ReplicaState::default() };
    let request = FetchRequest {
        replica_state: state,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic { topic_id: topic.0, partitions: vec![partition], ..FetchTopic::default() }],
        ..FetchRequest::default()
    };
    let mut answer = harness.ask(18, &request).await;
    let partition = answer.responses.pop().and_then(|mut topic| topic.partitions.pop());
    let records = partition.and_then(|partition| {
        assert_eq!(partition.error_code, 0);
        partition.records
    });
    records.and_then(|records| records.inline().map(|bytes| bytes.len())).unwrap_or(0)
}

#[tokio::test]
async fn a_leader_gives_who_is_not_in_sync_no_more_than_its_rate() {
    let harness = Harness::start().await;
    let epoch = register(&harness, FOLLOWER, 9).await;
    let listed = [("leader.replication.throttled.replicas", "0:1")];
    let topic = ("t", harness.create_replicated("t", 2, &listed).await);
    let id = TopicPartition { topic: topic.1, partition: PartitionId(0) };
    let metadata = harness.node.metadata();
    metadata.submit(Command::FenceBroker { broker: FOLLOWER, epoch }).await.unwrap();
    assert_eq!(produce(&harness, 13, topic, batch(NOW_MS)).await.error_code, 0);
    let leader = harness.node.partitions.get(id).unwrap();
    let current = leader.leader_epoch().0;
    let set_rate = async |rate: &str| {
        let change = ConfigChange {
            resource: ConfigTarget::Broker(BrokerId(1)),
            operations: vec![(
                "leader.replication.throttled.rate".to_owned(),
                ConfigOperation::Set(rate.to_owned()),
            )],
            replaces: false,
        };
        let alter = Command::AlterConfigs { changes: vec![change], validate_only: false };
        let answer = harness.node.metadata().submit(alter).await.unwrap();
        assert_eq!(answer, Response::AlteredConfigs(vec![Ok(())]));
    };
    let whole = copied(&harness, topic.1, epoch, current).await;
    assert!(whole > 1, "nobody holds it back");
    set_rate("1").await;
    assert_eq!(copied(&harness, topic.1, epoch, current).await, whole, "what is over is made up for");
    assert_eq!(copied(&harness, topic.1, epoch, current).await, 0, "by nothing until then");
    let followers = leader.followers().unwrap();
    let lag = followers[0].lag(
        harness.node.wall.now().monotonic,
        leader.bounds().log_start,
        leader.bounds().log_end,
    );
    assert_eq!(lag.0, leader.bounds().log_end.0, "what it asked for is known all the same");
    set_rate("100000000").await;
    assert_eq!(copied(&harness, topic.1, epoch, current).await, whole);
    harness.stop().await;
}
