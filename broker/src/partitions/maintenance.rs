//! What goes on beside requests: retention, checkpoints, deleted files, free space.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use types::Now;

use super::{Partition, Partitions};
use crate::node::Node;

/// How often a log that grew a lot is noticed, free space is looked at, and deleted files are removed.
const HOUSEKEEPING: Duration = Duration::from_millis(500);

/// How long a log's files stay open that is not written.
const IDLE: Duration = Duration::from_secs(60);

/// Runs until the node stops.
pub(crate) async fn run_maintenance(node: Arc<Node>) {
    let config = &node.broker_config;
    let mut housekeeping = ticker(HOUSEKEEPING);
    let mut retention = ticker(millis(config.log_retention_check_interval_ms));
    let mut checkpoint = ticker(millis(config.log_flush_offset_checkpoint_interval_ms.into()));
    let mut idle = ticker(IDLE);
    let mut disk_failure = node.partitions.log_dirs().failures();
    loop {
        tokio::select! {
            Ok(()) = disk_failure.changed() => fail_offline(&node).await,
            _ = housekeeping.tick() => housekeep(&node).await,
            _ = idle.tick() => on_all(&node, |partition, _| partition.close_idle_files()).await,
            _ = retention.tick() => retain(&node).await,
            _ = checkpoint.tick() => write_checkpoints(&node).await,
            () = node.stopping.cancelled() => return,
        }
    }
}

fn millis(value: i64) -> Duration {
    Duration::from_millis(u64::try_from(value).unwrap_or(1).max(1))
}

fn ticker(period: Duration) -> tokio::time::Interval {
    let mut ticker = interval(period);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}

/// Its heartbeats tell the controller, so that others lead instead.
async fn fail_offline(node: &Arc<Node>) {
    let (partitions, wall) = (Arc::clone(&node.partitions), node.wall);
    let work = move || {
        partitions.fail_offline(wall.now());
        if !partitions.is_disk_failed()
            && let Err(error) = crate::lifecycle::note_log_dirs(&partitions)
        {
            tracing::error!(%error, "cannot note that a directory failed");
        }
    };
    node.blocking.run(work).await;
}

async fn retain(node: &Arc<Node>) {
    let expiration = millis(node.broker_config.producer_id_expiration_ms.into());
    on_all(node, move |partition, now| partition.maintain(now, expiration)).await;
}

async fn housekeep(node: &Arc<Node>) {
    let mut has_moved = false;
    for partition in node.partitions.all() {
        partition.tick(node.wall.now());
        let due = partition.begin_due_checkpoint(node.wall.now());
        if let Some(checkpoint) = due {
            let (label, log_dir) = (partition.label(), Arc::clone(partition.log_dir()));
            node.blocking
                .run(move || {
                    if let Err(error) = checkpoint.run() {
                        log_dir.look_at(&error);
                        tracing::error!(partition = label, %error, "checkpoint failed");
                    }
                })
                .await;
            has_moved = true;
        }
    }
    let (partitions, now) = (Arc::clone(&node.partitions), node.wall.now());
    node.blocking
        .run(move || {
            for log_dir in partitions.log_dirs().online() {
                if let Err(error) = log_dir.data_dir().refresh_space() {
                    log_dir.look_at(&error);
                    tracing::warn!(%error, "cannot tell how much space is free");
                }
                log_dir.data_dir().purge(now.wall);
            }
        })
        .await;
    if has_moved {
        write_checkpoints(node).await;
    }
}

/// Writes the checkpoint files of the directory.
pub(super) async fn write_checkpoints(node: &Arc<Node>) {
    let partitions = Arc::clone(&node.partitions);
    node.blocking.run(move || checkpoint_files(&partitions)).await;
}

fn checkpoint_files(partitions: &Partitions) {
    let high_watermark = |reader: &storage::LogReader| {
        partitions.get(reader.id()).map(|partition| partition.bounds().high_watermark)
    };
    for log_dir in partitions.log_dirs().online() {
        if let Err(error) = log_dir.data_dir().checkpoint(&high_watermark) {
            log_dir.look_at(&error);
            tracing::error!(%error, "cannot write the checkpoint files");
        }
    }
}

async fn on_all(node: &Arc<Node>, work: impl Fn(&Arc<Partition>, Now) + Send + 'static) {
    let (partitions, wall) = (node.partitions.all(), node.wall);
    node.blocking.run(move || partitions.iter().for_each(|partition| work(partition, wall.now()))).await;
}
