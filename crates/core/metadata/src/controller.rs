//! The metadata controller: decides on changes of the cluster. Every decision is made on the draft, which holds what was
//! decided before and is not committed yet; deciding on the committed image alone would create one topic twice.

mod brokers;
mod command;
mod configs;
mod elections;
mod intents;
mod internal;
mod isr;
mod partition_change;
mod placement;
mod reassignment;
mod rebalance;
mod replicas;
mod restart;
mod sessions;
mod topics;

use std::time::Duration;

use config::{BrokerLayers, Overrides};
use types::{Decision, ErrorCode, Monotonic, Now, Shard};

use self::sessions::Sessions;
use crate::{ConfigResource, Image, MetadataRecord};

pub use brokers::{BrokerHeartbeat, BrokerRegistration, HeartbeatReply};
pub use command::{
    Command, ConfigChange, CreatedTopic, Failure, NewPartitions, NewTopic, ProducerIdBlock, Rejection,
    Response, TopicRef,
};
pub use configs::{ConfigOperation, ConfigTarget};
pub use elections::{ElectedLeader, ElectionType};
pub use isr::{AlterPartition, AlteredPartition, PartitionAlteration, ProposedReplica};
pub use reassignment::Reassignment;
pub use rebalance::RebalanceProgress;
pub use restart::{DrainGrant, RestartCheck};

/// The controller's state: what the cluster will be once all that was proposed is committed.
#[derive(Clone, Debug)]
pub struct Controller {
    image: Image,
    defaults: ControllerDefaults,
    /// Not replicated, as the next one.
    sessions: Sessions,
    /// When leaders were last moved to their preferred replicas.
    balanced: Monotonic,
    /// When it was last looked at which replicas are to be moved.
    rebalanced: Monotonic,
}

/// What the controller's own node has in its configuration.
#[derive(Clone, Debug)]
pub struct ControllerDefaults {
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub replication_factor: i16,
    /// The static broker configuration, from which topics inherit.
    pub fixed: Overrides,
}

type Outcome = Decision<MetadataRecord, Response>;

impl Controller {
    /// A controller that continues from an image and has heard of no broker yet.
    pub fn new(image: Image, defaults: ControllerDefaults) -> Controller {
        let (balanced, rebalanced) = (Monotonic::default(), Monotonic::default());
        Controller { image, defaults, sessions: Sessions::default(), balanced, rebalanced }
    }

    /// The active controller of a new term, which has applied the log up to `end`: every broker that is not fenced has a
    /// whole `broker.session.timeout.ms` to say that it is there.
    pub fn take_office(
        now: Now,
        image: Image,
        end: u64,
        defaults: ControllerDefaults,
        session_timeout: Duration,
    ) -> Controller {
        let sessions = Sessions::take_office(now.monotonic, &image, end, session_timeout);
        Controller { image, defaults, sessions, balanced: now.monotonic, rebalanced: now.monotonic }
    }

    /// Goes on from the committed image; what was decided and not committed is forgotten.
    pub fn rebase(&mut self, image: Image) {
        self.image = image;
    }

    /// Notes who was heard of, before deciding on what they said.
    pub fn observe(&mut self, now: Now, command: &Command) {
        let now = now.monotonic;
        match command {
            Command::RegisterBroker(broker) if self.check_duplicate(now, broker).is_ok() => {
                self.sessions.touch(now, broker.broker, broker.incarnation);
            }
            Command::BrokerHeartbeat(BrokerHeartbeat { broker, epoch, metadata_end, .. }) => {
                self.heard_of(now, *broker, *epoch);
                self.sessions.applied(*broker, *metadata_end);
            }
            Command::UnfenceBroker { broker, epoch } => self.heard_of(now, *broker, *epoch),
            Command::Tick => self.sessions.expire(now),
            Command::RegisterBroker(_)
            | Command::CreateTopics { .. }
            | Command::DeleteTopics { .. }
            | Command::CreatePartitions { .. }
            | Command::AlterConfigs { .. }
            | Command::FenceBroker { .. }
            | Command::UnregisterBroker { .. }
            | Command::AlterPartition(_)
            | Command::ElectLeaders { .. }
            | Command::AlterReassignments { .. }
            | Command::Cordon { .. }
            | Command::Rebalance { .. }
            | Command::CheckRestarts { .. }
            | Command::Drain { .. }
            | Command::AllocateProducerIds { .. } => {}
        }
    }

    /// Notes what is committed, and up to which end of the log: to be called with each response, before it is given.
    pub fn committed(&mut self, now: Now, response: &Response, end: u64) {
        match response {
            Response::Registered(epoch) => {
                let broker = self.image.brokers().find(|broker| broker.epoch == *epoch);
                if let Some(id) = broker.map(|broker| broker.id) {
                    self.sessions.registered(id, *epoch, end);
                }
            }
            Response::Heartbeat(reply) if reply.is_in_controlled_shutdown => {
                self.sessions.shutting_down(reply.broker, end);
            }
            Response::Ticked => {
                self.balanced_if_due(now.monotonic);
                self.rebalanced_if_due(now.monotonic);
            }
            Response::Heartbeat(_)
            | Response::CreatedTopics(_)
            | Response::DeletedTopics(_)
            | Response::CreatedPartitions(_)
            | Response::AlteredConfigs(_)
            | Response::Unfenced
            | Response::Fenced
            | Response::Unregistered
            | Response::AlteredPartitions(_)
            | Response::ElectedLeaders(_)
            | Response::AlteredReassignments(_)
            | Response::Cordoned
            | Response::Rebalancing
            | Response::RestartsChecked(_)
            | Response::Drained
            | Response::ProducerIds(_) => {}
        }
    }

    /// What the cluster will be once all is committed.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The layers from which a topic inherits its configuration.
    fn broker_layers(&self) -> BrokerLayers<'_> {
        BrokerLayers {
            cluster: self.image.config(&ConfigResource::Cluster),
            fixed: &self.defaults.fixed,
            ..BrokerLayers::none()
        }
    }
}

impl Shard for Controller {
    type Command = Command;
    type Record = MetadataRecord;
    type Response = Response;
    type Rejection = Rejection;

    fn decide(&self, now: Now, command: Command) -> Result<Outcome, Rejection> {
        match command {
            Command::CreateTopics { topics, validate_only } => Ok(self.create_topics(topics, validate_only)),
            Command::DeleteTopics { topics } => Ok(self.delete_topics(&topics)),
            Command::CreatePartitions { topics, validate_only } => {
                Ok(self.create_partitions(topics, validate_only))
            }
            Command::AlterConfigs { changes, validate_only } => {
                Ok(self.alter_configs(changes, validate_only))
            }
            Command::RegisterBroker(registration) => self.register_broker(now, registration),
            Command::BrokerHeartbeat(heartbeat) => self.broker_heartbeat(heartbeat),
            Command::FenceBroker { broker, epoch } => self.fence_broker(broker, epoch),
            Command::UnregisterBroker { broker } => self.unregister_broker(broker),
            Command::Tick => Ok(self.tick(now)),
            Command::AlterPartition(request) => self.alter_partition(&request),
            Command::ElectLeaders { election, partitions } => Ok(self.elect_leaders(election, partitions)),
            Command::AlterReassignments { reassignments, allows_factor_change } => {
                Ok(self.alter_reassignments(reassignments, allows_factor_change))
            }
            Command::Cordon { brokers } => self.cordon(&brokers),
            Command::Rebalance { bytes_per_second } => Ok(self.begin_rebalance(bytes_per_second)),
            Command::CheckRestarts { brokers } => Ok(self.check_restarts(&brokers)),
            Command::Drain { broker, ttl_ms } => self.drain(now, broker, ttl_ms),
            Command::UnfenceBroker { broker, epoch } => self.unfence_broker(broker, epoch),
            Command::AllocateProducerIds { broker, epoch } => self.allocate_producer_ids(broker, epoch),
        }
    }

    fn apply(&mut self, record: &MetadataRecord) {
        self.image.apply(record);
        self.end_session(record);
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        self.next_tick()
    }
}

/// Goes through the parts of a command, each on what the parts before it led to.
fn each<T, R>(
    controller: &Controller,
    parts: impl IntoIterator<Item = T>,
    validate_only: bool,
    mut decide: impl FnMut(&Controller, T) -> Result<(Vec<MetadataRecord>, R), Failure>,
) -> (Vec<MetadataRecord>, Vec<Result<R, Failure>>) {
    let mut draft = controller.clone();
    let mut all = Vec::new();
    let results = parts
        .into_iter()
        .map(|part| {
            let (records, result) = decide(&draft, part)?;
            if !validate_only {
                records.iter().for_each(|record| draft.image.apply(record));
                all.extend(records);
            }
            Ok(result)
        })
        .collect();
    (all, results)
}

fn failure(code: ErrorCode, message: impl Into<String>) -> Failure {
    Failure { code, message: message.into() }
}

#[cfg(test)]
mod tests;
