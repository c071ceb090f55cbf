//! The longest time without an acknowledged write around a fault: one small record every 5 ms, acks=all, idempotent,
//! sent at once, with librdkafka told to come back quickly.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::ClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use crate::librdkafka;

const PACE: Duration = Duration::from_millis(5);
/// The fault comes when the producer has found its pace.
const FAULT_AT: Duration = Duration::from_secs(3);
/// The run ends when the fault is so long ago and writes have been acknowledged again for as long.
const AFTERWARDS: Duration = Duration::from_secs(4);
const RUN_MAX: Duration = Duration::from_secs(60);
/// Within this the last acknowledgement is a recent one.
const RECENT: Duration = Duration::from_millis(200);
const CONFIG: [(&str, &str); 9] = [
    ("acks", "all"),
    ("linger.ms", "0"),
    ("enable.idempotence", "true"),
    ("message.timeout.ms", "60000"),
    ("retry.backoff.ms", "20"),
    ("retry.backoff.max.ms", "100"),
    ("reconnect.backoff.ms", "20"),
    ("reconnect.backoff.max.ms", "200"),
    ("socket.timeout.ms", "1000"),
];

/// What came of it.
#[derive(Debug)]
pub(crate) struct Gap {
    pub(crate) longest: Duration,
    pub(crate) failures: usize,
    pub(crate) sent: usize,
}

/// Produces to a topic of one partition, does `fault` in the middle of it, and goes on until the topic has recovered.
pub(crate) fn measure(bootstrap: &str, topic: &str, fault: impl FnOnce() -> Result<()>) -> Result<Gap> {
    let mut config = librdkafka::config(bootstrap);
    for (key, value) in CONFIG {
        config.set(key, value);
    }
    let producer: BaseProducer<Deliveries> = config.create_with_context(Deliveries::default())?;
    let begun = Instant::now();
    let mut fault = Some(fault);
    let mut sent = 0;
    while !is_over(begun, producer.context()) {
        if begun.elapsed() > FAULT_AT
            && let Some(fault) = fault.take()
        {
            fault()?;
        }
        let payload = format!("{sent:020}");
        producer.send(BaseRecord::<(), str>::to(topic).payload(&payload)).map_err(|(error, _)| error)?;
        sent += 1;
        producer.poll(Duration::ZERO);
        std::thread::sleep(PACE);
    }
    producer.flush(RUN_MAX).context("flush")?;
    let seen = producer.context().seen();
    let (acked, failures) = (&seen.acked, seen.failures);
    if acked.len() + failures != sent {
        bail!("{sent} records were sent, {} acknowledged and {failures} failed", acked.len());
    }
    let longest = acked.windows(2).map(|pair| pair[1] - pair[0]).max().context("nothing was acknowledged")?;
    Ok(Gap { longest, failures, sent })
}

/// Whether acknowledgements have come without a break for a while since the fault, or never will.
fn is_over(begun: Instant, deliveries: &Deliveries) -> bool {
    let now = Instant::now();
    if now - begun < FAULT_AT + AFTERWARDS {
        return false;
    }
    now - begun > RUN_MAX || now - steady_since(&deliveries.seen().acked, now) > AFTERWARDS
}

/// Since when no acknowledgement has come later than [`RECENT`] after the one before.
fn steady_since(acked: &[Instant], now: Instant) -> Instant {
    let mut since = now;
    for at in acked.iter().rev() {
        if since - *at >= RECENT {
            break;
        }
        since = *at;
    }
    since
}

/// What came back. Filled from `poll`, in the producer's own thread.
#[derive(Default)]
struct Deliveries(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    acked: Vec<Instant>,
    failures: usize,
}

impl Deliveries {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut seen = self.seen();
        match result {
            Ok(_) => seen.acked.push(Instant::now()),
            Err(_) => seen.failures += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::steady_since;

    #[test]
    fn a_gap_ends_what_is_steady() {
        let begun = Instant::now();
        let at = |ms: &u64| begun + Duration::from_millis(*ms);
        let acked: Vec<_> = [0, 100, 900, 1_000, 1_100].iter().map(at).collect();
        assert_eq!(steady_since(&acked, at(&1_200)), at(&900));
        assert_eq!(steady_since(&acked, at(&1_400)), at(&1_400), "the last one is too long ago");
    }
}
