//! A KafkaCluster as scenarios drive it and look at it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use resources::{KafkaCluster, KafkaClusterStatus};
use serde_json::{Value, json};

use crate::{Bed, IMAGE, Load, MINUTE, PodWatch, conditions, wait};

/// A KafkaCluster, by its name.
#[derive(Clone, Copy, Debug)]
pub struct Cluster<'a> {
    pub(crate) bed: &'a Bed,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

/// The resource.
impl Cluster<'_> {
    /// What the API server has of it.
    pub fn read(&self) -> Result<KafkaCluster> {
        self.bed.get_in(self.namespace, self.name)?.with_context(|| format!("KafkaCluster {}", self.name))
    }

    /// What the operator says of it.
    pub fn status(&self) -> Result<KafkaClusterStatus> {
        Ok(self.read()?.status.unwrap_or_default())
    }

    /// Its id in Kafka.
    pub fn id(&self) -> Result<String> {
        self.status()?.cluster_id.context("no cluster id")
    }

    /// The image that the spec asks for. Without one in it the StatefulSet's stays, whatever that is.
    pub fn image(&self) -> Result<String> {
        Ok(self.read()?.spec.image.unwrap_or_else(|| IMAGE.to_owned()))
    }

    /// Applies a merge patch.
    pub fn patch(&self, patch: Value) -> Result<()> {
        let patch = patch.to_string();
        self.kubectl(&["patch", "tkc", self.name, "--type=merge", "--patch", &patch]).map(drop)
    }

    /// Sets one of the brokers' configurations.
    pub fn configure(&self, key: &str, value: i64) -> Result<()> {
        self.patch(json!({ "spec": { "config": { key: value } } }))
    }

    /// Asks for another image.
    pub fn set_image(&self, image: &str) -> Result<()> {
        self.patch(json!({ "spec": { "image": image } }))
    }

    /// Asks for so many brokers.
    pub fn scale(&self, replicas: usize) -> Result<()> {
        let replicas = format!("--replicas={replicas}");
        self.kubectl(&["scale", &self.object(), &replicas]).map(drop)
    }

    /// Gives it an annotation, `key=value`, or takes one away, `key-`.
    pub fn annotate(&self, annotation: &str) -> Result<()> {
        self.kubectl(&["annotate", "--overwrite", &self.object(), annotation]).map(drop)
    }

    /// A condition as `Status Reason: message`. One of an older generation is none.
    pub fn condition(&self, name: &str) -> Result<String> {
        conditions::condition(self.bed, self.namespace, &self.object(), name)
    }

    /// Waits until a condition has all these words in it.
    pub fn says(&self, name: &str, words: &[&str], limit: Duration) -> Result<()> {
        conditions::says(self.bed, (self.namespace, &self.object()), name, words, limit)
    }

    /// Waits until this generation runs and nothing is on its way any more.
    pub fn settled(&self, limit: Duration) -> Result<()> {
        wait("Ready, and not Reconciling", limit, || {
            let (ready, reconciling) = (self.condition("Ready")?, self.condition("Reconciling")?);
            ensure!(ready.starts_with("True") && reconciling.starts_with("False"), "{ready}; {reconciling}");
            Ok(Some(()))
        })
    }

    /// Waits until a roll of three brokers has begun to restart Pods.
    pub fn is_rolling(&self) -> Result<()> {
        wait("the first restart", MINUTE * 2, || {
            Ok(self.status()?.rollout.filter(|rollout| rollout.pending.len() < 3).map(drop))
        })
    }

    /// Waits until the disruption budget lets so many Pods go.
    pub fn budget(&self, allowed: i32) -> Result<()> {
        wait("the budget", MINUTE, || {
            let allows = self.bed.field(&format!("pdb/{}", self.name), ".spec.maxUnavailable")?;
            Ok((allows == allowed.to_string()).then_some(()))
        })
    }

    fn object(&self) -> String {
        format!("tkc/{}", self.name)
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.bed.kubectl(&[&["--namespace", self.namespace], arguments].concat())
    }
}

/// Its Pods.
impl Cluster<'_> {
    /// A broker's Pod by name.
    pub fn pod_name(&self, id: i64) -> String {
        format!("{}-broker-{id}", self.name)
    }

    /// A broker's Pod.
    pub fn pod(&self, id: i64) -> Result<Pod> {
        let name = self.pod_name(id);
        self.bed.get_in(self.namespace, &name)?.with_context(|| format!("Pod {name}"))
    }

    /// Waits until a broker has another Pod than this one.
    pub fn another_pod(&self, id: i64, before: &Pod) -> Result<Pod> {
        wait("another Pod", MINUTE * 2, || Ok(Some(self.pod(id)?).filter(|pod| pod.uid() != before.uid())))
    }

    /// The brokers' Pods, and the identity of each.
    pub fn pods(&self) -> Result<BTreeMap<String, String>> {
        let labels = ["app.kubernetes.io/instance", "app.kubernetes.io/component"];
        self.bed.pods(&format!("{}={},{}=broker", labels[0], self.name, labels[1]))
    }

    /// The brokers' StatefulSet.
    pub fn stateful_set(&self) -> Result<StatefulSet> {
        let set = self.bed.get_in(self.namespace, &format!("{}-broker", self.name))?;
        set.context("no StatefulSet")
    }

    /// A broker's volume claim by name.
    pub fn claim_name(&self, id: i64) -> String {
        format!("data-{}", self.pod_name(id))
    }

    /// A broker's volume claim.
    pub fn claim(&self, id: i64) -> Result<PersistentVolumeClaim> {
        let name = self.claim_name(id);
        self.bed.get_in(self.namespace, &name)?.with_context(|| format!("volume claim {name}"))
    }

    /// Deletes a broker's Pod, and does not wait for it.
    pub fn delete_pod(&self, id: i64) -> Result<()> {
        self.kubectl(&["delete", "pod", &self.pod_name(id), "--wait=false"]).map(drop)
    }

    /// Gives a broker's Pod an annotation.
    pub fn annotate_pod(&self, id: i64, annotation: &str) -> Result<()> {
        self.kubectl(&["annotate", "--overwrite", "pod", &self.pod_name(id), annotation]).map(drop)
    }

    /// Kills a broker's process, as the kernel does when memory ends: nobody is told, and Kubernetes starts it again.
    pub fn kill(&self, id: i64) -> Result<()> {
        self.bed.kill(&self.pod_name(id))
    }

    /// The worker on which a broker's Pod is.
    pub fn node_of(&self, id: i64) -> Result<String> {
        self.bed.node_of(&self.pod_name(id))
    }

    /// Begins to watch its Pods.
    pub fn watch(&self) -> Result<PodWatch> {
        PodWatch::begin(self.bed, self.name)
    }
}

/// What its brokers know.
impl Cluster<'_> {
    /// What a broker says of itself and the cluster, `/v1/state`.
    pub fn state_of(&self, id: i64) -> Result<Value> {
        let (namespace, pod) = (self.namespace, self.pod_name(id));
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:9600/proxy/v1/state");
        Ok(serde_json::from_str(&self.bed.kubectl(&["get", "--raw", &path])?)?)
    }

    /// The cluster as the first broker knows it.
    pub fn state(&self) -> Result<Value> {
        Ok(self.state_of(0)?["cluster"].take())
    }

    /// The broker that is the active controller.
    pub fn controller(&self) -> Result<i64> {
        self.state()?["controller"].as_i64().context("no active controller")
    }

    /// How many replicas each broker has or is being given.
    pub fn replicas(&self) -> Result<BTreeMap<i64, i64>> {
        let state = self.state()?;
        let brokers = state["brokers"].as_array().context("no brokers")?;
        let pair = |one: &Value| Some((one["id"].as_i64()?, one["replicas"].as_i64()?));
        Ok(brokers.iter().filter_map(pair).collect())
    }

    /// Fails unless so many brokers have as many replicas as each other, but for one.
    pub fn is_balanced(&self, brokers: usize) -> Result<()> {
        let counts = self.replicas()?;
        let (most, fewest) = (counts.values().max(), counts.values().min());
        ensure!(
            counts.len() == brokers && most.copied() <= fewest.map(|fewest| fewest + 1),
            "replicas per broker: {counts:?}"
        );
        Ok(())
    }

    /// The directory with which a broker votes.
    pub fn voter(&self, id: i64) -> Result<String> {
        let quorum: Value = serde_json::from_str(&self.ask(&["quorum", "describe", "-o", "json"])?)?;
        let replicas = quorum["replicas"].as_array().context("no replicas")?;
        let votes = |replica: &&Value| replica["id"].as_i64() == Some(id) && replica["status"] != "Observer";
        let voter = replicas.iter().find(votes).with_context(|| format!("broker {id} does not vote"))?;
        voter["directoryId"].as_str().map(str::to_owned).context("no directory")
    }

    /// Waits until a broker votes with another directory.
    pub fn another_voter(&self, id: i64, before: &str) -> Result<()> {
        let is_another = || Ok((self.voter(id)? != before).then_some(()));
        wait("another voter", MINUTE * 3, is_another)
    }
}

/// Its clients.
impl Cluster<'_> {
    /// Where clients in the Kubernetes cluster begin.
    pub fn bootstrap(&self) -> String {
        format!("{}-bootstrap.{}.svc:9092", self.name, self.namespace)
    }

    /// What our command line says of it.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        self.taffrail(arguments, None)
    }

    fn taffrail(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let bootstrap = self.bootstrap();
        self.bed.taffrail(&[arguments, &["--bootstrap-server", &bootstrap]].concat(), input)
    }

    /// Sends lines, with the Service as the only address that is known.
    pub fn produce<L: AsRef<str>>(&self, topic: &str, lines: impl IntoIterator<Item = L>) -> Result<()> {
        let input: String = lines.into_iter().map(|line| format!("{}\n", line.as_ref())).collect();
        self.taffrail(&["produce", topic], Some(&input)).map(drop)
    }

    /// All records of a topic, sorted: between partitions there is no order.
    pub fn consume(&self, topic: &str) -> Result<Vec<String>> {
        let read = self.ask(&["consume", topic, "--from-beginning", "--exit"])?;
        let mut lines: Vec<_> = read.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    }

    /// Fails unless a topic has all these records.
    pub fn has_all(&self, topic: &str, sent: &BTreeSet<String>) -> Result<()> {
        let read: BTreeSet<_> = self.consume(topic)?.into_iter().collect();
        let lost: Vec<_> = sent.difference(&read).take(5).collect();
        ensure!(lost.is_empty(), "of {} records these are lost: {lost:?}", sent.len());
        Ok(())
    }

    /// Begins to send records with kcat, and returns once the first are there.
    pub fn load(&self, topic: &str) -> Result<Load> {
        let before = self.consume(topic)?.len();
        let load = self.bed.load(&self.bootstrap(), topic)?;
        wait("the first records", MINUTE, || Ok((self.consume(topic)?.len() > before).then_some(())))?;
        Ok(load)
    }

    /// The partitions of a topic, as `topics describe` has them.
    pub fn partitions(&self, topic: &str) -> Result<Vec<Value>> {
        let said: Value = serde_json::from_str(&self.ask(&["topics", "describe", topic, "-o", "json"])?)?;
        let topic = if said.is_array() { &said[0] } else { &said };
        topic["partitions"].as_array().cloned().with_context(|| format!("no partitions in {topic}"))
    }
}
