//! All partitions of this node, by identity, and by name for clients that do not know ids yet.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use config::TopicConfig;
use metadata::{Image, PartitionImage};
use replication::ReplicaLog;
use storage::{DataDir, FoundLog, Log, LogConfig, OpenLogError, Recovered, Shutdown};
use types::{ErrorCode, Now, PartitionId, Timestamp, TopicId, TopicPartition};

use super::partition::producers;
use super::{Assignment, CleanerState, Errands, LogDirs, Partition, ReplicaSettings, log_config};
use crate::sabotage::{Rule, is_broken};

/// How a client names a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TopicRef<'a> {
    /// By identity.
    Id(TopicId),
    /// By name: whatever topic has it now.
    Name(&'a str),
}

/// A replica that this node is to have.
#[derive(Clone, Debug)]
pub(crate) struct OpenPartition {
    /// The topic's name.
    pub(crate) topic_name: Arc<str>,
    /// The partition's identity.
    pub(crate) id: TopicPartition,
    /// Who leads it, and who else has it.
    pub(crate) assignment: Assignment,
    /// The topic's configuration.
    pub(crate) config: Arc<TopicConfig>,
}

/// The partitions of which this node has a replica.
#[derive(Debug)]
pub(crate) struct Partitions {
    log_dirs: LogDirs,
    errands: Arc<Errands>,
    cleaner: CleanerState,
    index: RwLock<Index>,
}

#[derive(Debug, Default)]
struct Index {
    by_id: BTreeMap<TopicPartition, Arc<Partition>>,
    ids: BTreeMap<Arc<str>, TopicId>,
}

impl Partitions {
    /// None yet. The first directory is the one with the metadata.
    pub(crate) fn new(data_dirs: Vec<Arc<DataDir>>, settings: ReplicaSettings) -> Partitions {
        Partitions {
            log_dirs: LogDirs::new(data_dirs),
            errands: Arc::new(Errands::new(settings)),
            cleaner: CleanerState::default(),
            index: RwLock::default(),
        }
    }

    /// Where the metadata lie, and logs too.
    pub(crate) fn data_dir(&self) -> &Arc<DataDir> {
        self.log_dirs.first().data_dir()
    }

    /// Where the logs lie.
    pub(crate) fn log_dirs(&self) -> &LogDirs {
        &self.log_dirs
    }

    /// What the replicas ask of background work.
    pub(crate) fn errands(&self) -> &Arc<Errands> {
        &self.errands
    }

    /// What the cleaner says of itself.
    pub(crate) fn cleaner(&self) -> &CleanerState {
        &self.cleaner
    }

    /// Whether the disk with the metadata failed: then the node can do nothing until the next start.
    pub(crate) fn is_disk_failed(&self) -> bool {
        self.log_dirs.first().is_failed()
    }

    /// Takes every replica offline whose disk failed; all of them, if it is the one with the metadata.
    pub(crate) fn fail_offline(&self, now: Now) {
        let is_all = self.is_disk_failed();
        let all = self.all();
        all.iter().filter(|one| is_all || one.log_dir().is_failed()).for_each(|one| one.fail(now));
    }

    /// Replicas whose disk failed, or whose log alone, and that the image still counts on: the controller is to know.
    pub(crate) fn offline_in(&self, image: &Image) -> Vec<TopicPartition> {
        let has_failed_log = self.errands.has_failed_log.load(Ordering::Relaxed);
        if *self.log_dirs.failures().borrow() == 0 && !has_failed_log {
            return Vec::new();
        }
        let me = self.errands.settings.me;
        let counts = |state: &PartitionImage| {
            state.leader == Some(me) || (state.isr.contains(&me) && state.isr.len() > 1)
        };
        let is_offline = |one: &Arc<Partition>| one.log_dir().is_failed() || !one.is_online();
        let all = self.all().into_iter().filter(is_offline);
        all.map(|partition| partition.id()).filter(|id| image.partition(*id).is_some_and(counts)).collect()
    }

    /// The partition of this identity.
    pub(crate) fn get(&self, id: TopicPartition) -> Option<Arc<Partition>> {
        self.read(|index| index.by_id.get(&id).cloned())
    }

    /// The partition that a client means.
    pub(crate) fn find(
        &self,
        topic: TopicRef<'_>,
        partition: PartitionId,
    ) -> Result<Arc<Partition>, ErrorCode> {
        self.read(|index| {
            let topic = match topic {
                TopicRef::Id(id) => id,
                TopicRef::Name(name) => *index.ids.get(name).ok_or(ErrorCode::UnknownTopicOrPartition)?,
            };
            let found = index.by_id.get(&TopicPartition { topic, partition });
            found.cloned().ok_or_else(|| match index.ids.values().any(|id| *id == topic) {
                true => ErrorCode::UnknownTopicOrPartition,
                false => ErrorCode::UnknownTopicId,
            })
        })
    }

    /// All partitions, by identity.
    pub(crate) fn all(&self) -> Vec<Arc<Partition>> {
        self.read(|index| index.by_id.values().cloned().collect())
    }

    /// Opens a partition's log and leads or follows. Blocks: recovery may have to read.
    pub(crate) fn open(&self, now: Now, open: OpenPartition) -> Result<Arc<Partition>, OpenLogError> {
        let OpenPartition { topic_name, id, assignment, config } = open;
        let log_config = log_config(&topic_name, &config);
        let dir = self.log_dirs.choose(id)?;
        let opened = self.open_log(dir.data_dir(), &topic_name, id, log_config, now.wall);
        let (mut log, recovered) = opened.inspect_err(|error| {
            dir.lost_replica();
            if let OpenLogError::Io(error) = error {
                dir.look_at(error);
            }
        })?;
        if is_broken(Rule::CutsWhereLogsDiverge) {
            log.truncate_to(recovered.high_watermark, now.wall).ok();
        }
        self.log_dirs.opened(id);
        // After a clean stop the few bytes behind the last index entry are read too, and nobody need know.
        let was_clean = matches!(dir.data_dir().previous_shutdown(), Shutdown::Clean { .. });
        if recovered.truncated_bytes > 0 || (recovered.scanned_bytes > 0 && !was_clean) {
            tracing::info!(
                partition = %format_args!("{topic_name}-{}", id.partition),
                scanned_bytes = recovered.scanned_bytes,
                truncated_bytes = recovered.truncated_bytes,
                "recovered a log"
            );
        }
        let (reader, high_watermark) = (log.reader(), recovered.high_watermark);
        let epochs = log.epochs().clone();
        let (start, end) = (reader.log_start(), reader.log_end());
        let known = ReplicaLog::recovered(start, end, high_watermark, epochs, producers(&recovered));
        let errands = Arc::clone(&self.errands);
        let partition = Arc::new(Partition::new(topic_name.clone(), id, dir, log, known, config, errands));
        partition.apply(now, assignment);
        self.write(|index| {
            index.ids.insert(topic_name, id.topic);
            index.by_id.insert(id, Arc::clone(&partition));
        });
        // Whoever was woken when it took its role may have looked before it was here.
        self.errands.stir();
        Ok(partition)
    }

    /// Opens a log. One of the same name that is another topic's is set aside: the image, which is newer than the disk, has
    /// this topic under the name, so that the other was deleted when this node did not run, or could not delete it.
    fn open_log(
        &self,
        dir: &DataDir,
        topic: &str,
        id: TopicPartition,
        config: LogConfig,
        now: Timestamp,
    ) -> Result<(Log, Recovered), OpenLogError> {
        let other = match dir.create_or_open_log(topic, id, config.clone(), now) {
            Err(OpenLogError::OtherTopic { found, .. }) => TopicPartition { topic: found, ..id },
            opened => return opened,
        };
        if self.get(other).is_some() {
            return Err(io::Error::other("the topic that had this name is still open here").into());
        }
        let path = dir.mark_stray(&FoundLog { name: topic.to_owned(), topic_partition: other })?;
        tracing::warn!(path = %path.display(), "set the log of a deleted topic aside");
        dir.create_or_open_log(topic, id, config, now)
    }

    /// Gives up a replica that the cluster no longer knows or no longer wants here, and deletes its log.
    pub(crate) fn delete(&self, now: Now, id: TopicPartition) -> io::Result<()> {
        let Some(partition) = self.remove(id) else { return Ok(()) };
        match partition.take_log(now) {
            Some(log) => {
                partition.log_dir().lost_replica();
                partition.log_dir().data_dir().delete_log(log, now.wall)
            }
            None => Ok(()),
        }
    }

    /// Logs in the directories that no partition is open for.
    pub(crate) fn unclaimed(&self) -> io::Result<Vec<(Arc<DataDir>, FoundLog)>> {
        let mut unclaimed = Vec::new();
        for dir in self.log_dirs.online().map(|dir| dir.data_dir()) {
            let found = dir.found_logs()?.into_iter();
            let found = found.filter(|log| self.get(log.topic_partition).is_none());
            unclaimed.extend(found.map(|log| (Arc::clone(dir), log)));
        }
        Ok(unclaimed)
    }

    /// Gives up all roles and closes the logs. Blocks.
    pub(crate) fn close_all(&self, now: Now) {
        for partition in self.all() {
            partition.close(now);
        }
    }

    fn remove(&self, id: TopicPartition) -> Option<Arc<Partition>> {
        self.write(|index| {
            let removed = index.by_id.remove(&id)?;
            let is_last =
                index.by_id.range(first_of(id.topic)..).next().is_none_or(|(next, _)| next.topic != id.topic);
            if is_last {
                index.ids.retain(|_, topic| *topic != id.topic);
            }
            Some(removed)
        })
    }

    fn read<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner))
    }
}

fn first_of(topic: TopicId) -> TopicPartition {
    TopicPartition { topic, partition: PartitionId(0) }
}
