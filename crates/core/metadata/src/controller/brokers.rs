//! Brokers that come, stay, stop and go, and what they are given.

use types::{BrokerEpoch, BrokerId, Decision, Monotonic, Now, TopicPartition, Uuid};

use super::replicas::BrokerEvent;
use super::{Controller, Outcome, ProducerIdBlock, Rejection, Response};
use crate::{BrokerImage, Endpoint, MetadataRecord};

/// Producer ids that one broker gets at a time (Kafka: `PRODUCER_ID_BLOCK_SIZE`).
const PRODUCER_IDS_A_BLOCK: i32 = 1000;

/// A broker that says that it is there.
#[derive(Clone, Debug, Default)]
pub struct BrokerRegistration {
    /// Its id.
    pub broker: BrokerId,
    /// Tells one life of its process from the next.
    pub incarnation: Uuid,
    /// Where it is reached.
    pub endpoints: Vec<Endpoint>,
    /// Where it stands.
    pub rack: Option<String>,
    /// The identities of its log directories.
    pub directories: Vec<Uuid>,
    /// Those of them that take no new replica.
    pub cordoned: Vec<Uuid>,
    /// Its registration in the life before, if nothing that it had acknowledged was lost since: it stopped cleanly, or only
    /// its process ended.
    pub previous_epoch: Option<BrokerEpoch>,
    /// The life before, under the same condition. It counts as well as the epoch: a process that ended before it had noted the
    /// answer to its registration does not know its epoch.
    pub previous_incarnation: Option<Uuid>,
}

/// A broker that says that it still is there.
#[derive(Clone, Debug, Default)]
pub struct BrokerHeartbeat {
    /// Its id.
    pub broker: BrokerId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// The end of the metadata log as far as it has applied it: one past the last entry.
    pub metadata_end: u64,
    /// Whether it does not want to lead yet.
    pub wants_fence: bool,
    /// Whether it wants to stop.
    pub wants_shut_down: bool,
    /// Replicas whose directory failed: they can neither lead nor be in sync.
    pub offline: Vec<TopicPartition>,
    /// The directories that take no new replica, if it says so.
    pub cordoned: Option<Vec<Uuid>>,
}

/// What a broker is told about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// Which.
    pub broker: BrokerId,
    /// Whether it has applied its own registration.
    pub is_caught_up: bool,
    /// Whether it may neither lead nor be in sync.
    pub is_fenced: bool,
    /// Whether it is handing its partitions over.
    pub is_in_controlled_shutdown: bool,
    /// Whether it leads nothing any longer, and all know: it may stop.
    pub should_shut_down: bool,
}

/// Where a broker goes from a heartbeat.
enum NextState {
    Same,
    Fenced,
    Unfenced,
    ControlledShutdown,
    ShutdownNow,
}

impl Controller {
    /// A broker that registers is fenced until it has taken its registration in. The same incarnation asking again gets
    /// the same answer; where it is reached from now on is all that may have changed. What its life before led is led by others from the same entry of the log on; a life before that
    /// may have lost records takes them out of what counts as in sync, too.
    pub(super) fn register_broker(
        &self,
        now: Now,
        registration: BrokerRegistration,
    ) -> Result<Outcome, Rejection> {
        self.check_duplicate(now.monotonic, &registration)?;
        self.check_directories(&registration)?;
        let (broker, incarnation) = (registration.broker, registration.incarnation);
        let known = self.image.broker(broker);
        if let Some(known) = known.filter(|known| known.incarnation == incarnation) {
            let response = Response::Registered(known.epoch);
            if known.endpoints == registration.endpoints {
                return Ok(Decision::unchanged(response));
            }
            let moved = BrokerImage { endpoints: registration.endpoints, ..BrokerImage::clone(known) };
            return Ok(Decision { records: vec![MetadataRecord::RegisterBroker(moved)], response });
        }
        let epoch = self.image.next_broker_epoch();
        let is_clean = known.is_some_and(|known| {
            registration.previous_epoch == Some(known.epoch)
                || registration.previous_incarnation == Some(known.incarnation)
        });
        // A directory that it had is not there: a disk was replaced, or wiped. What lay in it only the broker knew.
        let is_wiped = known.is_some_and(|known| {
            let is_there = |directory: &Uuid| registration.directories.contains(directory);
            !known.directories.iter().all(is_there)
        });
        let event = match (is_clean, is_wiped) {
            (true, _) => BrokerEvent::Goes(broker),
            (false, false) => BrokerEvent::LosesRecords(broker),
            (false, true) => BrokerEvent::LosesEverything(broker),
        };
        let mut records = self.partition_changes(event);
        records.extend(self.grant_used(broker));
        let BrokerRegistration { endpoints, rack, directories, cordoned, .. } = registration;
        records.push(MetadataRecord::RegisterBroker(BrokerImage {
            id: broker,
            epoch,
            incarnation,
            endpoints,
            rack,
            directories,
            cordoned,
            is_fenced: true,
            is_in_controlled_shutdown: false,
        }));
        Ok(Decision { records, response: Response::Registered(epoch) })
    }

    /// Refuses a second process of one id. One that is stopping may be replaced before it has ended.
    pub(super) fn check_duplicate(
        &self,
        now: Monotonic,
        registration: &BrokerRegistration,
    ) -> Result<(), Rejection> {
        let BrokerRegistration { broker, incarnation, .. } = *registration;
        let is_stopping = self.image.broker(broker).is_some_and(|known| known.is_in_controlled_shutdown);
        if !is_stopping && self.sessions.is_other_live(now, broker, incarnation) {
            return Err(Rejection::DuplicateBrokerRegistration { broker });
        }
        Ok(())
    }

    fn check_directories(&self, registration: &BrokerRegistration) -> Result<(), Rejection> {
        let taken = |directory: &Uuid| {
            let others = self.image.brokers().filter(|other| other.id != registration.broker);
            others.filter(|other| other.directories.contains(directory)).map(|other| other.id).next()
        };
        registration.directories.iter().try_for_each(|directory| match taken(directory) {
            Some(owner) => Err(Rejection::DirectoryTaken { directory: *directory, owner }),
            None => Ok(()),
        })
    }

    /// Decides what a broker is from now on (Kafka: `BrokerHeartbeatManager.calculateNextBrokerState`).
    pub(super) fn broker_heartbeat(&self, heartbeat: BrokerHeartbeat) -> Result<Outcome, Rejection> {
        let broker = self.check_epoch(heartbeat.broker, heartbeat.epoch)?;
        let is_caught_up = self.sessions.knows_itself(broker.id, broker.epoch, heartbeat.metadata_end);
        let mut reply = HeartbeatReply {
            broker: broker.id,
            is_caught_up,
            is_fenced: broker.is_fenced,
            is_in_controlled_shutdown: broker.is_in_controlled_shutdown,
            should_shut_down: false,
        };
        let mut records = match self.next_state(broker, &heartbeat, is_caught_up) {
            NextState::Same => Vec::new(),
            NextState::Fenced => self.fence(broker),
            NextState::Unfenced => self.unfence(broker),
            NextState::ControlledShutdown => {
                reply.is_in_controlled_shutdown = true;
                self.begin_shutdown(broker)
            }
            NextState::ShutdownNow => {
                reply.should_shut_down = true;
                if broker.is_fenced { Vec::new() } else { self.fence(broker) }
            }
        };
        // Of a broker that comes or goes all replicas change; the next heartbeat says what is left of this.
        if records.is_empty() {
            records = self.offline_changes(broker.id, &heartbeat.offline);
        }
        for record in &records {
            if let MetadataRecord::BrokerChange { is_fenced: Some(is_fenced), .. } = record {
                reply.is_fenced = *is_fenced;
            }
        }
        if let Some(cordoned) = heartbeat.cordoned.filter(|cordoned| *cordoned != broker.cordoned) {
            records.push(MetadataRecord::BrokerChange {
                broker: broker.id,
                epoch: broker.epoch,
                is_fenced: None,
                is_in_controlled_shutdown: None,
                cordoned: Some(cordoned),
            });
        }
        Ok(Decision { records, response: Response::Heartbeat(reply) })
    }

    fn next_state(&self, broker: &BrokerImage, wants: &BrokerHeartbeat, is_caught_up: bool) -> NextState {
        let others = self.image.brokers().filter(|other| !other.is_fenced && other.id != broker.id);
        match (broker.is_fenced, broker.is_in_controlled_shutdown) {
            (true, _) if wants.wants_shut_down => NextState::ShutdownNow,
            (true, _) if is_caught_up && !wants.wants_fence => NextState::Unfenced,
            (true, _) => NextState::Same,
            (false, _) if wants.wants_fence && wants.wants_shut_down => NextState::ShutdownNow,
            (false, _) if wants.wants_fence => NextState::Fenced,
            (false, false) if !wants.wants_shut_down => NextState::Same,
            (false, false) if self.leads_any(broker.id) => NextState::ControlledShutdown,
            (false, false) => NextState::ShutdownNow,
            // Others go on asking it until they know who leads instead.
            (false, true) if self.leads_any(broker.id) => NextState::Same,
            (false, true) if self.sessions.all_know_shutdown(broker.id, others.map(|other| other.id)) => {
                NextState::ShutdownNow
            }
            (false, true) => NextState::Same,
        }
    }

    fn leads_any(&self, broker: BrokerId) -> bool {
        self.image.topics().flat_map(|topic| &topic.partitions).any(|p| p.leader == Some(broker))
    }

    pub(super) fn unfence_broker(&self, broker: BrokerId, epoch: BrokerEpoch) -> Result<Outcome, Rejection> {
        let broker = self.check_epoch(broker, epoch)?;
        let records = if broker.is_fenced { self.unfence(broker) } else { Vec::new() };
        Ok(Decision { records, response: Response::Unfenced })
    }

    pub(super) fn fence_broker(&self, broker: BrokerId, epoch: BrokerEpoch) -> Result<Outcome, Rejection> {
        let broker = self.check_epoch(broker, epoch)?;
        let records = if broker.is_fenced { Vec::new() } else { self.fence(broker) };
        Ok(Decision { records, response: Response::Fenced })
    }

    pub(super) fn unregister_broker(&self, broker: BrokerId) -> Result<Outcome, Rejection> {
        let Some(known) = self.image.broker(broker) else {
            return Err(Rejection::BrokerIdNotRegistered { broker });
        };
        let mut records = self.partition_changes(BrokerEvent::Goes(broker));
        records.push(MetadataRecord::UnregisterBroker { broker, epoch: known.epoch });
        // The next broker of this id is not to find itself emptied.
        records.extend(self.uncordoned(broker));
        Ok(Decision { records, response: Response::Unregistered })
    }

    /// Fences everybody who was silent for too long, then moves leaders back, then moves replicas.
    pub(super) fn tick(&self, now: Now) -> Outcome {
        let mut draft = self.clone();
        let mut records = Vec::new();
        for broker in self.image.brokers().filter(|broker| !broker.is_fenced) {
            if !self.sessions.is_live(now.monotonic, broker.id) {
                let fenced = draft.fence(broker);
                fenced.iter().for_each(|record| draft.image.apply(record));
                records.extend(fenced);
            }
        }
        if let Some(lapsed) = draft.lapse(now) {
            draft.image.apply(&lapsed);
            records.push(lapsed);
        }
        let balanced = draft.balance_leaders(now.monotonic);
        balanced.iter().for_each(|record| draft.image.apply(record));
        records.extend(balanced);
        records.extend(draft.grow_internal(now.monotonic));
        records.extend(draft.rebalance(now.monotonic));
        Decision { records, response: Response::Ticked }
    }

    /// When `Tick` has something to do.
    pub(super) fn next_tick(&self) -> Option<Monotonic> {
        let is_unheard = |broker: &BrokerImage| !broker.is_fenced && !self.sessions.has(broker.id);
        let unheard = self.image.brokers().any(|broker| is_unheard(broker)).then(Monotonic::default);
        let moves = [self.next_balance(), self.next_growth(), self.next_rebalance()];
        [unheard, self.sessions.next_deadline()].into_iter().chain(moves).flatten().min()
    }

    /// A broker was heard of that is registered like this.
    pub(super) fn heard_of(&mut self, now: Monotonic, broker: BrokerId, epoch: BrokerEpoch) {
        if let Ok(incarnation) = self.check_epoch(broker, epoch).map(|broker| broker.incarnation) {
            self.sessions.touch(now, broker, incarnation);
        }
    }

    /// Who is fenced or forgotten has no session, so that its next life may register at once.
    pub(super) fn end_session(&mut self, record: &MetadataRecord) {
        if let MetadataRecord::BrokerChange { broker, is_fenced: Some(true), .. }
        | MetadataRecord::UnregisterBroker { broker, .. } = record
        {
            self.sessions.end(*broker);
        }
    }

    fn fence(&self, broker: &BrokerImage) -> Vec<MetadataRecord> {
        let mut records = self.partition_changes(BrokerEvent::Goes(broker.id));
        records.push(fenced(broker, true));
        records
    }

    fn unfence(&self, broker: &BrokerImage) -> Vec<MetadataRecord> {
        let mut records = vec![fenced(broker, false)];
        // One that was fenced while it stopped is no candidate yet: only a new registration is.
        if !broker.is_in_controlled_shutdown {
            records.extend(self.partition_changes(BrokerEvent::Comes(broker.id)));
        }
        records
    }

    fn begin_shutdown(&self, broker: &BrokerImage) -> Vec<MetadataRecord> {
        let mut records = vec![MetadataRecord::BrokerChange {
            broker: broker.id,
            epoch: broker.epoch,
            is_fenced: None,
            is_in_controlled_shutdown: Some(true),
            cordoned: None,
        }];
        records.extend(self.partition_changes(BrokerEvent::Goes(broker.id)));
        records
    }

    pub(super) fn allocate_producer_ids(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<Outcome, Rejection> {
        self.check_epoch(broker, epoch)?;
        let first = self.image.next_producer_id();
        let next = types::ProducerId(first.0 + i64::from(PRODUCER_IDS_A_BLOCK));
        let block = ProducerIdBlock { first, len: PRODUCER_IDS_A_BLOCK };
        let record = MetadataRecord::ProducerIds { broker, epoch, next };
        Ok(Decision { records: vec![record], response: Response::ProducerIds(block) })
    }

    /// The broker, if this is its registration.
    pub(super) fn check_epoch(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<&BrokerImage, Rejection> {
        match self.image.broker(broker) {
            Some(known) if known.epoch == epoch => Ok(known),
            _ => Err(Rejection::StaleBrokerEpoch { broker, epoch }),
        }
    }
}

fn fenced(broker: &BrokerImage, is_fenced: bool) -> MetadataRecord {
    MetadataRecord::BrokerChange {
        broker: broker.id,
        epoch: broker.epoch,
        is_fenced: Some(is_fenced),
        is_in_controlled_shutdown: None,
        cordoned: None,
    }
}
