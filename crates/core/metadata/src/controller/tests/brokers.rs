//! Brokers that come, stay, stop and go.

use std::time::Duration;

use types::{
    BrokerEpoch, BrokerId, Decision, ErrorCode, Monotonic, Now, PartitionId, Shard, Timestamp,
    TopicPartition, Uuid,
};

use super::super::{
    BrokerHeartbeat, BrokerRegistration, Command, Controller, ControllerDefaults, HeartbeatReply, NewTopic,
    Rejection, Response,
};
use super::{create, topic};
use crate::{Endpoint, Image, PartitionImage};

const SESSION: Duration = Duration::from_secs(3);

pub(super) fn at(ms: u64) -> Now {
    Now { monotonic: Monotonic(Duration::from_millis(ms)), wall: Timestamp(i64::try_from(ms).unwrap()) }
}

/// A controller in office, as its shell drives it. Each decision that has records is an entry of the log.
pub(super) struct Office {
    pub(super) controller: Controller,
    pub(super) end: u64,
}

impl Office {
    pub(super) fn take(image: Image, end: u64, now: Now) -> Office {
        let defaults =
            ControllerDefaults { num_partitions: 1, replication_factor: 1, fixed: config::Overrides::new() };
        Office { controller: Controller::take_office(now, image, end, defaults, SESSION), end }
    }

    /// An office with brokers `1..=count`, unfenced.
    pub(super) fn with_brokers(count: i32) -> Office {
        let mut office = Office::take(Image::default(), 0, at(0));
        (1..=count).for_each(|id| office.join(at(0), id, 1));
        office
    }

    pub(super) fn run(&mut self, now: Now, command: Command) -> Result<Response, Rejection> {
        self.controller.observe(now, &command);
        let Decision { records, response } = self.controller.decide(now, command)?;
        records.iter().for_each(|record| self.controller.apply(record));
        self.end += u64::from(!records.is_empty());
        self.controller.committed(now, &response, self.end);
        Ok(response)
    }

    pub(super) fn register(
        &mut self,
        now: Now,
        id: i32,
        life: u8,
        previous_epoch: Option<BrokerEpoch>,
    ) -> Result<BrokerEpoch, Rejection> {
        let registration = BrokerRegistration {
            broker: BrokerId(id),
            incarnation: Uuid::from_random([life; 16]),
            directories: vec![directory(id)],
            previous_epoch,
            ..BrokerRegistration::default()
        };
        match self.run(now, Command::RegisterBroker(registration))? {
            Response::Registered(epoch) => Ok(epoch),
            other => panic!("{other:?}"),
        }
    }

    /// It knows who it was, and not as what it was registered then.
    fn register_after(&mut self, now: Now, id: i32, life: u8, previous_life: u8) {
        let registration = BrokerRegistration {
            broker: BrokerId(id),
            incarnation: Uuid::from_random([life; 16]),
            directories: vec![directory(id)],
            previous_incarnation: Some(Uuid::from_random([previous_life; 16])),
            ..BrokerRegistration::default()
        };
        self.run(now, Command::RegisterBroker(registration)).unwrap();
    }

    /// Its disk is another one.
    fn register_wiped(&mut self, now: Now, id: i32, life: u8) {
        self.register_with(now, id, life, &[200 + life]);
    }

    /// It has these directories.
    fn register_with(&mut self, now: Now, id: i32, life: u8, directories: &[u8]) {
        let directory = |name: &u8| Uuid::from_random([*name; 16]);
        let registration = BrokerRegistration {
            broker: BrokerId(id),
            incarnation: Uuid::from_random([life; 16]),
            directories: directories.iter().map(directory).collect(),
            ..BrokerRegistration::default()
        };
        self.run(now, Command::RegisterBroker(registration)).unwrap();
    }

    pub(super) fn join(&mut self, now: Now, id: i32, life: u8) {
        let previous = self.controller.image().broker(BrokerId(id)).map(|broker| broker.epoch);
        self.register(now, id, life, previous).unwrap();
        assert!(!self.beat(now, id).is_fenced);
    }

    pub(super) fn heartbeat(&self, id: i32) -> BrokerHeartbeat {
        let epoch = self.epoch(id);
        BrokerHeartbeat { broker: BrokerId(id), epoch, metadata_end: self.end, ..Default::default() }
    }

    pub(super) fn send(&mut self, now: Now, heartbeat: BrokerHeartbeat) -> HeartbeatReply {
        match self.run(now, Command::BrokerHeartbeat(heartbeat)).unwrap() {
            Response::Heartbeat(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn beat(&mut self, now: Now, id: i32) -> HeartbeatReply {
        self.send(now, self.heartbeat(id))
    }

    pub(super) fn epoch(&self, id: i32) -> BrokerEpoch {
        self.controller.image().broker(BrokerId(id)).unwrap().epoch
    }

    pub(super) fn fence(&mut self, id: i32) {
        let epoch = self.epoch(id);
        self.run(at(0), Command::FenceBroker { broker: BrokerId(id), epoch }).unwrap();
    }

    pub(super) fn is_fenced(&self, id: i32) -> bool {
        self.controller.image().broker(BrokerId(id)).unwrap().is_fenced
    }

    pub(super) fn create(&mut self, name: &str, seed: u8, replicas: &[i32], configs: &[(&str, &str)]) {
        let replicas = replicas.iter().map(|&id| BrokerId(id)).collect();
        let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())));
        let new = NewTopic {
            assignments: vec![(PartitionId(0), replicas)],
            configs: configs.collect(),
            ..topic(name, seed)
        };
        create(&mut self.controller, new).unwrap();
        self.end += 1;
    }

    pub(super) fn partition(&self, topic: &str) -> &PartitionImage {
        &self.controller.image().topic_named(topic).unwrap().partitions[0]
    }

    /// Leader, in sync and eligible.
    pub(super) fn seen(&self, topic: &str) -> (i32, Vec<i32>, Vec<i32>) {
        let numbers = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect();
        let state = self.partition(topic);
        (state.leader.map_or(-1, |leader| leader.0), numbers(&state.isr), numbers(&state.elr))
    }
}

fn directory(id: i32) -> Uuid {
    Uuid::from_random([100 + u8::try_from(id).unwrap(); 16])
}

#[test]
fn a_broker_is_unfenced_once_it_knows_its_own_registration() {
    let mut office = Office::take(Image::default(), 7, at(0));
    office.register(at(0), 1, 1, None).unwrap();
    let early = BrokerHeartbeat { metadata_end: 7, ..office.heartbeat(1) };
    let reply = office.send(at(1), early);
    assert_eq!((reply.is_caught_up, reply.is_fenced), (false, true));
    let unready = BrokerHeartbeat { wants_fence: true, ..office.heartbeat(1) };
    let reply = office.send(at(1), unready);
    assert_eq!((reply.is_caught_up, reply.is_fenced), (true, true));
    let reply = office.beat(at(2), 1);
    assert_eq!((reply.is_caught_up, reply.is_fenced), (true, false));
}

#[test]
fn a_second_process_of_one_id_is_refused_while_the_first_lives() {
    let mut office = Office::with_brokers(1);
    let refused = office.register(at(2_999), 1, 2, None).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DuplicateBrokerRegistration);
    assert_eq!(office.register(at(2_999), 1, 1, None), Ok(office.epoch(1)), "the same life may ask again");
    assert!(office.register(at(6_000), 1, 2, None).is_ok(), "its session is over");
    // Who is fenced, because its connection broke, is replaced at once.
    let mut office = Office::with_brokers(1);
    office.fence(1);
    assert!(office.register(at(1), 1, 2, None).is_ok());
}

#[test]
fn a_directory_belongs_to_one_broker() {
    let mut office = Office::with_brokers(1);
    let copy = BrokerRegistration {
        broker: BrokerId(2),
        directories: vec![directory(1)],
        ..BrokerRegistration::default()
    };
    let refused = office.run(at(0), Command::RegisterBroker(copy)).unwrap_err();
    assert_eq!(refused, Rejection::DirectoryTaken { directory: directory(1), owner: BrokerId(1) });
}

#[test]
fn silence_for_a_session_fences() {
    let mut office = Office::with_brokers(2);
    office.create("t", 1, &[1, 2], &[]);
    office.beat(at(1_000), 2);
    assert_eq!(office.controller.next_deadline(), Some(at(3_000).monotonic));
    office.run(at(2_999), Command::Tick).unwrap();
    assert!(!office.is_fenced(1));
    office.run(at(3_000), Command::Tick).unwrap();
    assert_eq!((office.is_fenced(1), office.is_fenced(2)), (true, false));
    assert_eq!(office.seen("t"), (2, vec![2], vec![]));
    assert_eq!(office.controller.next_deadline(), Some(at(4_000).monotonic));
    // All are silent: the last one in sync stays so, and leads again when it is back.
    office.run(at(4_000), Command::Tick).unwrap();
    assert_eq!(office.seen("t"), (-1, vec![2], vec![]));
    office.beat(at(4_001), 1);
    assert_eq!(office.seen("t"), (-1, vec![2], vec![]));
    office.beat(at(4_002), 2);
    assert_eq!(office.seen("t"), (2, vec![2], vec![]));
}

#[test]
fn a_new_controller_gives_everybody_a_whole_session() {
    let mut office = Office::with_brokers(3);
    office.fence(3);
    let image = office.controller.image().clone();
    let mut next = Office::take(image, office.end + 1, at(9_000));
    let refused = next.register(at(9_001), 1, 2, None).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DuplicateBrokerRegistration);
    assert!(next.register(at(9_001), 3, 2, None).is_ok(), "who was fenced has no session to wait for");
    next.run(at(11_999), Command::Tick).unwrap();
    assert!(!next.is_fenced(1));
    next.beat(at(11_999), 1);
    next.run(at(12_000), Command::Tick).unwrap();
    assert_eq!((next.is_fenced(1), next.is_fenced(2)), (false, true));
    // Registered under the controller before: known to whoever has applied what was there when this one began.
    assert!(!next.send(at(12_001), next.heartbeat(2)).is_fenced);
}

#[test]
fn an_undone_decision_is_made_again() {
    let mut office = Office::with_brokers(1);
    let committed = office.controller.image().clone();
    office.run(at(3_000), Command::Tick).unwrap();
    assert!(office.is_fenced(1));
    office.controller.rebase(committed);
    assert!(!office.is_fenced(1));
    assert_eq!(office.controller.next_deadline(), Some(Monotonic::default()), "due at once");
    office.run(at(3_001), Command::Tick).unwrap();
    assert!(office.is_fenced(1));
}

#[test]
fn a_controlled_shutdown_hands_over_first_and_waits_until_all_know() {
    let mut office = Office::with_brokers(2);
    office.create("t", 1, &[1, 2], &[]);
    let before = BrokerHeartbeat { metadata_end: office.end, ..office.heartbeat(2) };
    let stop = |office: &Office| BrokerHeartbeat { wants_shut_down: true, ..office.heartbeat(1) };
    let reply = office.send(at(1), stop(&office));
    assert!(reply.is_in_controlled_shutdown && !reply.should_shut_down && !reply.is_fenced);
    assert_eq!(office.seen("t"), (2, vec![2], vec![]));
    office.send(at(2), before);
    assert!(!office.send(at(3), stop(&office)).should_shut_down, "2 does not know that it leads");
    office.beat(at(4), 2);
    let reply = office.send(at(5), stop(&office));
    assert!(reply.should_shut_down && reply.is_fenced);
    let epoch = office.epoch(1);
    assert!(office.register(at(6), 1, 2, Some(epoch)).is_ok(), "its next life comes at once");
    // Who leads nothing may stop at once.
    office.beat(at(7), 1);
    let reply = office.send(at(8), stop(&office));
    assert!(reply.should_shut_down);
}

#[test]
fn a_replica_whose_directory_failed_hands_over_and_its_broker_leads_on() {
    let mut office = Office::with_brokers(3);
    office.create("failed", 1, &[1, 2, 3], &[]);
    office.create("followed", 2, &[2, 1], &[]);
    office.create("alone", 3, &[1], &[]);
    office.create("well", 4, &[1, 2], &[]);
    let id = |office: &Office, name: &str| {
        let topic = office.controller.image().topic_named(name).unwrap().id;
        TopicPartition { topic, partition: PartitionId(0) }
    };
    let offline: Vec<_> = ["failed", "followed", "alone", "failed"].map(|name| id(&office, name)).to_vec();
    let beat = |office: &Office| BrokerHeartbeat { offline: offline.clone(), ..office.heartbeat(1) };
    let reply = office.send(at(1), beat(&office));
    assert!(!reply.is_fenced);
    assert_eq!(office.seen("failed"), (2, vec![2, 3], vec![]));
    assert_eq!(office.seen("followed"), (2, vec![2], vec![]));
    assert_eq!(office.seen("alone"), (-1, vec![1], vec![]), "nobody else has what it has");
    assert_eq!(office.seen("well"), (1, vec![1, 2], vec![]));
    let end = office.end;
    office.send(at(2), beat(&office));
    assert_eq!(office.end, end, "said again it changes nothing");
    // Whoever comes has partitions without a leader looked at; what is offline stays so.
    office.fence(3);
    office.beat(at(3), 3);
    office.send(at(4), beat(&office));
    assert_eq!(office.seen("alone").0, -1);
}

#[test]
fn a_broker_that_stops_is_neither_leader_nor_in_sync_also_when_it_is_alone() {
    let mut office = Office::with_brokers(1);
    office.create("t", 1, &[1], &[]);
    let stop = BrokerHeartbeat { wants_shut_down: true, ..office.heartbeat(1) };
    assert!(!office.send(at(1), stop.clone()).should_shut_down);
    assert_eq!(office.seen("t"), (-1, vec![1], vec![]));
    assert!(office.send(at(2), stop).should_shut_down);
    office.join(at(3), 1, 2);
    assert_eq!(office.seen("t"), (1, vec![1], vec![]));
}

#[test]
fn a_stale_broker_epoch_decides_nothing() {
    let mut office = Office::with_brokers(1);
    let old = office.epoch(1);
    let heartbeat = office.heartbeat(1);
    office.fence(1);
    office.join(at(1), 1, 2);
    let stale = Rejection::StaleBrokerEpoch { broker: BrokerId(1), epoch: old };
    let commands = [
        Command::BrokerHeartbeat(heartbeat),
        Command::FenceBroker { broker: BrokerId(1), epoch: old },
        Command::UnfenceBroker { broker: BrokerId(1), epoch: old },
        Command::AllocateProducerIds { broker: BrokerId(1), epoch: old },
    ];
    for command in commands {
        assert_eq!(office.run(at(2_000), command), Err(stale));
    }
    office.run(at(3_001), Command::Tick).unwrap();
    assert!(office.is_fenced(1), "a stale heartbeat does not count as one");
}

#[test]
fn a_restart_is_unclean_unless_it_names_the_epoch_before() {
    for (previous, expected) in
        [(Some(0), (1, vec![1], vec![2])), (Some(-1), (2, vec![2], vec![])), (None, (2, vec![2], vec![]))]
    {
        let mut office = Office::with_brokers(2);
        office.create("t", 1, &[1, 2], &[("min.insync.replicas", "2")]);
        office.fence(2);
        office.fence(1);
        assert_eq!(office.seen("t"), (-1, vec![1], vec![2]));
        let epoch = previous.map(|off| BrokerEpoch(office.epoch(1).0 + off));
        office.register(at(1), 1, 2, epoch).unwrap();
        office.beat(at(2), 1);
        if previous != Some(0) {
            assert_eq!(office.seen("t"), (-1, vec![], vec![2]), "it may lack what it had acknowledged");
            office.beat(at(3), 2);
        }
        assert_eq!((office.seen("t"), office.partition("t").is_recovering), (expected, false));
    }
}

#[test]
fn a_restart_is_clean_also_if_it_names_the_life_before() {
    for (previous_life, expected) in [(5, (1, vec![1], vec![2])), (6, (-1, vec![], vec![2]))] {
        let mut office = Office::with_brokers(2);
        office.create("t", 1, &[1, 2], &[("min.insync.replicas", "2")]);
        office.fence(2);
        office.fence(1);
        // It is registered, and its process ends before it hears so.
        let epoch = office.epoch(1);
        office.register(at(1), 1, 5, Some(epoch)).unwrap();
        office.register_after(at(60_000), 1, 7, previous_life);
        office.beat(at(60_001), 1);
        assert_eq!(office.seen("t"), expected, "{previous_life}");
    }
}

#[test]
fn a_broker_with_an_empty_disk_is_not_the_last_that_is_known_to_have_led() {
    let mut office = Office::with_brokers(2);
    office.create("t", 1, &[1, 2], &[]);
    office.create("lone", 2, &[1], &[]);
    office.fence(2);
    office.fence(1);
    assert_eq!(office.seen("t"), (-1, vec![1], vec![]), "it was the last in sync");
    office.register_wiped(at(1), 1, 2);
    office.beat(at(2), 1);
    assert_eq!(office.seen("t"), (-1, vec![], vec![]), "it would make the other cut what it has");
    assert!(office.partition("t").last_known_elr.is_empty());
    assert_eq!(office.seen("lone"), (1, vec![1], vec![]), "there is nobody else to wait for");
    // The same after a loss of power: it was the last known leader, and its disk is replaced then.
    let mut office = Office::with_brokers(2);
    office.create("t", 1, &[1, 2], &[]);
    office.fence(2);
    office.fence(1);
    office.register(at(1), 1, 2, None).unwrap();
    assert_eq!(office.partition("t").last_known_elr, [BrokerId(1)]);
    office.register_wiped(at(6_000), 1, 3);
    office.beat(at(6_001), 1);
    assert_eq!(office.seen("t"), (-1, vec![], vec![]));
}

#[test]
fn a_broker_that_lost_one_of_its_disks_may_have_lost_any_partition() {
    let mut office = Office::with_brokers(2);
    office.create("t", 1, &[1, 2], &[]);
    office.fence(2);
    office.fence(1);
    office.register_with(at(1), 1, 2, &[101, 51]);
    assert_eq!(office.partition("t").last_known_elr, [BrokerId(1)], "a second disk was added");
    office.register_with(at(6_000), 1, 3, &[101, 52]);
    office.beat(at(6_001), 1);
    assert_eq!(office.seen("t"), (-1, vec![], vec![]));
}

#[test]
fn a_lone_replica_that_lost_power_leads_again() {
    let mut office = Office::with_brokers(1);
    office.create("t", 1, &[1], &[]);
    office.fence(1);
    office.register(at(1), 1, 2, None).unwrap();
    assert_eq!(office.seen("t"), (-1, vec![], vec![]));
    office.beat(at(2), 1);
    assert_eq!((office.seen("t"), office.partition("t").is_recovering), ((1, vec![1], vec![]), true));
}

#[test]
fn a_forgotten_broker_leaves_and_its_epochs_do_not_come_again() {
    let mut office = Office::with_brokers(2);
    office.create("t", 1, &[2, 1], &[]);
    let last = office.epoch(2);
    office.run(at(1), Command::UnregisterBroker { broker: BrokerId(2) }).unwrap();
    assert!(office.controller.image().broker(BrokerId(2)).is_none());
    assert_eq!(office.seen("t"), (1, vec![1], vec![]));
    let unknown = office.run(at(1), Command::UnregisterBroker { broker: BrokerId(2) }).unwrap_err();
    assert_eq!(unknown.code(), ErrorCode::BrokerIdNotRegistered);
    let mut restored = Image::default();
    office.controller.image().to_records().iter().for_each(|record| restored.apply(record));
    assert_eq!(&restored, office.controller.image());
    assert!(office.register(at(2), 2, 2, None).unwrap() > last);
}

#[test]
fn a_broker_is_reached_elsewhere_without_being_fenced() {
    let mut office = Office::with_brokers(1);
    let epoch = office.epoch(1);
    let endpoint = Endpoint { listener: "EXT".to_owned(), host: "h".to_owned(), port: 1 };
    let registration = BrokerRegistration {
        broker: BrokerId(1),
        incarnation: Uuid::from_random([1; 16]),
        directories: vec![directory(1)],
        endpoints: vec![endpoint.clone()],
        ..BrokerRegistration::default()
    };
    let answer = office.run(at(1), Command::RegisterBroker(registration)).unwrap();
    assert_eq!(answer, Response::Registered(epoch));
    let broker = office.controller.image().broker(BrokerId(1)).unwrap();
    assert_eq!((broker.is_fenced, broker.epoch, &broker.endpoints[..]), (false, epoch, &[endpoint][..]));
}
