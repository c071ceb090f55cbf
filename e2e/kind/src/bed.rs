//! The kind cluster: made, loaded with the image, asked and driven, and deleted.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::NamespaceResourceScope;
use kube::api::Api;
use kube::{Client, Config, config::KubeConfigOptions, config::Kubeconfig};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::{Cluster, Load, layout};

mod images;

/// The image under test.
pub const IMAGE: &str = "taffrail:e2e";
/// Where the clusters of the scenarios are.
pub const NAMESPACE: &str = "kafka";
/// Where the operator is.
pub const OPERATOR_NAMESPACE: &str = "taffrail";
/// The kind cluster's name, unless `TAFFRAIL_E2E_CLUSTER` says another: two runs on one machine need two.
const NAME: &str = "taffrail-e2e";
const KCAT_IMAGE: &str = "kcat:e2e";

/// What is in a namespace and can be asked for.
pub trait Namespaced:
    kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned
{
}

impl<K> Namespaced for K where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned
{
}

/// A kind cluster that is deleted with this value.
#[derive(Debug)]
pub struct Bed {
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
    /// Client Pods so far: each has a name of its own.
    clients: AtomicU32,
}

impl Bed {
    /// Makes the cluster and loads the image into it. `TAFFRAIL_BIN` names the binary that the image gets.
    pub fn up() -> Result<Bed> {
        let binary = std::env::var("TAFFRAIL_BIN").context("TAFFRAIL_BIN names no binary: use make e2e")?;
        let folder = tempfile::tempdir()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let bed = Bed { folder, runtime, clients: AtomicU32::new(0) };

        bed.build_image(&binary)?;
        if is_kept() && bed.is_there()? {
            run(&mut bed.kind(&["export", "kubeconfig"]), None)?;
            bed.stand_in(NAMESPACE)?;
            bed.load_image(IMAGE)?;
            return Ok(bed);
        }
        // One that was left behind by a run that was killed.
        run(&mut bed.kind(&["delete", "cluster"]), None)?;
        let policy = bed.write("audit.yaml", &layout::audit_policy(OPERATOR_NAMESPACE))?;
        let layout = bed.write("kind.yaml", &layout::kind_config(&policy.display().to_string()))?;
        let mut create = bed.kind(&["create", "cluster", "--wait", "180s"]);
        create.arg("--config").arg(layout);
        if let Ok(image) = std::env::var("KIND_NODE_IMAGE") {
            create.args(["--image", &image]);
        }
        run(&mut create, None)?;
        bed.load_image(IMAGE)?;
        bed.build_kcat()?;
        bed.load_image(KCAT_IMAGE)?;
        bed.namespace(NAMESPACE)?;
        bed.stand_in(NAMESPACE)?;
        Ok(bed)
    }

    fn is_there(&self) -> Result<bool> {
        let clusters = run(Command::new("kind").args(["get", "clusters"]), None)?;
        Ok(clusters.lines().any(|cluster| cluster == name()))
    }

    /// Makes a namespace the one of every kubectl that names no other.
    fn stand_in(&self, namespace: &str) -> Result<()> {
        self.kubectl(&["config", "set-context", "--current", "--namespace", namespace]).map(drop)
    }

    /// Makes a namespace in which only Pods of the strictest kind are let in.
    pub fn namespace(&self, name: &str) -> Result<()> {
        self.kubectl(&["create", "namespace", name])?;
        self.kubectl(&["label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted"]).map(drop)
    }

    fn kind(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kind");
        command.args(arguments).args(["--name", &name()]).env("KUBECONFIG", self.kubeconfig());
        command
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Runs kubectl, in the scenarios' namespace unless it is told another, and gives its standard output; a failure has its
    /// standard error.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with(arguments, None)
    }

    /// Runs kubectl with a standard input.
    pub fn kubectl_with(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        run(Command::new("kubectl").args(arguments).env("KUBECONFIG", self.kubeconfig()), input)
    }

    /// Runs helm, in the operator's namespace.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        let mut helm = Command::new("helm");
        helm.args(["--namespace", OPERATOR_NAMESPACE]).args(arguments);
        run(helm.env("KUBECONFIG", self.kubeconfig()), None)
    }

    /// Types a line into a shell whose kubectl is at this cluster, in a namespace, and in the repository's root.
    pub fn shell(&self, namespace: &str, line: &str) -> Result<String> {
        self.stand_in(namespace)?;
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", line]).current_dir(repository());
        let output = run(shell.env("KUBECONFIG", self.kubeconfig()), None);
        self.stand_in(NAMESPACE)?;
        output
    }

    /// `kubectl apply` in the scenarios' namespace.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        self.apply_in(NAMESPACE, yaml)
    }

    /// `kubectl apply` in another namespace.
    pub fn apply_in(&self, namespace: &str, yaml: &str) -> Result<String> {
        self.kubectl_with(&["--namespace", namespace, "apply", "-f", "-"], Some(yaml))
    }

    /// Waits until what is named is Ready.
    pub fn ready(&self, what: &[&str], limit: Duration) -> Result<()> {
        let timeout = format!("--timeout={}s", limit.as_secs());
        self.kubectl(&[&["wait", "--for=condition=Ready", &timeout], what].concat()).map(drop)
    }

    /// Waits until an object, as `kind/name`, is no more.
    pub fn gone(&self, object: &str, limit: Duration) -> Result<()> {
        let timeout = format!("--timeout={}s", limit.as_secs());
        self.kubectl(&["wait", "--for=delete", object, &timeout]).map(drop)
    }

    /// What an object, as `kind/name`, has at a path, as JSONPath has it.
    pub fn field(&self, object: &str, path: &str) -> Result<String> {
        let value = self.kubectl(&["get", object, &format!("--output=jsonpath={{{path}}}")])?;
        ensure!(!value.is_empty(), "{object} has no {path}");
        Ok(value)
    }

    /// The Pods that a selector selects, and the identity of each.
    pub fn pods(&self, selector: &str) -> Result<BTreeMap<String, String>> {
        let selector = format!("--selector={selector}");
        let columns = "--output=custom-columns=NAME:.metadata.name,UID:.metadata.uid";
        let pods = self.kubectl(&["get", "pods", &selector, "--no-headers", columns])?;
        let pair = |line: &str| {
            let (name, uid) = line.split_once(' ')?;
            Some((name.to_owned(), uid.trim().to_owned()))
        };
        Ok(pods.lines().filter_map(pair).collect())
    }

    /// Runs our command line inside the cluster, in the operator's Pod: away from the brokers, as clients are.
    pub fn taffrail(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let mut whole = vec!["--namespace", OPERATOR_NAMESPACE, "exec"];
        if input.is_some() {
            whole.push("--stdin");
        }
        whole.extend(["deployment/taffrail-operator", "--", "taffrail"]);
        whole.extend(arguments);
        self.kubectl_with(&whole, input)
    }

    /// A name for a client's Pod that no other has, in this run or one before.
    fn client(&self, what: &str) -> String {
        let number = self.clients.fetch_add(1, Ordering::Relaxed);
        format!("{what}-{}-{number}", std::process::id())
    }

    /// Runs kcat in a Pod of its own, away from the cluster's namespace.
    pub fn kcat(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let (name, image) = (self.client("kcat"), format!("--image={KCAT_IMAGE}"));
        let run = ["--namespace", "default", "run", &name, &image, "--restart=Never", "--quiet"];
        if input.is_some() {
            let attached = ["--rm", "--attach", "--stdin", "--"];
            return self.kubectl_with(&[&run[..], &attached, arguments].concat(), input);
        }
        // Whoever attaches misses what was said before; the log has it all.
        self.kubectl(&[&run[..], &["--"], arguments].concat())?;
        let pod = format!("pod/{name}");
        let done =
            ["--namespace", "default", "wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"];
        let ended = self.kubectl(&[&done[..], &[&pod]].concat());
        let said = self.kubectl(&["--namespace", "default", "logs", &pod])?;
        self.kubectl(&["--namespace", "default", "delete", &pod, "--wait=false"])?;
        ended.with_context(|| format!("kcat {arguments:?} says {said}"))?;
        Ok(said)
    }

    /// Runs this machine's kcat, from outside the cluster.
    pub fn kcat_here(&self, arguments: &[&str]) -> Result<String> {
        run(Command::new("timeout").args(["20", "kcat"]).args(arguments), None)
    }

    /// A kubectl that runs beside the scenario.
    pub(crate) fn beside(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(arguments).env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// Begins to send records with kcat, from a Pod of its own.
    pub(crate) fn load(&self, bootstrap: &str, topic: &str) -> Result<Load> {
        let name = self.client("load");
        Load::begin(self, &name, &format!("--image={KCAT_IMAGE}"), bootstrap, topic)
    }

    /// A cluster of the scenarios' namespace.
    pub fn cluster<'a>(&'a self, name: &'a str) -> Cluster<'a> {
        self.cluster_in(NAMESPACE, name)
    }

    /// A cluster of another namespace.
    pub fn cluster_in<'a>(&'a self, namespace: &'a str, name: &'a str) -> Cluster<'a> {
        Cluster { bed: self, namespace, name }
    }

    /// An object of the scenarios' namespace.
    pub fn get<K: Namespaced>(&self, name: &str) -> Result<Option<K>> {
        self.get_in(NAMESPACE, name)
    }

    /// An object of another namespace.
    pub fn get_in<K: Namespaced>(&self, namespace: &str, name: &str) -> Result<Option<K>> {
        self.runtime.block_on(async {
            let kubeconfig = Kubeconfig::read_from(self.kubeconfig())?;
            let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            let api: Api<K> = Api::namespaced(Client::try_from(config)?, namespace);
            Ok(api.get_opt(name).await?)
        })
    }

    /// The worker on which a Pod is.
    pub(crate) fn node_of(&self, pod: &str) -> Result<String> {
        self.field(&format!("pod/{pod}"), ".spec.nodeName")
    }

    /// Stops or starts the machine that a worker is, with `docker stop` or `docker start`.
    pub fn machine(&self, verb: &str, node: &str) -> Result<()> {
        run(Command::new("docker").args([verb, node]), None).map(drop)
    }

    /// Takes a worker away for good. What is started under its name later is a new machine, that has no network for Pods yet:
    /// with the old one's, Pods that come early would keep the later ones out.
    pub fn lose(&self, node: &str) -> Result<()> {
        let network = ["exec", node, "sh", "-c", "rm -f /etc/cni/net.d/*"];
        run(Command::new("docker").args(network), None)?;
        self.machine("stop", node)?;
        self.kubectl(&["delete", "node", node]).map(drop)
    }

    /// Kills the process of a Pod, as the kernel does when memory ends: nobody is told, and Kubernetes starts it again.
    pub(crate) fn kill(&self, pod: &str) -> Result<()> {
        let (node, uid) = (self.node_of(pod)?, self.field(&format!("pod/{pod}"), ".metadata.uid")?);
        // The kubelet writes it with underscores into the names of control groups.
        let find = format!("grep -ls {} /proc/[0-9]*/cgroup", uid.replace('-', "_"));
        let kill = format!(
            "for group in $({find}); do p=${{group%/cgroup}}; \
             [ $(cat $p/comm) != taffrail ] || kill -9 ${{p#/proc/}}; done"
        );
        run(Command::new("docker").args(["exec", &node, "sh", "-c", &kill]), None).map(drop)
    }

    /// The API server's audit log so far: one request that changed something a line, as JSON, of operators only.
    pub fn audit_log(&self) -> Result<String> {
        let control_plane = format!("{}-control-plane", name());
        run(Command::new("docker").args(["exec", &control_plane, "cat", layout::AUDIT_LOG]), None)
    }

    /// The path of the chart.
    pub fn chart(&self) -> String {
        repository().join("charts/taffrail-operator").display().to_string()
    }

    /// Undoes what a scenario that failed may have left: workers that are stopped or take no Pods, and no operator. What comes
    /// after it has its own chance.
    pub fn mend(&self) {
        let operator =
            ["--namespace", OPERATOR_NAMESPACE, "scale", "deployment/taffrail-operator", "--replicas=1"];
        let workers = layout::workers(&name());
        let mended = workers
            .iter()
            .map(|worker| self.machine("start", worker))
            .chain(workers.iter().map(|worker| self.kubectl(&["uncordon", worker]).map(drop)));
        for error in mended.chain([self.kubectl(&operator).map(drop)]).filter_map(Result::err) {
            eprintln!("after a scenario that failed: {error:#}");
        }
    }

    /// Writes down what somebody needs to find out why a scenario failed, and says where.
    pub fn explain(&self, scenario: &str) -> PathBuf {
        let folder = target().join("e2e-failures").join(scenario.replace(' ', "-"));
        let all = "kafkaclusters,kafkatopics,statefulsets,services,configmaps,pods,persistentvolumeclaims,poddisruptionbudgets";
        let looks: [(&str, &[&str]); 5] = [
            ("resources.yaml", &["get", all, "--all-namespaces", "--output", "yaml"]),
            ("resources.txt", &["get", all, "--all-namespaces", "--output", "wide"]),
            ("events.txt", &["get", "events", "--all-namespaces", "--sort-by=.metadata.creationTimestamp"]),
            (
                "operator.log",
                &["logs", "--namespace", OPERATOR_NAMESPACE, "deployment/taffrail-operator", "--tail=-1"],
            ),
            ("brokers.log", &["logs", "--selector=app.kubernetes.io/name=taffrail", "--tail=-1", "--prefix"]),
        ];
        if let Err(error) = fs::create_dir_all(&folder) {
            eprintln!("{}: {error}", folder.display());
        }
        for (file, arguments) in looks {
            let text = self.kubectl(arguments).unwrap_or_else(|error| format!("{error:#}\n"));
            if let Err(error) = fs::write(folder.join(file), text) {
                eprintln!("{file}: {error}");
            }
        }
        folder
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if is_kept() {
            println!("the kind cluster {} stays", name());
            return;
        }
        if let Err(error) = run(&mut self.kind(&["delete", "cluster"]), None) {
            eprintln!("the kind cluster {} is left behind: {error:#}", name());
        }
    }
}

/// Whether `TAFFRAIL_E2E_KEEP` is set: the next run finds the cluster, and what the scenarios left in it.
fn is_kept() -> bool {
    std::env::var_os("TAFFRAIL_E2E_KEEP").is_some_and(|value| !value.is_empty())
}

fn name() -> String {
    std::env::var("TAFFRAIL_E2E_CLUSTER").unwrap_or_else(|_| NAME.to_owned())
}

fn run(command: &mut Command, input: Option<&str>) -> Result<String> {
    let name = format!("{command:?}");
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| format!("{program} is needed and cannot be run"))?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        // A program that fails early does not read it; its own message says why.
        if let Err(error) = stdin.write_all(text.as_bytes()) {
            ensure!(error.kind() == std::io::ErrorKind::BrokenPipe, "{program}: {error}");
        }
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{name}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}
