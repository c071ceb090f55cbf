//! The operator on a real Kubernetes cluster: each scenario is a sentence, they share one kind cluster and go in order.
//! `TAFFRAIL_E2E_SUBSET` runs fewer: `install` the first ones, `quick` those of a few minutes; `full` plays
//! what takes an hour.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test says what it does")]

mod book;
mod brokers;
mod chart;
mod cluster;
mod controllers;
mod full;
mod many;
mod monitoring;
mod operators;
mod outside;
mod refusals;
mod rolling;
mod scaling;
mod topics;
mod workers;
mod wrong;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use kind_e2e::Bed;
use libtest_mimic::{Arguments, Failed, Trial};

type Scenario = fn(&Bed) -> anyhow::Result<()>;

const INSTALL: [(&str, Scenario); 3] = [
    ("helm installs the operator, and a cluster in another namespace is ready", cluster::install),
    ("records go in and out through the bootstrap Service", topics::produce_and_consume),
    ("a Pod that was deleted comes back with its records", cluster::pod_deleted),
];
/// With the first ones the quick subset: under twelve minutes.
const QUICK: [(&str, Scenario); 11] = [
    ("the README's example runs, and its namespace is deleted with all in it", cluster::example),
    ("what somebody deleted is made again", cluster::children_deleted),
    ("a changed configuration restarts the Pod once", cluster::configuration_changed),
    ("a topic is altered, and fewer partitions are refused", topics::altered),
    ("of two resources with one topic the older has it", topics::two_resources),
    ("a deleted KafkaTopic takes its topic along unless it is retained", topics::deleted),
    ("helm test finds the operator well", chart::tested),
    ("three brokers found one cluster", brokers::install),
    (
        "a Prometheus scrapes operator and brokers, and answers every query of dashboards and alerts",
        monitoring::prometheus,
    ),
    (
        "a rolling update under a producer: no delivery error, one Pod down, the active controller last",
        rolling::under_load,
    ),
    ("three brokers become five: replica counts within one of each other", scaling::grown),
];
const REST: [(&str, Scenario); 41] = [
    ("five brokers become three: everything is moved off first, and their volumes stay", scaling::shrunk),
    ("fewer brokers than a topic has replicas are refused", scaling::shrinking_refused),
    ("three to five to three to five on retained disks, and a reversal on the way", scaling::reversed),
    ("a wiped disk gets its vote back", brokers::disk_wiped),
    (
        "an operator that is killed in mid-roll: the roll is finished and no Pod restarted twice",
        rolling::operator_killed,
    ),
    ("a pause, a manual approval, restarted-at and a Pod's restart", rolling::annotated),
    ("delete-pod-and-pvc replaces broker and voter", brokers::replaced),
    ("a topic's number of replicas goes down and up", scaling::replication_changed),
    (
        "another image under a producer: every Pod replaced, one down at a time",
        rolling::image_changed_under_load,
    ),
    ("a bad image hurts one Pod, and its correction repairs it", rolling::bad_image),
    ("a roll is refused at min.insync.replicas, and goes on when that is healed", rolling::refused),
    ("two namespaces name one topic; its owner is deleted and the other has it", topics::of_two_namespaces),
    ("a topic that was deleted behind our back is created again", topics::recreated),
    (
        "each of many wrong specs is refused with a message that names the field and what to write",
        refusals::refused,
    ),
    ("the Prometheus Operator's definitions take the chart's monitors and rules", monitoring::accepted),
    ("the book's commands for Kubernetes work as they are printed", book::commands),
    (
        "an impossible request is said with the scheduler's reason, and its correction repairs it",
        rolling::impossible_request,
    ),
    ("a broker that crashes again and again gets its correction", rolling::crash_looping),
    ("an image is taken back in mid-roll", rolling::image_taken_back),
    (
        "where every topic has as many replicas as min.insync.replicas nothing blocks a roll",
        rolling::nothing_to_spare,
    ),
    (
        "with the operator gone all Pods are deleted: the same cluster serves its records",
        brokers::operator_gone,
    ),
    (
        "a drained worker: the budget is honoured, every partition stays writable, a second drain waits",
        workers::drained,
    ),
    ("kubectl drain of every worker during a roll: one Pod is down at a time", workers::drained_in_mid_roll),
    (
        "a worker is stopped: the cluster serves, nothing is deleted by force, a roll waits for its return",
        workers::stopped,
    ),
    (
        "a worker is gone for good: delete-pod-and-pvc replaces broker and voter on another",
        workers::gone_for_good,
    ),
    ("the replicas of every partition are spread over the zones", workers::spread_over_zones),
    (
        "of two operators the one that works is killed: the other acts on an edit in under 20 s",
        operators::leader_killed,
    ),
    (
        "three quiet minutes: nothing is written but the Lease, by the API server's audit log",
        operators::quiet,
    ),
    ("a namespace is deleted and made again on volumes that were retained", outside::namespace_recreated),
    ("an operator that is killed before it founds a cluster founds one all the same", brokers::founded_once),
    (
        "three brokers and three controllers of their own: records go in and out, each broker in its rack",
        controllers::install,
    ),
    ("three controllers become five and three again, by change of membership", controllers::scaled),
    ("controllers of their own roll before brokers, the active one last", controllers::rolled),
    ("NodePorts lead to brokers from outside, and balancers once they have an address", outside::listeners),
    ("wrong listeners are refused", outside::wrong_listeners),
    ("a volume grows under its broker, and the StatefulSet is made again around it", outside::volume_grown),
    ("a volume that somebody enlarged stays as large", outside::volume_larger),
    ("an operator with nothing to do writes nothing", cluster::idle),
    ("an operator that is uninstalled and installed under another name restarts no Pod", chart::reinstalled),
    ("without any ClusterRole: install, produce, roll under load, alter topics", chart::namespaced),
    ("a deleted cluster leaves its volume, and finds it again", cluster::deleted),
];

/// What is promised at its full size, on a cluster of its own.
const FULL: [(&str, Scenario); 6] = [
    (
        "1 GiB, three brokers to five and back: replica counts within one in two minutes, no delivery error",
        full::scaled,
    ),
    ("another image: one Pod down at a time, no delivery error, no gap of 500 ms", full::image_changed),
    ("without an operator a leader dies: writes go on in under a second", full::leader_fails_alone),
    (
        "the operator killed at twenty random moments of rolls and scalings: the end is right each time",
        full::operator_killed_often,
    ),
    (
        "ten quiet minutes of three clusters and 200 topics: nothing is written, 40 MB, 1 % of a core",
        full::idle,
    ),
    (
        "2,000 topics: an operator that begins has looked at all of them within a minute, and writes nothing",
        many::restarted,
    ),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One cluster, one order.
    arguments.test_threads = Some(1);
    let subset = std::env::var("TAFFRAIL_E2E_SUBSET").unwrap_or_default();
    let mut scenarios: Vec<_> = match subset.as_str() {
        "" => INSTALL.iter().chain(&QUICK).chain(&REST).collect(),
        "full" => INSTALL.iter().take(1).chain(&FULL).collect(),
        "quick" => {
            println!("TAFFRAIL_E2E_SUBSET=quick: {} scenarios are left out", REST.len());
            INSTALL.iter().chain(&QUICK).collect()
        }
        "install" => {
            println!("TAFFRAIL_E2E_SUBSET=install: {} scenarios are left out", QUICK.len() + REST.len());
            INSTALL.iter().collect()
        }
        other => {
            eprintln!("TAFFRAIL_E2E_SUBSET={other:?}: write install, quick or full, or leave it out");
            return ExitCode::FAILURE;
        }
    };
    // libtest knows one part of a name; several, divided by |, choose what has to go before, too.
    let chosen = arguments.filter.take().unwrap_or_default();
    scenarios.retain(|(name, _)| chosen.split('|').any(|part| name.contains(part)));
    if arguments.list {
        let trials = scenarios.into_iter().map(|(name, _)| Trial::test(*name, || Ok(()))).collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let bed = match Bed::up() {
        Ok(bed) => Arc::new(Mutex::new(bed)),
        Err(error) => {
            eprintln!("no kind cluster: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let trials = scenarios.into_iter().map(|(name, scenario)| {
        let bed = Arc::clone(&bed);
        Trial::test(*name, move || play(&bed, name, *scenario))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn play(bed: &Mutex<Bed>, name: &str, scenario: Scenario) -> Result<(), Failed> {
    let bed = bed.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = Instant::now();
    let result = scenario(&bed);
    print!("{:.0} s, ", begun.elapsed().as_secs_f64());
    result.map_err(|error| {
        let folder = bed.explain(name);
        bed.mend();
        Failed::from(format!("{error:#}\n\nwhat there was: {}", folder.display()))
    })
}
