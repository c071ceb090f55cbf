//! Group coordinators: one for each partition of `__consumer_offsets` that this node leads, and the way from a group's
//! name to the one that has it.

mod codec;
mod runtime;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use config::BrokerConfig;
use coordinator::group::{Command, GroupConfig, GroupCoordinator, Response};
use metadata::{Image, NewTopic, TopicImage};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use types::{BrokerId, ErrorCode, PartitionId, TopicId, TopicPartition};

use self::runtime::{Ask, SharedGroups};
use crate::node::Node;
use crate::seams::random_uuid;

/// The topic that holds groups and their offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Commands that wait for one coordinator; more are told to come back.
const COMMANDS_WAITING_MAX: usize = 1000;

/// The coordinators of this node.
#[derive(Debug)]
pub(crate) struct GroupCoordinators {
    config: GroupConfig,
    running: RwLock<BTreeMap<PartitionId, Running>>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Running {
    topic: TopicId,
    commands: mpsc::Sender<Ask>,
    groups: SharedGroups,
}

impl Running {
    /// Clients come back when the groups are loaded; a queue of them would only time out.
    fn ready(&self) -> Result<mpsc::Sender<Ask>, ErrorCode> {
        if self.commands.is_closed() {
            return Err(ErrorCode::NotCoordinator);
        }
        match self.groups.is_loaded() {
            true => Ok(self.commands.clone()),
            false => Err(ErrorCode::CoordinatorLoadInProgress),
        }
    }
}

impl GroupCoordinators {
    /// None yet.
    pub(crate) fn new(config: &BrokerConfig) -> GroupCoordinators {
        let millis = |value: i64| Duration::from_millis(u64::try_from(value).unwrap_or(0));
        let count = |value: i32| usize::try_from(value).unwrap_or(0);
        let config = GroupConfig {
            initial_rebalance_delay: millis(config.group_initial_rebalance_delay_ms.into()),
            session_timeout_min: millis(config.group_min_session_timeout_ms.into()),
            session_timeout_max: millis(config.group_max_session_timeout_ms.into()),
            size_max: count(config.group_max_size),
            offset_metadata_bytes_max: count(config.offset_metadata_max_bytes),
            offsets_retention: millis(i64::from(config.offsets_retention_minutes) * 60_000),
            offsets_retention_check_interval: millis(config.offsets_retention_check_interval_ms),
        };
        GroupCoordinators { config, running: RwLock::default(), tasks: TaskTracker::new() }
    }

    /// Partitions of a topic are open: those of the offsets topic get a coordinator.
    pub(crate) fn topic_opened(&self, node: &Arc<Node>, topic: &TopicImage) {
        if &*topic.name != OFFSETS_TOPIC {
            return;
        }
        let mine = Some(BrokerId(node.config.node_id));
        let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
        // Groups go with the leadership of their partition; whoever leads next reads them from the log.
        running.retain(|partition, _| {
            let index = usize::try_from(partition.0).unwrap_or(usize::MAX);
            topic.partitions.get(index).is_some_and(|image| image.leader == mine)
        });
        for (index, image) in (0..).zip(&topic.partitions) {
            let partition = PartitionId(index);
            if image.leader != mine || running.contains_key(&partition) {
                continue;
            }
            let Some(opened) = node.partitions.get(TopicPartition { topic: topic.id, partition }) else {
                continue;
            };
            let (commands, asked) = mpsc::channel(COMMANDS_WAITING_MAX);
            let groups = SharedGroups::new(GroupCoordinator::new(self.config));
            self.tasks.spawn(runtime::run(Arc::clone(node), opened, groups.clone(), asked));
            running.insert(partition, Running { topic: topic.id, commands, groups });
        }
    }

    /// A topic is gone: so is what groups have read of it.
    pub(crate) fn topic_deleted(&self, topic: &TopicImage) {
        if &*topic.name == OFFSETS_TOPIC {
            let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
            running.retain(|_, coordinator| coordinator.topic != topic.id);
            return;
        }
        for commands in self.all() {
            let topic = topic.name.to_string();
            self.tasks.spawn(async move {
                let (answer, _) = oneshot::channel();
                // A coordinator that is gone has no offsets to forget.
                commands.send(Ask { command: Command::ForgetTopic { topic }, answer }).await.ok();
            });
        }
    }

    /// Has a group's coordinator carry out a command.
    pub(crate) async fn ask(
        &self,
        node: &Node,
        group: &str,
        command: Command,
    ) -> Result<Response, ErrorCode> {
        let partition =
            partition_of(&node.metadata().image(), group).ok_or(ErrorCode::CoordinatorNotAvailable)?;
        let commands = self.read(|running| running.get(&partition).map(Running::ready));
        ask(&commands.unwrap_or(Err(ErrorCode::NotCoordinator))?, command).await
    }

    /// Has every coordinator carry out a command.
    pub(crate) async fn ask_all(&self, command: &Command) -> Result<Vec<Response>, ErrorCode> {
        let ready = self.read(|running| running.values().map(Running::ready).collect::<Vec<_>>());
        let mut answers = Vec::new();
        for commands in ready {
            answers.push(ask(&commands?, command.clone()).await?);
        }
        Ok(answers)
    }

    /// Looks at the groups of every coordinator, for metrics.
    pub(crate) fn for_each(&self, mut look: impl FnMut(&GroupCoordinator)) {
        let all: Vec<_> = self.read(|running| running.values().map(|one| one.groups.clone()).collect());
        for groups in all {
            look(&groups.lock());
        }
    }

    fn all(&self) -> Vec<mpsc::Sender<Ask>> {
        self.read(|running| running.values().map(|one| one.commands.clone()).collect())
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<PartitionId, Running>) -> T) -> T {
        look(&self.running.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The partition that holds a group: Java's `String.hashCode`, made positive as Kafka does.
pub(crate) fn partition_of(image: &Image, group: &str) -> Option<PartitionId> {
    let count = i32::try_from(image.topic_named(OFFSETS_TOPIC)?.partitions.len()).ok()?;
    let hash =
        group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (hash & i32::MAX).checked_rem(count).map(PartitionId)
}

/// The offsets topic as it is created when the first group asks for its coordinator.
pub(crate) fn offsets_topic(node: &Node) -> NewTopic {
    let config = &node.broker_config;
    let brokers = i16::try_from(node.metadata().image().brokers().len()).unwrap_or(i16::MAX);
    let set = |key: &str, value: String| (key.to_owned(), Some(value));
    NewTopic {
        name: OFFSETS_TOPIC.to_owned(),
        id: TopicId(random_uuid()),
        partitions: config.offsets_topic_num_partitions,
        // As many as there are: a broker that joins later raises it.
        replication_factor: config.offsets_topic_replication_factor.min(brokers.max(1)),
        assignments: Vec::new(),
        configs: vec![
            set("cleanup.policy", "compact".to_owned()),
            set("compression.type", "producer".to_owned()),
            set("segment.bytes", config.offsets_topic_segment_bytes.to_string()),
        ],
    }
}

async fn ask(commands: &mpsc::Sender<Ask>, command: Command) -> Result<Response, ErrorCode> {
    let (answer, answered) = oneshot::channel();
    commands.try_send(Ask { command, answer }).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => ErrorCode::CoordinatorLoadInProgress,
        mpsc::error::TrySendError::Closed(_) => ErrorCode::NotCoordinator,
    })?;
    answered.await.map_err(|_| ErrorCode::NotCoordinator)
}
