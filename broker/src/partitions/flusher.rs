//! Group commit for `flush.messages`: several logs are synced at a time, each log once at a time. What is appended while
//! a log's fsync runs goes with its next one, so that the slower the disk, the more an fsync carries.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::Partition;
use crate::node::Node;

/// How many logs are synced at a time. The file system's journal takes what comes together in one commit; the other
/// threads of the pool stay free for readers.
const SYNCS_AT_A_TIME: usize = 4;

/// Runs until the node stops.
pub(crate) async fn run_flushes(node: Arc<Node>) {
    let mut waiting: VecDeque<Arc<Partition>> = VecDeque::new();
    let mut running = JoinSet::new();
    loop {
        while running.len() < SYNCS_AT_A_TIME
            && let Some(partition) = waiting.pop_front()
        {
            let (blocking, wall) = (node.blocking.clone(), node.wall);
            running.spawn(async move { blocking.run(move || partition.flush(wall.now())).await });
        }
        tokio::select! {
            requested = node.partitions.errands().flushes.take() => waiting.extend(requested),
            Some(done) = running.join_next(), if !running.is_empty() => {
                if let Err(error) = done
                    && let Ok(panic) = error.try_into_panic()
                {
                    std::panic::resume_unwind(panic);
                }
            }
            () = node.stopping.cancelled() => return,
        }
    }
}
