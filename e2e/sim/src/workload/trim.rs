//! Somebody who deletes records: ever more of the beginning of one partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::admin::TopicPartitionName;
use client::{Admin, Client};
use tokio::time::sleep;

use crate::history::{History, TRIMMED};
use chance::Random;

/// Deletes until it is told to stop.
pub async fn trim(client: Client, mut random: Random, history: History, stop: Arc<AtomicBool>) {
    let admin = Admin::new(client);
    let name = TopicPartitionName::new(TRIMMED, 0);
    while !stop.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(random.between(500, 3_000))).await;
        let Some(offset) = history.lock().trim_to(&mut random) else { continue };
        match admin.delete_records(&name, offset).await {
            Ok(low_watermark) => {
                tracing::info!(offset, low_watermark, "records were deleted");
                history.lock().trimmed(low_watermark);
            }
            Err(error) => tracing::debug!(%error, offset, "deleting records"),
        }
    }
}
