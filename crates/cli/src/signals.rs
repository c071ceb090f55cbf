//! The two signals that ask a process to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn stop() {
    let mut interrupt = signal(SignalKind::interrupt()).ok();
    let mut terminate = signal(SignalKind::terminate()).ok();
    tokio::select! {
        Some(_) = async { interrupt.as_mut()?.recv().await } => {}
        Some(_) = async { terminate.as_mut()?.recv().await } => {}
        // Without handlers the default action ends the process.
        else => std::future::pending().await,
    }
}
