//! A node's admin endpoint as whoever founds clusters sees it: who it is, whether it is well, and the founding. As much of
//! HTTP/1.1 as its small answers need: one request a connection, with a time limit.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// What `/v1/state` says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeState {
    /// The node's id.
    pub node_id: i32,
    /// The identity of its data directory.
    pub directory_id: String,
    /// The cluster that it belongs to; `None` before it is founded.
    #[serde(default)]
    pub cluster_id: Option<String>,
    /// `unformatted` before the cluster is founded, then `starting`, then `ready`.
    pub status: String,
    /// The version that it runs.
    pub version: String,
    /// What it knows of its cluster.
    #[serde(default)]
    pub cluster: Option<ClusterState>,
}

impl NodeState {
    /// Whether it says that it serves clients.
    pub fn serves(&self) -> bool {
        self.status == "ready"
    }

    /// Whether it says that it is the active controller.
    pub fn is_controller(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.controller == Some(self.node_id))
    }
}

/// The active controller's node, or else the first that knows of a cluster.
pub fn leader<'a>(answers: impl Iterator<Item = &'a NodeState> + Clone) -> Option<&'a NodeState> {
    let members = || answers.clone().filter(|node| node.cluster.is_some());
    members().find(|node| node.is_controller()).or_else(|| members().next())
}

/// The cluster as the active controller's node knows it, or else the first that knows of one.
pub fn cluster<'a>(answers: impl Iterator<Item = &'a NodeState> + Clone) -> Option<&'a ClusterState> {
    leader(answers)?.cluster.as_ref()
}

/// A cluster as one of its nodes knows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterState {
    /// The node of the active controller, if there is one.
    #[serde(default)]
    pub controller: Option<i32>,
    /// The brokers that are registered.
    pub brokers: Vec<BrokerState>,
    /// How many partitions can be used; not every version of a node says it.
    #[serde(default)]
    pub partitions: Option<PartitionsState>,
    /// The topic that needs the most brokers; not every version of a node says it.
    #[serde(default)]
    pub widest_topic: Option<WidestTopic>,
    /// Partitions that are being given other replicas.
    pub reassigning: usize,
    /// Whether replicas are being spread.
    pub rebalance: RebalanceState,
    /// The broker that was granted a restart.
    #[serde(default)]
    pub drain: Option<DrainState>,
}

/// The grant of a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainState {
    /// The broker.
    pub node: i32,
    /// When it lapses, in milliseconds since 1970.
    pub until_ms: i64,
}

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerState {
    /// Its id.
    pub id: i32,
    /// Whether the controller has taken it out of service.
    pub is_fenced: bool,
    /// Whether it gets no new replica and no leadership.
    pub is_cordoned: bool,
    /// Replicas that it holds or is being given.
    pub replicas: usize,
    /// Replicas that it still has, on their way to others.
    pub leaving: usize,
    /// Partitions that it leads.
    pub leaders: usize,
}

impl BrokerState {
    /// Whether nothing is on it any more, so that it can go.
    pub fn is_empty(&self) -> bool {
        self.replicas == 0 && self.leaving == 0
    }
}

/// How many partitions clients can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionsState {
    /// All that there are.
    pub total: usize,
    /// Those without a leader.
    pub offline: usize,
    /// Those that refuse writes with acks=all for want of replicas in sync.
    pub under_min_isr: usize,
}

/// A topic, and how many brokers it needs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WidestTopic {
    /// Its name.
    pub name: String,
    /// The replicas of its widest partition, without those that are on their way off.
    pub replicas: usize,
}

/// How far the spreading of replicas is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceState {
    /// Whether it goes on; it ends by itself when nothing is left.
    pub is_active: bool,
    /// How many bytes a second a broker copies for it, if that is bounded.
    #[serde(default)]
    pub bytes_per_second: Option<i64>,
    /// Partitions that are on their way or have to move yet.
    pub partitions_left: usize,
    /// Those of them that are on a cordoned broker and have no other to go to.
    pub partitions_blocked: usize,
}

/// What `/v1/bootstrap` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Founding {
    /// The cluster's id.
    pub cluster_id: String,
    /// The members of the first quorum.
    pub voters: Vec<Voter>,
}

/// A member of the first quorum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Voter {
    /// The node's id.
    pub id: i32,
    /// The identity of its data directory: a disk that was wiped is another voter.
    pub directory_id: String,
}

/// Why a node did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Nobody listens, or the connection broke.
    #[error("cannot reach {address}")]
    Unreachable {
        /// The admin endpoint.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// It took too long.
    #[error("{address} does not answer")]
    Silent {
        /// The admin endpoint.
        address: String,
    },
    /// Something else listens there.
    #[error("{address} does not answer in HTTP")]
    NotHttp {
        /// The admin endpoint.
        address: String,
    },
    /// It refused.
    #[error("{address} answers {status}: {reason}")]
    Refused {
        /// The admin endpoint.
        address: String,
        /// The status of HTTP.
        status: u16,
        /// The node's words.
        reason: String,
    },
    /// It is not a node, or one of another age.
    #[error("{address} answers something else than its state")]
    NotAState {
        /// The admin endpoint.
        address: String,
        /// What is wrong with the answer.
        source: serde_json::Error,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// What follows the head.
    pub body: String,
}

impl Answer {
    /// Whether the node did what it was asked.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Asks for a path; `address` is the `host:port` of the admin endpoint.
pub async fn get(address: &str, path: &str) -> Result<Answer, NodeError> {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")).await
}

/// Asks a node for its state.
pub async fn state(address: &str) -> Result<NodeState, NodeError> {
    let body = succeeded(address, get(address, "/v1/state").await?)?;
    serde_json::from_str(&body).map_err(|source| NodeError::NotAState { address: address.to_owned(), source })
}

/// Founds a cluster. Doing it again changes nothing.
pub async fn found(address: &str, token: &str, founding: &Founding) -> Result<(), NodeError> {
    post(address, token, "/v1/bootstrap", founding).await.map(drop)
}

/// From now on these brokers, and no others, get no new replica and no leadership. What they have stays until
/// [`rebalance`]. Refused where partitions have more replicas than there would be brokers.
pub async fn cordon(address: &str, token: &str, ids: &[i32]) -> Result<(), NodeError> {
    #[derive(Serialize)]
    struct Cordon<'a> {
        ids: &'a [i32],
    }
    post(address, token, "/v1/cordon", &Cordon { ids }).await.map(drop)
}

/// Moves replicas off cordoned brokers and spreads them over the others. Answers at once; [`state`] tells how far it is.
pub async fn rebalance(address: &str, token: &str, bytes_per_second: Option<i64>) -> Result<(), NodeError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Rebalance {
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes_per_second: Option<i64>,
    }
    post(address, token, "/v1/rebalance", &Rebalance { bytes_per_second }).await.map(drop)
}

/// Whether a node may be restarted now: by how much the cluster could bear it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartVerdict {
    /// Which.
    pub node: i32,
    /// Whether it may.
    pub allowed: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

/// Asks of each of these nodes whether it may be restarted now, by itself. Any node answers, with what the active controller
/// says.
pub async fn restart_checks(
    address: &str,
    nodes: impl Iterator<Item = i32>,
) -> Result<Vec<RestartVerdict>, NodeError> {
    let nodes: Vec<_> = nodes.map(|node| node.to_string()).collect();
    let path = format!("/v1/restart-check?nodes={}", nodes.join(","));
    let body = succeeded(address, get(address, &path).await?)?;
    serde_json::from_str(&body).map_err(|source| NodeError::NotAState { address: address.to_owned(), source })
}

/// Has others lead what a node leads, for one restart: until it is back, or so many seconds are over.
pub async fn drain(address: &str, token: &str, node: i32, ttl_seconds: u32) -> Result<(), NodeError> {
    #[derive(Serialize)]
    struct Drain {
        node: i32,
        ttl: u32,
    }
    post(address, token, "/v1/drain", &Drain { node, ttl: ttl_seconds }).await.map(drop)
}

async fn post(address: &str, token: &str, path: &str, body: &impl Serialize) -> Result<String, NodeError> {
    let body = serde_json::to_string(body).expect("text and numbers are JSON");
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    succeeded(address, exchange(address, &request).await?)
}

/// An id for a cluster that is founded, in Kafka's form.
pub fn new_cluster_id() -> io::Result<String> {
    loop {
        let id = types::Uuid(random_bytes()?).to_string();
        // One that begins with a dash reads as an option on a command line; Kafka makes none either.
        if !id.starts_with('-') {
            return Ok(id);
        }
    }
}

/// A token for a node's admin endpoint.
pub fn new_token() -> io::Result<String> {
    Ok(random_bytes::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

fn succeeded(address: &str, answer: Answer) -> Result<String, NodeError> {
    if answer.is_success() {
        return Ok(answer.body);
    }
    let reason = answer.body.trim().to_owned();
    Err(NodeError::Refused { address: address.to_owned(), status: answer.status, reason })
}

async fn exchange(address: &str, request: &str) -> Result<Answer, NodeError> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let address = || address.to_owned();
    let answer = tokio::time::timeout(PATIENCE, exchange)
        .await
        .map_err(|_| NodeError::Silent { address: address() })?
        .map_err(|source| NodeError::Unreachable { address: address(), source })?;
    parse(&answer).ok_or_else(|| NodeError::NotHttp { address: address() })
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { dechunk(body)? } else { body.to_owned() };
    Some(Answer { status, body })
}

fn dechunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, NodeState, leader, parse};

    #[test]
    fn the_active_controllers_node_is_believed_before_others() {
        let node = |id: i32, controller: Option<i32>, is_founded: bool| {
            let controller = controller.map_or(String::new(), |id| format!("\"controller\": {id},"));
            let rebalance = r#"{"isActive": false, "partitionsLeft": 0, "partitionsBlocked": 0}"#;
            let cluster = format!(
                r#", "cluster": {{{controller} "brokers": [], "reassigning": 0, "rebalance": {rebalance}}}"#
            );
            let cluster = if is_founded { cluster } else { String::new() };
            let state = format!(
                r#"{{"nodeId": {id}, "directoryId": "d", "status": "ready", "version": "1"{cluster}}}"#
            );
            serde_json::from_str::<NodeState>(&state).expect("a state")
        };
        let believed = |nodes: &[NodeState]| leader(nodes.iter()).map(|node| node.node_id);
        assert_eq!(believed(&[node(0, Some(1), true), node(1, Some(1), true)]), Some(1));
        // It does not answer, or there is none.
        assert_eq!(believed(&[node(0, None, false), node(1, Some(2), true), node(3, None, true)]), Some(1));
        assert_eq!(believed(&[node(0, None, false)]), None);
    }

    #[test]
    fn answers_are_read_whole_and_in_chunks() {
        let plain = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").expect("an answer");
        assert_eq!(plain, Answer { status: 200, body: "{}".to_owned() });
        let older = parse(b"HTTP/1.0 200 OK\r\na: b\r\n\r\n{}");
        assert_eq!(older, Some(Answer { status: 200, body: "{}".to_owned() }));
        let empty = parse(b"HTTP/1.1 401 No\r\n\r\n");
        assert_eq!(empty, Some(Answer { status: 401, body: String::new() }));
        let chunked = b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        assert_eq!(parse(chunked), Some(Answer { status: 503, body: "abcd".to_owned() }));
        assert_eq!(parse(b"SSH-2.0"), None);
    }
}
