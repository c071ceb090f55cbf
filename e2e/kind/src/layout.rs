//! The kind cluster's shape: a control plane, three workers in a zone each, and an audit log of what operators write.

/// The workers. Each stands in a zone of its own name: `zone-1` has the first.
pub const WORKERS: usize = 3;
/// What tells zones apart.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// Where the API server writes down what the operators' accounts did, inside of the control plane's node.
pub(crate) const AUDIT_LOG: &str = "/var/log/kubernetes/audit.log";
const AUDIT_POLICY: &str = "/etc/kubernetes/policies/audit.yaml";

/// What kind calls the workers of a cluster.
pub(crate) fn workers(cluster: &str) -> Vec<String> {
    let number = |number: usize| if number == 1 { String::new() } else { number.to_string() };
    (1..=WORKERS).map(|worker| format!("{cluster}-worker{}", number(worker))).collect()
}

/// Which requests are written down: those of all accounts in a namespace that change something.
pub(crate) fn audit_policy(namespace: &str) -> String {
    format!(
        "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: ['system:serviceaccounts:{namespace}']
    verbs: [create, update, patch, delete, deletecollection]
  - level: None
"
    )
}

/// What `kind create cluster` is given.
pub(crate) fn kind_config(policy_file: &str) -> String {
    let worker = |number| format!("  - {{role: worker, labels: {{{ZONE}: zone-{number}}}}}\n");
    let workers: String = (1..=WORKERS).map(worker).collect();
    let (policies, logs) = (folder(AUDIT_POLICY), folder(AUDIT_LOG));
    // kubeadm has two forms of the same, and which one is used depends on kind's and Kubernetes' versions.
    let patch = |version: &str, arguments: &str| {
        format!(
            "  - |
    apiVersion: kubeadm.k8s.io/{version}
    kind: ClusterConfiguration
    apiServer:
      extraArgs: {arguments}
      extraVolumes:
        - {{name: audit-policy, hostPath: {policies}, mountPath: {policies}, readOnly: true, pathType: DirectoryOrCreate}}
        - {{name: audit-log, hostPath: {logs}, mountPath: {logs}, readOnly: false, pathType: DirectoryOrCreate}}
"
        )
    };
    let older = format!("{{audit-policy-file: {AUDIT_POLICY}, audit-log-path: {AUDIT_LOG}}}");
    let newer = format!(
        "[{{name: audit-policy-file, value: {AUDIT_POLICY}}}, {{name: audit-log-path, value: {AUDIT_LOG}}}]"
    );
    format!(
        "kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
  - role: control-plane
    extraMounts:
      - {{hostPath: {policy_file}, containerPath: {AUDIT_POLICY}, readOnly: true}}
{workers}kubeadmConfigPatches:
{}{}",
        patch("v1beta3", &older),
        patch("v1beta4", &newer)
    )
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(folder, _)| folder)
}
