//! The cluster in `/v1/state`, and what whoever runs it wants of it. Any node answers: what is to be changed goes to the
//! active controller.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use metadata::{Command, Image};
use serde::{Deserialize, Serialize};
use types::BrokerId;

use super::refusal;
use crate::node::Node;
use crate::quorum::SubmitError;

/// What this node knows of the cluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClusterState {
    /// The node of the active controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    controller: Option<i32>,
    brokers: Vec<BrokerState>,
    partitions: PartitionsState,
    /// The topic that needs the most brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
    widest_topic: Option<WidestTopic>,
    /// Partitions that are being given other replicas.
    reassigning: usize,
    rebalance: RebalanceState,
    /// The broker that is being restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    drain: Option<DrainState>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DrainState {
    node: i32,
    until_ms: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BrokerState {
    id: i32,
    is_fenced: bool,
    is_cordoned: bool,
    /// Replicas that it holds or is being given; not those that it is giving up.
    replicas: usize,
    /// Replicas that are on it still, on their way to others.
    leaving: usize,
    leaders: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PartitionsState {
    total: usize,
    /// Those without a leader.
    offline: usize,
    /// Those that refuse writes with acks=all.
    under_min_isr: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WidestTopic {
    name: String,
    /// Not those that are on their way off.
    replicas: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RebalanceState {
    is_active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_second: Option<i64>,
    partitions_left: usize,
    /// Those of them that are on a cordoned broker and have no other to go to.
    partitions_blocked: usize,
}

/// What `/v1/cordon` takes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Cordon {
    /// These, and no others.
    ids: Vec<i32>,
}

/// What `/v1/rebalance` takes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Rebalance {
    bytes_per_second: Option<i64>,
}

/// The cluster as this node knows it.
pub(super) fn state(node: &Node) -> ClusterState {
    let image = node.metadata().image();
    let is_active = image.is_rebalancing();
    let progress =
        if is_active { image.rebalance_progress() } else { metadata::RebalanceProgress::default() };
    let health = image.partition_health(&node.static_config);
    ClusterState {
        controller: node.quorum.status().leader,
        brokers: brokers(&image),
        partitions: PartitionsState {
            total: health.total,
            offline: health.offline,
            under_min_isr: health.under_min_isr,
        },
        widest_topic: image
            .widest_topic()
            .map(|(topic, replicas)| WidestTopic { name: topic.name.to_string(), replicas }),
        reassigning: image.reassigning().count(),
        rebalance: RebalanceState {
            is_active,
            bytes_per_second: image.rebalance_rate(),
            partitions_left: progress.partitions_left,
            partitions_blocked: progress.partitions_blocked,
        },
        drain: image.drain_grant().map(|grant| DrainState { node: grant.broker.0, until_ms: grant.until.0 }),
    }
}

fn brokers(image: &Image) -> Vec<BrokerState> {
    let mut brokers: BTreeMap<BrokerId, BrokerState> = BTreeMap::new();
    for broker in image.brokers() {
        let state = BrokerState {
            id: broker.id.0,
            is_fenced: broker.is_fenced,
            is_cordoned: image.is_cordoned(broker.id),
            replicas: 0,
            leaving: 0,
            leaders: 0,
        };
        brokers.insert(broker.id, state);
    }
    for partition in image.topics().flat_map(|topic| &topic.partitions) {
        for id in &partition.replicas {
            if let Some(broker) = brokers.get_mut(id) {
                match partition.removing.contains(id) {
                    true => broker.leaving += 1,
                    false => broker.replicas += 1,
                }
            }
        }
        if let Some(broker) = partition.leader.and_then(|id| brokers.get_mut(&id)) {
            broker.leaders += 1;
        }
    }
    brokers.into_values().collect()
}

/// These brokers are to get nothing new; all others are.
pub(super) async fn cordon(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
    Json(request): Json<Cordon>,
) -> Response {
    let brokers = request.ids.into_iter().map(BrokerId).collect();
    submit(&node, &headers, Command::Cordon { brokers }, "cordoned\n").await
}

/// Replicas are to leave cordoned brokers and to be spread over the others.
pub(super) async fn rebalance(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
    Json(request): Json<Rebalance>,
) -> Response {
    let command = Command::Rebalance { bytes_per_second: request.bytes_per_second };
    submit(&node, &headers, command, "rebalancing\n").await
}

/// Has the active controller carry out what somebody with the token asks.
pub(super) async fn submit(
    node: &Node,
    headers: &HeaderMap,
    command: Command,
    done: &'static str,
) -> Response {
    if let Some(refusal) = refusal(node, headers) {
        return refusal;
    }
    match node.metadata().submit(command).await {
        Ok(_) => done.into_response(),
        Err(error) => failed(error),
    }
}

pub(super) fn failed(error: SubmitError) -> Response {
    let status = match error {
        SubmitError::Rejected(_) => StatusCode::CONFLICT,
        SubmitError::TooLarge => StatusCode::BAD_REQUEST,
        SubmitError::NoController | SubmitError::Busy | SubmitError::Unknown => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    (status, format!("{error}\n")).into_response()
}
