//! The log directories of a node. The first holds the metadata too, and the node cannot do without it; any other may fail,
//! and takes only its own replicas offline.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use storage::DataDir;
use tokio::sync::watch;
use types::TopicPartition;

/// One directory of logs.
#[derive(Debug)]
pub(crate) struct LogDir {
    data_dir: Arc<DataDir>,
    is_failed: AtomicBool,
    /// How many replicas were opened in it and not deleted since.
    replicas: AtomicUsize,
    failures: Arc<watch::Sender<usize>>,
}

/// All of them, the one with the metadata first.
#[derive(Debug)]
pub(crate) struct LogDirs {
    all: Vec<Arc<LogDir>>,
    found: Mutex<Option<BTreeMap<TopicPartition, usize>>>,
    failures: Arc<watch::Sender<usize>>,
}

impl LogDirs {
    /// None of them has failed yet.
    pub(super) fn new(data_dirs: Vec<Arc<DataDir>>) -> LogDirs {
        assert!(!data_dirs.is_empty(), "a node has a directory");
        let failures = Arc::new(watch::Sender::new(0));
        let dir = |data_dir| {
            Arc::new(LogDir {
                data_dir,
                is_failed: AtomicBool::new(false),
                replicas: AtomicUsize::new(0),
                failures: Arc::clone(&failures),
            })
        };
        LogDirs { all: data_dirs.into_iter().map(dir).collect(), found: Mutex::default(), failures }
    }

    /// All, failed or not.
    pub(crate) fn all(&self) -> &[Arc<LogDir>] {
        &self.all
    }

    /// Those that can be used.
    pub(crate) fn online(&self) -> impl Iterator<Item = &Arc<LogDir>> {
        self.all.iter().filter(|dir| !dir.is_failed())
    }

    /// The one that the node cannot do without.
    pub(crate) fn first(&self) -> &Arc<LogDir> {
        &self.all[0]
    }

    /// How many have failed, as it changes.
    pub(crate) fn failures(&self) -> watch::Receiver<usize> {
        self.failures.subscribe()
    }

    /// Where a replica is; for a new one, the directory with the fewest (Kafka: `LogManager.nextLogDirs`).
    pub(super) fn choose(&self, id: TopicPartition) -> io::Result<Arc<LogDir>> {
        let chosen = match self.all.len() {
            1 => self.first(),
            _ => match self.found(id)? {
                // In another directory it would begin anew, empty, and count as what it was.
                Some(at) if self.all[at].is_failed() => {
                    return Err(io::Error::other("the directory that this replica is in has failed"));
                }
                Some(at) => &self.all[at],
                None => {
                    let fewest = self.online().min_by_key(|dir| dir.replicas.load(Ordering::Relaxed));
                    fewest.ok_or_else(|| io::Error::other("all log directories have failed"))?
                }
            },
        };
        chosen.replicas.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::clone(chosen))
    }

    /// A replica was opened: from now on the registry knows where it is.
    pub(super) fn opened(&self, id: TopicPartition) {
        if let Some(found) = &mut *self.found.lock().unwrap_or_else(PoisonError::into_inner) {
            found.remove(&id);
        }
    }

    /// In which directory a replica lay at the start, if it was not opened since. Looked for once, in all of them.
    fn found(&self, id: TopicPartition) -> io::Result<Option<usize>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = &*found {
            return Ok(found.get(&id).copied());
        }
        let mut all = BTreeMap::new();
        for (at, dir) in self.all.iter().enumerate().rev() {
            let logs = dir.data_dir.found_logs().inspect_err(|error| dir.look_at(error))?;
            all.extend(logs.into_iter().map(|log| (log.topic_partition, at)));
        }
        Ok(found.insert(all).get(&id).copied())
    }
}

impl LogDir {
    /// Its files.
    pub(crate) fn data_dir(&self) -> &Arc<DataDir> {
        &self.data_dir
    }

    /// Whether its disk failed: then nothing in it is online until the next start.
    pub(crate) fn is_failed(&self) -> bool {
        self.is_failed.load(Ordering::Acquire)
    }

    /// Looks at an error of the disk: one that says that it is broken takes all of its replicas offline.
    pub(crate) fn look_at(&self, error: &io::Error) {
        if storage::is_disk_failure(error) {
            self.fail();
        }
    }

    /// Says that the disk is not to be trusted any more.
    pub(super) fn fail(&self) {
        if !self.is_failed.swap(true, Ordering::AcqRel) {
            let dir = self.data_dir.path().display();
            tracing::error!(%dir, "the disk failed: the directory goes offline until the node is started again");
            self.failures.send_modify(|count| *count += 1);
        }
    }

    /// A replica in it was deleted, or not opened after all.
    pub(super) fn lost_replica(&self) {
        self.replicas.fetch_sub(1, Ordering::Relaxed);
    }
}
