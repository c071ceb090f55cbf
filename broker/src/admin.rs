//! The administration endpoint: metrics and health for Kubernetes and Prometheus, state and bootstrap for whoever founds
//! clusters. POSTs need the token, if one is configured.

mod cluster;
mod restart;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use types::Uuid;

use crate::metrics;
use crate::node::Node;
use crate::quorum::BootstrapError;

/// What `/v1/state` says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeState {
    node_id: i32,
    directory_id: String,
    /// Absent before the cluster is founded.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<String>,
    /// `unformatted` before the cluster is founded, then `starting`, then `ready`.
    status: &'static str,
    roles: Vec<config::node::Role>,
    version: &'static str,
    /// What keeps the node from its place in the cluster, in words that say what to do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    /// Absent before the cluster is founded.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<cluster::ClusterState>,
}

/// What `/v1/bootstrap` takes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bootstrap {
    cluster_id: String,
    voters: Vec<Voter>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Voter {
    id: i32,
    directory_id: String,
}

/// Serves until the node stops.
pub(crate) async fn serve(node: Arc<Node>, listener: tokio::net::TcpListener) {
    let stopping = node.stopping.clone();
    let router = Router::new()
        .route("/metrics", get(scrape))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/v1/state", get(state))
        .route("/v1/bootstrap", post(bootstrap))
        .route("/v1/cordon", post(cluster::cordon))
        .route("/v1/rebalance", post(cluster::rebalance))
        .route("/v1/restart-check", get(restart::check))
        .route("/v1/drain", post(restart::drain))
        .with_state(node);
    let served =
        axum::serve(listener, router).with_graceful_shutdown(async move { stopping.cancelled().await });
    if let Err(error) = served.await {
        tracing::error!(%error, "the administration endpoint failed");
    }
}

async fn scrape(State(node): State<Arc<Node>>) -> Response {
    match metrics::render(&node) {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(node): State<Arc<Node>>) -> Response {
    match node.is_ready() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", status(&node))).into_response(),
    }
}

async fn state(State(node): State<Arc<Node>>) -> Json<NodeState> {
    Json(NodeState {
        node_id: node.config.node_id,
        directory_id: node.partitions.data_dir().directory_id().to_string(),
        cluster_id: node.cluster_id(),
        status: status(&node),
        roles: node.config.roles.clone(),
        version: env!("CARGO_PKG_VERSION"),
        problems: node.problem.borrow().iter().cloned().chain(node.quorum.problems()).collect(),
        cluster: node.cluster_id().map(|_| cluster::state(&node)),
    })
}

fn status(node: &Node) -> &'static str {
    match (node.cluster_id(), node.is_ready()) {
        (None, _) => "unformatted",
        (Some(_), false) => "starting",
        (Some(_), true) => "ready",
    }
}

async fn bootstrap(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
    Json(request): Json<Bootstrap>,
) -> Response {
    if let Some(refusal) = refusal(&node, &headers) {
        return refusal;
    }
    let voters: Result<Vec<_>, _> = request
        .voters
        .iter()
        .map(|voter| voter.directory_id.parse::<Uuid>().map(|id| (voter.id, id)))
        .collect();
    let Ok(voters) = voters else {
        return (StatusCode::BAD_REQUEST, "voters[].directoryId is no UUID as /v1/state shows it\n")
            .into_response();
    };
    match node.quorum.bootstrap(&request.cluster_id, &voters).await {
        Ok(()) => "founded\n".into_response(),
        Err(error) => {
            let status = match error {
                BootstrapError::OtherCluster { .. } | BootstrapError::Voter { .. } => StatusCode::CONFLICT,
                BootstrapError::OtherVoters { .. } => StatusCode::BAD_REQUEST,
                BootstrapError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, format!("{error}\n")).into_response()
        }
    }
}

/// What to answer to a caller without the token. The file is read each time: a rotated Secret takes effect at once.
fn refusal(node: &Node, headers: &HeaderMap) -> Option<Response> {
    let Some(path) = &node.config.admin.token_file else {
        let message = "admin.tokenFile is not set in broker.yaml: POSTs are refused\n";
        return Some((StatusCode::FORBIDDEN, message).into_response());
    };
    let Ok(token) = std::fs::read_to_string(path) else {
        tracing::error!(path = %path.display(), "cannot read admin.tokenFile");
        return Some((StatusCode::INTERNAL_SERVER_ERROR, "the token cannot be read\n").into_response());
    };
    let given =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match given {
        Some(given) if is_equal(given.trim().as_bytes(), token.trim().as_bytes()) => None,
        _ => Some((StatusCode::UNAUTHORIZED, "Authorization: Bearer TOKEN is needed\n").into_response()),
    }
}

/// Takes as long for a wrong token as for a right one.
fn is_equal(given: &[u8], token: &[u8]) -> bool {
    let difference = given.iter().zip(token).fold(0, |difference, (a, b)| difference | (a ^ b));
    given.len() == token.len() && difference == 0
}
