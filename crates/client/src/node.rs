//! A node's administration endpoint, seen from here: as much of HTTP/1.0 as its small answers need, with a time limit.

use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// What `/v1/state` says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeState {
    pub(crate) node_id: i32,
    pub(crate) directory_id: String,
    #[serde(default)]
    pub(crate) cluster_id: Option<String>,
    pub(crate) status: String,
    pub(crate) version: String,
}

/// What `/v1/bootstrap` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bootstrap {
    pub(crate) cluster_id: String,
    pub(crate) voters: Vec<Voter>,
}

/// A member of the first quorum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Voter {
    pub(crate) id: i32,
    pub(crate) directory_id: String,
}

/// Asks a node for its state; `address` is the `host:port` of its administration endpoint.
pub(crate) async fn state(address: &str) -> anyhow::Result<NodeState> {
    let body = exchange(address, &format!("GET /v1/state HTTP/1.0\r\nHost: {address}\r\n\r\n")).await?;
    serde_json::from_str(&body).with_context(|| format!("{address} answers something else than its state"))
}

/// Founds a cluster. Doing it again changes nothing.
pub(crate) async fn bootstrap(address: &str, token: &str, founding: &Bootstrap) -> anyhow::Result<()> {
    let body = serde_json::to_string(founding)?;
    let request = format!(
        "POST /v1/bootstrap HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    exchange(address, &request).await.map(|_| ())
}

async fn exchange(address: &str, request: &str) -> anyhow::Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(PATIENCE, exchange)
        .await
        .with_context(|| format!("{address} does not answer"))?
        .with_context(|| format!("cannot reach {address}"))?;
    let (status, body) = parse(&answer).with_context(|| format!("{address} does not answer in HTTP"))?;
    if !(200..300).contains(&status) {
        bail!("{address} answers {status}: {}", body.trim());
    }
    Ok(body)
}

fn parse(answer: &[u8]) -> Option<(u16, String)> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn answers_are_read() {
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\na: b\r\n\r\n{}"), Some((200, "{}".to_owned())));
        assert_eq!(parse(b"HTTP/1.1 401 No\r\n\r\n"), Some((401, String::new())));
        assert_eq!(parse(b"SSH-2.0"), None);
    }
}
