//! Scenarios of the operator itself: several of them, and one that has nothing to do. They share the cluster of three brokers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kind_e2e::{Bed, MINUTE, OPERATOR_NAMESPACE, wait};
use serde_json::Value;

use crate::brokers::{ROLL, trio};

const DEPLOYMENT: &str = "deployment/taffrail-operator";
const SELECTOR: &str = "--selector=app.kubernetes.io/name=taffrail-operator";
/// As long as a Lease is held by one that is no more, and the time to look at everything.
const TAKEOVER_MAX: Duration = Duration::from_secs(20);

pub(crate) fn leader_killed(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    operators(bed, 2)?;
    let leader = leader(bed)?;
    kubectl(bed, &["delete", "pod", &leader, "--grace-period=0", "--force"])?;
    let begun = Instant::now();
    trio.configure("log.retention.hours", 72)?;
    wait("the other operator", MINUTE, || {
        let cluster = trio.read()?;
        let seen = cluster.status.and_then(|status| status.observed_generation);
        Ok((seen == cluster.metadata.generation).then_some(()))
    })?;
    let after = begun.elapsed();
    ensure!(after < TAKEOVER_MAX, "acted on after {after:?}");
    ensure!(self::leader(bed)? != leader, "the one that was killed holds the Lease");
    println!("acted on after {:.1} s", after.as_secs_f64());
    trio.settled(ROLL)?;
    operators(bed, 1)
}

pub(crate) fn quiet(bed: &Bed) -> Result<()> {
    nothing_written(bed, MINUTE * 3)
}

/// Waits, and sees in the audit log that no operator wrote anything but its Lease.
pub(crate) fn nothing_written(bed: &Bed, long: Duration) -> Result<()> {
    // What is on its way comes to its end.
    wait("the operator to have nothing to do", MINUTE * 3, || {
        let before = Written::so_far(bed)?.others.len();
        std::thread::sleep(MINUTE / 3);
        Ok((Written::so_far(bed)?.others.len() == before).then_some(()))
    })?;
    let before = Written::so_far(bed)?;
    std::thread::sleep(long);
    let after = Written::so_far(bed)?;
    let written = &after.others[before.others.len()..];
    ensure!(written.is_empty(), "with nothing to do {} requests: {written:#?}", written.len());
    // A log that is empty proves nothing.
    let renewals = after.leases - before.leases;
    ensure!(renewals > 0, "the audit log does not even know of the Lease");
    println!("{} s: {renewals} renewals of the Lease, nothing else", long.as_secs());
    Ok(())
}

/// What operators have changed so far, as the API server's audit log has it.
#[derive(Debug)]
pub(crate) struct Written {
    /// Requests that concern the Lease.
    leases: usize,
    /// All the others, each as one line.
    pub(crate) others: Vec<String>,
}

impl Written {
    pub(crate) fn so_far(bed: &Bed) -> Result<Written> {
        let mut written = Written { leases: 0, others: Vec::new() };
        for line in bed.audit_log()?.lines() {
            let entry: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            let of = &entry["objectRef"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            match of["resource"].as_str() {
                Some("leases") => written.leases += 1,
                resource => written.others.push(format!(
                    "{} {} {} {}/{} {}",
                    text(&entry["requestReceivedTimestamp"]),
                    text(&entry["verb"]),
                    resource.unwrap_or_default(),
                    text(&of["namespace"]),
                    text(&of["name"]),
                    text(&of["subresource"]),
                )),
            }
        }
        Ok(written)
    }
}

/// Waits until so many operators are ready.
pub(crate) fn operators(bed: &Bed, replicas: usize) -> Result<()> {
    kubectl(bed, &["scale", DEPLOYMENT, &format!("--replicas={replicas}")])?;
    rolled_out(bed)?;
    if replicas == 0 {
        // One that is on its way out still works.
        kubectl(bed, &["wait", "--for=delete", "pod", SELECTOR, "--timeout=60s"])?;
    }
    Ok(())
}

/// Kills every operator, as nobody does who has the choice.
pub(crate) fn kill_operator(bed: &Bed) -> Result<()> {
    kubectl(bed, &["delete", "pod", SELECTOR, "--grace-period=0", "--force"]).map(drop)
}

/// Stops the operator as an update does, and waits for its end.
pub(crate) fn stop_operator(bed: &Bed) -> Result<()> {
    kubectl(bed, &["delete", "pod", SELECTOR]).map(drop)
}

/// Takes the operator off a worker on which nothing new may come.
pub(crate) fn move_off(bed: &Bed, node: &str) -> Result<()> {
    kubectl(bed, &["delete", "pods", SELECTOR, &format!("--field-selector=spec.nodeName={node}")])?;
    rolled_out(bed)
}

/// In bytes.
pub(crate) const MEMORY: &str = "process_resident_memory_bytes";

/// A number of the operator's metrics.
pub(crate) fn metric(bed: &Bed, name: &str) -> Result<f64> {
    let service = "services/taffrail-operator-metrics:metrics/proxy/metrics";
    let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/{service}");
    let metrics = bed.kubectl(&["get", "--raw", &path])?;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).with_context(|| name.to_owned())?;
    Ok(line.trim().parse()?)
}

fn rolled_out(bed: &Bed) -> Result<()> {
    kubectl(bed, &["rollout", "status", DEPLOYMENT, "--timeout=90s"]).map(drop)
}

fn kubectl(bed: &Bed, arguments: &[&str]) -> Result<String> {
    bed.kubectl(&[&["--namespace", OPERATOR_NAMESPACE], arguments].concat())
}

/// The operator that works.
fn leader(bed: &Bed) -> Result<String> {
    let lease: Option<Lease> = bed.get_in(OPERATOR_NAMESPACE, "taffrail-operator")?;
    let lease = lease.and_then(|lease| lease.spec).context("no Lease")?;
    lease.holder_identity.filter(|holder| !holder.is_empty()).context("nobody holds the Lease")
}
