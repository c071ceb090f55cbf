//! The task behind one partition of `__consumer_offsets`: loads its groups from the log, hands commands to the pure
//! coordinator, writes what it asks for and answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use coordinator::group::{AppendId, Command, Effect, GroupCoordinator, GroupRecord, Response, WaiterId};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use record::{BatchBuilder, Batches, Compression};
use storage::ReadError;
use tokio::sync::{mpsc, oneshot};
use types::{ErrorCode, Offset, Timestamp};

use super::codec;
use crate::node::Node;
use crate::partitions::Partition;
use crate::sabotage::{Rule, is_broken};

/// What is read of the log at a time while groups are loaded.
const LOAD_BYTES: u32 = 1 << 20;

/// The groups of a partition, for the task and for those who count them.
#[derive(Clone, Debug)]
pub(super) struct SharedGroups {
    coordinator: Arc<Mutex<GroupCoordinator>>,
    is_loaded: Arc<AtomicBool>,
}

/// A command and who waits for its answer.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) command: Command,
    pub(super) answer: oneshot::Sender<Response>,
}

type Written = (AppendId, Result<(), ErrorCode>);

struct Runtime {
    node: Arc<Node>,
    partition: Arc<Partition>,
    groups: SharedGroups,
    waiters: BTreeMap<WaiterId, oneshot::Sender<Response>>,
    next_waiter: u64,
    /// Their results are taken in the order of the log, or of two commits of an offset the older could win.
    writing: FuturesOrdered<BoxFuture<'static, Written>>,
}

impl SharedGroups {
    pub(super) fn new(coordinator: GroupCoordinator) -> SharedGroups {
        let coordinator = Arc::new(Mutex::new(coordinator));
        SharedGroups { coordinator, is_loaded: Arc::default() }
    }

    /// Whether everything that the log has is known.
    pub(super) fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, GroupCoordinator> {
        self.coordinator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the groups of a partition until the node stops or nobody can ask any more.
pub(super) async fn run(
    node: Arc<Node>,
    partition: Arc<Partition>,
    groups: SharedGroups,
    mut asked: mpsc::Receiver<Ask>,
) {
    if !is_settled(&node, &partition).await {
        return;
    }
    let loading = (Arc::clone(&partition), groups.clone());
    let loaded = node.blocking.run(move || load(&loading.0, &loading.1)).await;
    if let Err(error) = loaded {
        // Groups that are only half known would make members of strangers: rather none.
        tracing::error!(partition = %partition.label(), %error, "cannot load groups");
        return;
    }
    groups.lock().loaded(node.wall.now());
    groups.is_loaded.store(true, Ordering::Release);
    let mut runtime = Runtime {
        node,
        partition,
        groups,
        waiters: BTreeMap::new(),
        next_waiter: 0,
        writing: FuturesOrdered::new(),
    };
    runtime.serve(&mut asked).await;
}

/// Waits until the high watermark has reached what was in the log when this node began to lead: the leader before may have
/// answered for all of it. False if that is not to be.
async fn is_settled(node: &Node, partition: &Partition) -> bool {
    let mut bounds = partition.watch();
    let end = bounds.borrow_and_update().log_end;
    let settled = bounds.wait_for(|bounds| bounds.high_watermark >= end || !partition.is_leading());
    tokio::select! {
        settled = settled => settled.is_ok() && partition.is_leading(),
        () = node.stopping.cancelled() => false,
    }
}

impl Runtime {
    async fn serve(&mut self, asked: &mut mpsc::Receiver<Ask>) {
        let stopping = self.node.stopping.clone();
        loop {
            let deadline =
                self.groups.lock().next_deadline().map(|deadline| self.node.wall.instant(deadline));
            let mut effects = Vec::new();
            tokio::select! {
                Some((id, result)) = self.writing.next() => self.written(id, result, &mut effects),
                ask = asked.recv() => match ask {
                    Some(ask) => self.handle(ask, &mut effects),
                    None => return self.resign(),
                },
                () = sleep_until(deadline) => self.groups.lock().tick(self.node.wall.now(), &mut effects),
                () = stopping.cancelled() => return self.resign(),
            }
            self.carry_out(effects);
        }
    }

    fn handle(&mut self, Ask { command, answer }: Ask, effects: &mut Vec<Effect>) {
        let waiter = WaiterId(self.next_waiter);
        self.next_waiter += 1;
        self.waiters.insert(waiter, answer);
        self.groups.lock().handle(self.node.wall.now(), command, waiter, effects);
    }

    fn written(&self, id: AppendId, result: Result<(), ErrorCode>, effects: &mut Vec<Effect>) {
        let now = self.node.wall.now();
        match result {
            Ok(()) => self.groups.lock().committed(now, id, effects),
            Err(error) => self.groups.lock().append_failed(now, id, error, effects),
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Complete { waiter, response } => {
                    if let Some(answer) = self.waiters.remove(&waiter) {
                        // Nobody listens any more when the client has hung up.
                        answer.send(response).ok();
                    }
                }
                Effect::Append { id, records } => self.append(id, &records),
            }
        }
    }

    /// The first poll, which appends, is made here, so that the log has the order of the effects.
    fn append(&mut self, id: AppendId, records: &[GroupRecord]) {
        let now = self.node.wall.now();
        let timeout = Duration::from_millis(
            u64::try_from(self.node.broker_config.offsets_commit_timeout_ms).unwrap_or(0),
        );
        let batch = match build(records, now.wall) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(error, "a group's record has no form");
                self.writing.push_back(Box::pin(async move { (id, Err(ErrorCode::UnknownServerError)) }));
                return;
            }
        };
        let ticket = self.partition.append_as_leader(now, batch, timeout);
        let (partition, node) = (Arc::clone(&self.partition), Arc::clone(&self.node));
        let deadline = tokio::time::Instant::now() + timeout;
        if is_broken(Rule::OffsetsWaitForReplicas) {
            return self.writing.push_back(Box::pin(async move { (id, Ok(())) }));
        }
        self.writing.push_back(Box::pin(async move {
            (id, ticket.wait(&partition, &node.wall, deadline).await.map(drop))
        }));
    }

    fn resign(&mut self) {
        let mut effects = Vec::new();
        self.groups.lock().resign(&mut effects);
        self.carry_out(effects);
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn build(records: &[GroupRecord], now: Timestamp) -> Result<Bytes, String> {
    let mut builder = BatchBuilder::new(Compression::None);
    for record in records {
        let (key, value) = codec::encode(record).map_err(|error| error.to_string())?;
        builder.push(now, Some(&key), value.as_deref(), &[]);
    }
    builder.build().map_err(|error| error.to_string())
}

/// Reads the whole log up to the high watermark. Blocks.
fn load(partition: &Partition, groups: &SharedGroups) -> Result<(), String> {
    let bounds = partition.bounds();
    let mut next = bounds.log_start;
    let mut count = 0u64;
    while next < bounds.high_watermark {
        let bytes = read(partition, next, bounds.high_watermark).map_err(|error| error.to_string())?;
        let before = next;
        for batch in Batches::new(bytes) {
            let batch = batch.map_err(|error| error.to_string())?;
            next = batch.header().summary().last_offset().plus(1);
            for record in batch.records().map_err(|error| error.to_string())? {
                let record = record.map_err(|error| error.to_string())?;
                if let Some(record) = codec::decode(&record).map_err(|error| error.to_string())? {
                    groups.lock().replay(&record);
                    count += 1;
                }
            }
        }
        if next == before {
            break;
        }
    }
    if count > 0 {
        tracing::info!(partition = %partition.label(), records = count, "loaded groups");
    }
    Ok(())
}

fn read(partition: &Partition, from: Offset, upto: Offset) -> Result<Bytes, ReadError> {
    Ok(partition.reader().read(from, upto, LOAD_BYTES, true)?.read_to_bytes()?)
}
