//! Several brokers' replicas of one partition, over disks in memory, with the real controller and no sockets: what is
//! acknowledged stays, whoever leads.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config::{BrokerLayers, Overrides, TopicConfig};
use metadata::{
    AlterPartition, BrokerRegistration, Command, Controller, ControllerDefaults, Image, NewTopic,
    PartitionAlteration, PartitionImage, ProposedReplica, Response,
};
use record::{BatchBuilder, BatchHeader, Batches, Compression};
use replication::{Acks, CommittedIsr, FetchAnswer, FetchRefusal, FollowerAnswer, FollowerFetch};
use storage::DataDir;
use storage::fake::{Crash, FakeDisk};
use types::{
    BrokerEpoch, BrokerId, ErrorCode, Monotonic, Now, Offset, PartitionId, ProducerEpoch, ProducerId,
    Sequence, Shard, Timestamp, TopicId, TopicPartition, Uuid,
};

use super::{Append, AppendTicket, OpenPartition, Partition, Partitions, ReplicaSettings};
use crate::publisher::assignment;

const START_MS: i64 = 1_700_000_000_000;
const TIMEOUT: Duration = Duration::from_secs(30);
const ID: TopicPartition = TopicPartition { topic: TopicId(Uuid([1; 16])), partition: PartitionId(0) };

struct Node {
    id: BrokerId,
    epoch: BrokerEpoch,
    disk: FakeDisk,
    /// Absent while its process is down.
    up: Option<(Partitions, Arc<Partition>)>,
    /// Neither others nor the controller hear of it, nor it of them.
    is_cut_off: bool,
}

struct Cluster {
    controller: Controller,
    nodes: Vec<Node>,
    config: Arc<TopicConfig>,
    since_start: Duration,
    lives: u8,
}

fn batch(value: &[u8], sequence: i32) -> Bytes {
    let mut builder =
        BatchBuilder::new(Compression::None).producer(ProducerId(7), ProducerEpoch(0), Sequence(sequence));
    builder.push(Timestamp(START_MS), None, Some(value), &[]);
    builder.build().unwrap()
}

impl Cluster {
    /// Brokers 0 and up, each with a replica, all in sync; the first leads.
    fn new(count: i32, config: &[(&str, &str)]) -> Cluster {
        let defaults =
            ControllerDefaults { num_partitions: 1, replication_factor: 1, fixed: Overrides::new() };
        let overrides: Overrides = config.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let mut cluster = Cluster {
            controller: Controller::new(Image::default(), defaults),
            nodes: Vec::new(),
            config: Arc::new(TopicConfig::resolve(&overrides, &BrokerLayers::none())),
            since_start: Duration::ZERO,
            lives: 0,
        };
        let ids: Vec<_> = (0..count).map(BrokerId).collect();
        for &id in &ids {
            let epoch = cluster.register(id, None);
            let disk = FakeDisk::new(u64::from(id.0.unsigned_abs()));
            cluster.nodes.push(Node { id, epoch, disk, up: None, is_cut_off: false });
        }
        let topic = NewTopic {
            name: "t".to_owned(),
            id: ID.topic,
            partitions: -1,
            replication_factor: -1,
            assignments: vec![(PartitionId(0), ids.clone())],
            configs: config.iter().map(|&(k, v)| (k.to_owned(), Some(v.to_owned()))).collect(),
        };
        let created = cluster.run(Command::CreateTopics { topics: vec![topic], validate_only: false });
        assert!(matches!(&created, Response::CreatedTopics(results) if results[0].is_ok()), "{created:?}");
        for index in 0..cluster.nodes.len() {
            cluster.open(index);
        }
        assert_eq!(cluster.state().leader, Some(BrokerId(0)));
        cluster
    }

    fn now(&self) -> Now {
        let millis = i64::try_from(self.since_start.as_millis()).unwrap();
        Now { monotonic: Monotonic(self.since_start), wall: Timestamp(START_MS + millis) }
    }

    fn run(&mut self, command: Command) -> Response {
        let decision = self.controller.decide(self.now(), command).unwrap();
        decision.records.iter().for_each(|record| self.controller.apply(record));
        decision.response
    }

    fn state(&self) -> PartitionImage {
        self.controller.image().partition(ID).unwrap().clone()
    }

    fn register(&mut self, broker: BrokerId, previous_epoch: Option<BrokerEpoch>) -> BrokerEpoch {
        self.lives += 1;
        let incarnation = Uuid::from_random([self.lives; 16]);
        let registration =
            BrokerRegistration { broker, incarnation, previous_epoch, ..BrokerRegistration::default() };
        let Response::Registered(epoch) = self.run(Command::RegisterBroker(registration)) else { panic!() };
        self.run(Command::UnfenceBroker { broker, epoch });
        epoch
    }

    /// Starts the process of a broker.
    fn open(&mut self, index: usize) {
        let (node, now) = (&self.nodes[index], self.now());
        let disk = Arc::new(node.disk.clone());
        let dir = DataDir::open(disk, Path::new("/data"), node.id.0, Some("c")).unwrap();
        let partitions = Partitions::new(vec![Arc::new(dir)], ReplicaSettings::of(node.id));
        let open = OpenPartition {
            topic_name: "t".into(),
            id: ID,
            assignment: assignment(self.controller.image(), &self.state()),
            config: Arc::clone(&self.config),
        };
        let partition = partitions.open(now, open).unwrap();
        self.nodes[index].up = Some((partitions, partition));
    }

    fn fence(&mut self, index: usize) {
        let Node { id: broker, epoch, .. } = self.nodes[index];
        self.run(Command::FenceBroker { broker, epoch });
        self.publish();
    }

    /// The process ends; what the kernel has stays.
    fn kill(&mut self, index: usize) {
        self.nodes[index].up = None;
        self.nodes[index].disk.restart(Crash::Process);
        self.fence(index);
    }

    fn start(&mut self, index: usize) {
        let (id, previous) = (self.nodes[index].id, self.nodes[index].epoch);
        self.nodes[index].epoch = self.register(id, Some(previous));
        self.open(index);
        self.publish();
    }

    fn replica(&self, index: usize) -> &Arc<Partition> {
        &self.nodes[index].up.as_ref().expect("it runs").1
    }

    fn reachable(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.up.is_some() && !node.is_cut_off)
    }

    fn publish(&self) {
        let (now, image) = (self.now(), self.controller.image());
        for node in self.reachable() {
            let (_, partition) = node.up.as_ref().unwrap();
            partition.apply(now, assignment(image, &self.state()));
        }
    }

    /// One fetch of every follower, then what leaders have asked of the controller.
    fn pump(&mut self) {
        for node in self.reachable() {
            self.fetch(node);
        }
        let asked: Vec<_> = self
            .reachable()
            .map(|node| (node.id, node.up.as_ref().unwrap().0.errands().proposals.take_now()))
            .collect();
        for (id, proposals) in asked {
            let index = usize::try_from(id.0).unwrap();
            for (_, proposal) in proposals {
                let replica = |member: &replication::InSync| ProposedReplica {
                    broker: member.broker,
                    epoch: member.broker_epoch,
                };
                let alteration = PartitionAlteration {
                    id: ID,
                    leader_epoch: proposal.leader_epoch,
                    partition_epoch: proposal.partition_epoch,
                    isr: proposal.isr.iter().map(replica).collect(),
                    is_recovering: false,
                };
                let epoch = self.nodes[index].epoch;
                let request = AlterPartition { broker: id, epoch, partitions: vec![alteration] };
                let Response::AlteredPartitions(mut altered) = self.run(Command::AlterPartition(request))
                else {
                    panic!()
                };
                let result = altered.remove(0).result.map(|state| CommittedIsr {
                    leader_epoch: state.leader_epoch,
                    partition_epoch: state.partition_epoch,
                    isr: state.isr,
                });
                self.replica(index).isr_answered(self.now(), proposal.id, result);
            }
        }
        self.publish();
    }

    fn fetch(&self, node: &Node) {
        let (now, follower) = (self.now(), &node.up.as_ref().unwrap().1);
        let Some(fetch) = follower.next_fetch(now) else { return };
        let Some(leader) = self.reachable().find(|other| other.id == fetch.leader) else {
            return follower.fetched(now, fetch.id, FetchAnswer::Failed(ErrorCode::NetworkException), &[]);
        };
        let leader = &leader.up.as_ref().unwrap().1;
        let asked = FollowerFetch {
            broker: node.id,
            broker_epoch: node.epoch,
            leader_epoch: fetch.leader_epoch,
            fetch_offset: fetch.fetch_offset,
            last_fetched_epoch: fetch.last_fetched_epoch,
            log_start: fetch.log_start,
        };
        let mut batches = Vec::new();
        let answer = match leader.follower_fetch(now, &asked) {
            Ok(FollowerAnswer::Read { upto, high_watermark, log_start }) => {
                let slice = leader.reader().read(fetch.fetch_offset, upto, 1000, true).unwrap();
                batches.extend(Batches::new(slice.read_to_bytes().unwrap()).map(Result::unwrap));
                let batches = batches.iter().map(|batch| batch.header().summary()).collect();
                FetchAnswer::Records { batches, high_watermark, log_start }
            }
            Ok(FollowerAnswer::Diverging { epoch, end_offset }) => {
                FetchAnswer::Diverging { epoch, end_offset }
            }
            Err(FetchRefusal::OutOfRange { log_start, log_end }) => {
                FetchAnswer::OutOfRange { log_start, log_end }
            }
            Err(refusal) => FetchAnswer::Failed(refusal.code()),
        };
        follower.fetched(now, fetch.id, answer, &batches);
    }

    /// Until nothing moves any more.
    fn settle(&mut self) {
        for _ in 0..20 {
            self.since_start += Duration::from_millis(60);
            self.pump();
        }
    }

    fn append(&self, index: usize, bytes: Bytes, acks: Acks) -> AppendTicket {
        let batch = BatchHeader::parse(&bytes).unwrap().summary();
        self.replica(index).append(self.now(), Append { batch, bytes, acks, timeout: TIMEOUT })
    }

    /// The bytes of the whole log.
    fn content(&self, index: usize) -> Bytes {
        let (reader, bounds) = (self.replica(index).reader(), self.replica(index).bounds());
        reader.read(bounds.log_start, bounds.log_end, u32::MAX, true).unwrap().read_to_bytes().unwrap()
    }

    fn assert_equal(&self) {
        let bounds = self.replica(0).bounds();
        for index in 1..self.nodes.len() {
            assert_eq!(self.content(index), self.content(0), "replica {index}");
            let other = self.replica(index).bounds();
            assert_eq!(
                (other.high_watermark, other.leader_epoch),
                (bounds.high_watermark, bounds.leader_epoch)
            );
        }
    }
}

fn waiting(ticket: AppendTicket) -> tokio::sync::oneshot::Receiver<Result<replication::Appended, ErrorCode>> {
    match ticket {
        AppendTicket::Waiting(answer) => answer,
        AppendTicket::Done(answer) => panic!("answered at once: {answer:?}"),
    }
}

fn refused(ticket: AppendTicket) -> ErrorCode {
    match ticket {
        AppendTicket::Done(Err(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn acks_all_waits_until_every_replica_in_sync_has_it() {
    let mut cluster = Cluster::new(3, &[("min.insync.replicas", "2")]);
    let mut answer = waiting(cluster.append(0, batch(b"a", 0), Acks::All));
    assert_eq!(cluster.replica(0).bounds().high_watermark, Offset(0));
    assert_eq!(refused(cluster.append(1, batch(b"b", 0), Acks::Leader)), ErrorCode::NotLeaderOrFollower);
    cluster.nodes[2].is_cut_off = true;
    cluster.settle();
    assert!(answer.try_recv().is_err(), "one of three has not got it");
    cluster.nodes[2].is_cut_off = false;
    cluster.settle();
    assert_eq!(answer.try_recv().unwrap().map(|appended| appended.base_offset), Ok(Offset(0)));
    assert_eq!(cluster.replica(0).bounds().high_watermark, Offset(1));
    cluster.assert_equal();
}

#[test]
fn who_lags_leaves_the_isr_and_comes_back_with_all_that_it_missed() {
    let mut cluster = Cluster::new(3, &[("min.insync.replicas", "2")]);
    cluster.settle();
    cluster.nodes[2].is_cut_off = true;
    cluster.append(0, batch(b"a", 0), Acks::All);
    cluster.settle();
    cluster.since_start += Duration::from_secs(15);
    cluster.settle();
    assert_eq!(cluster.state().isr.len(), 3);
    cluster.since_start += Duration::from_secs(14);
    cluster.settle();
    cluster.since_start += Duration::from_secs(1);
    cluster.settle();
    cluster.replica(0).tick(cluster.now());
    cluster.settle();
    assert_eq!(cluster.state().isr, [BrokerId(0), BrokerId(1)]);
    assert_eq!(cluster.replica(0).bounds().high_watermark, Offset(1), "it waits for who is in sync only");

    cluster.kill(1);
    assert_eq!(cluster.state().isr, [BrokerId(0)]);
    assert_eq!(refused(cluster.append(0, batch(b"b", 1), Acks::All)), ErrorCode::NotEnoughReplicas);
    assert!(matches!(cluster.append(0, batch(b"b", 1), Acks::Leader), AppendTicket::Done(Ok(_))));
    cluster.settle();
    assert_eq!(cluster.replica(0).bounds().high_watermark, Offset(1), "it stands still below the minimum");

    cluster.nodes[2].is_cut_off = false;
    cluster.start(1);
    cluster.settle();
    assert_eq!(cluster.state().isr.len(), 3);
    assert_eq!(cluster.replica(0).bounds().high_watermark, Offset(2));
    cluster.assert_equal();
}

#[test]
fn an_old_leader_cuts_what_nobody_else_has_and_keeps_what_was_acknowledged() {
    let mut cluster = Cluster::new(3, &[]);
    let mut answer = waiting(cluster.append(0, batch(b"kept", 0), Acks::All));
    cluster.settle();
    assert!(answer.try_recv().unwrap().is_ok());
    cluster.nodes[0].is_cut_off = true;
    for sequence in 1..4 {
        let appended = cluster.append(0, batch(b"lost", sequence), Acks::Leader);
        assert!(matches!(appended, AppendTicket::Done(Ok(_))));
    }
    let mut waits = waiting(cluster.append(0, batch(b"lost", 4), Acks::All));
    cluster.fence(0);
    let leader = usize::try_from(cluster.state().leader.unwrap().0).unwrap();
    assert_ne!(leader, 0);
    // The producer's retry: its first batch after what was committed.
    assert!(waits.try_recv().is_err());
    let mut answer = waiting(cluster.append(leader, batch(b"new", 1), Acks::All));
    cluster.settle();
    assert!(answer.try_recv().unwrap().is_ok());

    cluster.nodes[0].is_cut_off = false;
    cluster.publish();
    assert_eq!(waits.try_recv().unwrap().unwrap_err(), ErrorCode::NotLeaderOrFollower);
    let Node { id: broker, epoch, .. } = cluster.nodes[0];
    cluster.run(Command::UnfenceBroker { broker, epoch });
    cluster.settle();
    assert_eq!(cluster.state().isr.len(), 3, "it is in sync again");
    assert_eq!(cluster.replica(0).bounds().log_end, Offset(2));
    cluster.assert_equal();
    assert!(!cluster.content(0).windows(4).any(|bytes| bytes == b"lost"));

    // Its producer state went back too: the next sequence is the one after the new leader's.
    let other = 3 - leader;
    cluster.kill(leader);
    cluster.kill(other);
    assert_eq!(cluster.state().leader, Some(BrokerId(0)));
    assert!(matches!(cluster.append(0, batch(b"next", 2), Acks::Leader), AppendTicket::Done(Ok(_))));
    assert_eq!(
        refused(cluster.append(0, batch(b"gap", 5), Acks::Leader)),
        ErrorCode::OutOfOrderSequenceNumber
    );
}

#[test]
fn a_retry_at_the_next_leader_is_answered_with_its_first_place() {
    let mut cluster = Cluster::new(3, &[]);
    let mut answer = waiting(cluster.append(0, batch(b"once", 0), Acks::All));
    // It is answered before the followers hear that it is committed, and the answer is lost.
    cluster.pump();
    cluster.pump();
    assert!(answer.try_recv().unwrap().is_ok());
    cluster.kill(0);
    let leader = usize::try_from(cluster.state().leader.unwrap().0).unwrap();
    assert!(!cluster.replica(leader).is_high_watermark_settled(), "the other may have more to say");
    let ticket = cluster.append(leader, batch(b"once", 0), Acks::All);
    cluster.settle();
    let answer = match ticket {
        AppendTicket::Done(answer) => answer,
        AppendTicket::Waiting(mut answer) => answer.try_recv().unwrap(),
    };
    assert_eq!(answer.map(|appended| appended.base_offset), Ok(Offset(0)));
    assert_eq!(cluster.replica(leader).bounds().log_end, Offset(1));
    assert!(cluster.replica(leader).is_high_watermark_settled());
    cluster.start(0);
    cluster.settle();
    assert_eq!(cluster.state().isr.len(), 3);
    cluster.assert_equal();
}

#[test]
fn with_flush_on_a_follower_acknowledges_what_its_disk_has() {
    let mut cluster = Cluster::new(2, &[("flush.messages", "1")]);
    let mut answer = waiting(cluster.append(0, batch(b"a", 0), Acks::All));
    cluster.replica(0).flush(cluster.now());
    cluster.settle();
    assert_eq!(cluster.replica(1).bounds().log_end, Offset(1));
    assert!(answer.try_recv().is_err(), "it is not on the follower's disk");
    assert_eq!(cluster.replica(1).next_fetch(cluster.now()), None);
    cluster.replica(1).flush(cluster.now());
    cluster.settle();
    assert!(answer.try_recv().unwrap().is_ok());
}

#[test]
fn a_restart_begins_at_the_high_watermark_that_was_written_down() {
    let mut cluster = Cluster::new(2, &[]);
    for sequence in 0..3 {
        cluster.append(0, batch(b"a", sequence), Acks::All);
    }
    cluster.settle();
    let (partitions, partition) = cluster.nodes[1].up.as_ref().unwrap();
    assert_eq!(partition.bounds().high_watermark, Offset(3));
    let partition = Arc::clone(partition);
    partitions.data_dir().checkpoint(&|_| Some(partition.bounds().high_watermark)).unwrap();
    drop(partition);
    cluster.kill(1);
    cluster.start(1);
    assert_eq!(cluster.replica(1).bounds().high_watermark, Offset(3));
}

#[test]
fn a_follower_whose_records_are_all_deleted_at_the_leader_begins_again() {
    let mut cluster = Cluster::new(2, &[]);
    cluster.append(0, batch(b"old", 0), Acks::All);
    cluster.settle();
    cluster.kill(1);
    for sequence in 1..5 {
        cluster.append(0, batch(b"more", sequence), Acks::All);
    }
    assert_eq!(cluster.replica(0).delete_records(cluster.now(), Some(Offset(4))), Ok(Offset(4)));
    cluster.start(1);
    cluster.settle();
    let bounds = cluster.replica(1).bounds();
    assert_eq!((bounds.log_start, bounds.log_end), (Offset(4), Offset(5)));
    cluster.assert_equal();
    assert_eq!(cluster.state().isr.len(), 2);
}

#[test]
fn a_follower_that_cannot_begin_again_for_want_of_space_says_that_it_is_offline() {
    let mut cluster = Cluster::new(2, &[]);
    cluster.append(0, batch(b"old", 0), Acks::All);
    cluster.settle();
    let both_in_sync = cluster.controller.image().clone();
    cluster.kill(1);
    for sequence in 1..5 {
        cluster.append(0, batch(b"more", sequence), Acks::All);
    }
    assert_eq!(cluster.replica(0).delete_records(cluster.now(), Some(Offset(4))), Ok(Offset(4)));
    cluster.start(1);
    cluster.nodes[1].disk.set_capacity(0);
    cluster.settle();
    let replica = cluster.replica(1);
    assert!(!replica.is_online() && !replica.log_dir().is_failed());
    let (partitions, _) = cluster.nodes[1].up.as_ref().unwrap();
    assert_eq!(partitions.offline_in(&both_in_sync), [replica.id()]);
}

#[test]
fn a_follower_whose_disk_is_full_deletes_later_and_goes_on() {
    let mut cluster = Cluster::new(2, &[]);
    for sequence in 0..5 {
        cluster.append(0, batch(b"a", sequence), Acks::All);
    }
    cluster.settle();
    cluster.nodes[1].disk.set_capacity(0);
    assert_eq!(cluster.replica(0).delete_records(cluster.now(), Some(Offset(3))), Ok(Offset(3)));
    cluster.settle();
    assert!(cluster.replica(1).is_online(), "there is nothing wrong with its log");
    assert_eq!(cluster.replica(1).bounds().log_start, Offset(0));
    cluster.nodes[1].disk.set_capacity(1 << 40);
    cluster.append(0, batch(b"b", 5), Acks::All);
    cluster.settle();
    let bounds = cluster.replica(1).bounds();
    assert_eq!((bounds.log_start, bounds.log_end), (Offset(3), Offset(6)));
}
