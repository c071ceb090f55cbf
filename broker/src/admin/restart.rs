//! `/v1/restart-check` and `/v1/drain`: whoever rolls the cluster asks here before each node. Any node answers, with what
//! the active controller decides.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use metadata::{Command, Response as Decided, RestartCheck};
use serde::{Deserialize, Serialize};
use types::BrokerId;

use super::cluster::{failed, submit};
use crate::node::Node;
use crate::quorum::{QuorumDescription, SubmitError};

/// A voter that has not had all for so long is not counted as one that could go on alone.
const CAUGHT_UP_MS: i64 = 1000;
/// Partitions that a reason names; the others are counted.
const NAMED_MAX: usize = 3;
/// Each costs a walk over all partitions.
const CANDIDATES_MAX: usize = 1000;
/// A grant is for one restart.
const TTL_SECONDS_MAX: i64 = 3600;

/// What `/v1/restart-check` is asked.
#[derive(Debug, Deserialize)]
pub(super) struct Candidates {
    /// Their ids, with commas between them.
    #[serde(default)]
    nodes: String,
}

/// What `/v1/drain` takes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Drain {
    node: i32,
    /// For how many seconds.
    ttl: i64,
}

/// Whether a node may be restarted, and why not.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    node: i32,
    allowed: bool,
    reasons: Vec<String>,
}

/// Would the restart of one of these nodes cost availability or records? Each is looked at by itself.
pub(super) async fn check(State(node): State<Arc<Node>>, Query(candidates): Query<Candidates>) -> Response {
    let ids = match ids(&candidates.nodes) {
        Ok(ids) => ids,
        Err(problem) => return (StatusCode::BAD_REQUEST, format!("{problem}\n")).into_response(),
    };
    match verdicts(&node, ids).await {
        Ok(verdicts) => Json(verdicts).into_response(),
        Err(error) => failed(error),
    }
}

fn ids(list: &str) -> Result<BTreeSet<BrokerId>, String> {
    let parse = |id: &str| id.trim().parse().map(BrokerId);
    let ids: Result<BTreeSet<_>, _> = list.split(',').map(parse).collect();
    match ids {
        Ok(ids) if ids.len() <= CANDIDATES_MAX => Ok(ids),
        Ok(ids) => Err(format!("{} nodes: ask for at most {CANDIDATES_MAX} at once", ids.len())),
        Err(_) => {
            Err(format!("nodes={list}: write the ids of nodes with commas between them, as in nodes=0,1,2"))
        }
    }
}

async fn verdicts(node: &Node, ids: BTreeSet<BrokerId>) -> Result<Vec<Verdict>, SubmitError> {
    let command = Command::CheckRestarts { brokers: ids.iter().copied().collect() };
    let Decided::RestartsChecked(checks) = node.metadata().submit(command).await? else {
        unreachable!("the controller answers what it was asked");
    };
    let (quorum, image) = (node.quorum.describe().await?, node.metadata().image());
    let verdict = |(BrokerId(id), check): (BrokerId, &RestartCheck)| {
        let reasons = reasons(&image, check, &quorum, id);
        Verdict { node: id, allowed: reasons.is_empty(), reasons }
    };
    Ok(ids.into_iter().zip(&checks).map(verdict).collect())
}

fn reasons(
    image: &metadata::Image,
    check: &RestartCheck,
    quorum: &QuorumDescription,
    id: i32,
) -> Vec<String> {
    let mut reasons: Vec<_> = partitions_reason(check).into_iter().collect();
    if let Some(grant) = image.drain_grant().filter(|grant| grant.broker.0 != id) {
        reasons.push(format!("broker {} is being restarted", grant.broker));
    }
    reasons.extend(quorum_reason(quorum, id));
    reasons
}

/// How many partitions have nothing to spare, and the first of them.
fn partitions_reason(check: &RestartCheck) -> Option<String> {
    let named = check.refused.iter().take(NAMED_MAX).map(|(topic, partition)| format!("{topic}-{partition}"));
    let named = named.collect::<Vec<_>>().join(", ");
    match check.refused_count {
        0 => None,
        1 => Some(format!("partition {named} has no in-sync replica to spare")),
        count => {
            let more = if usize::try_from(count).is_ok_and(|count| count > NAMED_MAX) { ", …" } else { "" };
            Some(format!("{count} partitions have no in-sync replica to spare: {named}{more}"))
        }
    }
}

/// With n voters a majority has to be caught up without the candidate; one or two voters have none to spare, ever.
fn quorum_reason(quorum: &QuorumDescription, id: i32) -> Option<String> {
    if quorum.is_changing {
        return Some("the voters of the metadata quorum are being changed".to_owned());
    }
    let voters = quorum.voters.len();
    if voters <= 2 || !quorum.voters.iter().any(|voter| voter.node == id) {
        return None;
    }
    let leader = quorum.voters.iter().find(|voter| voter.node == quorum.leader)?;
    let is_caught_up = |ms: i64| leader.last_caught_up_ms.saturating_sub(ms) <= CAUGHT_UP_MS;
    let others = quorum.voters.iter().filter(|voter| voter.node != id);
    let caught_up = others.filter(|voter| is_caught_up(voter.last_caught_up_ms)).count();
    let needed = voters / 2 + 1;
    (caught_up < needed).then(|| {
        format!("{caught_up} voters of the metadata quorum are caught up without node {id}, and {needed} are needed")
    })
}

/// Has others lead what this broker leads, for one restart.
pub(super) async fn drain(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
    Json(request): Json<Drain>,
) -> Response {
    let ttl_ms = request.ttl.clamp(0, TTL_SECONDS_MAX) * 1000;
    let command = Command::Drain { broker: BrokerId(request.node), ttl_ms };
    submit(&node, &headers, command, "drained\n").await
}

#[cfg(test)]
mod tests {
    use metadata::RestartCheck;
    use types::{PartitionId, Uuid};

    use super::{BrokerId, QuorumDescription, ids, partitions_reason, quorum_reason};
    use crate::quorum::ReplicaDescription;

    fn quorum(behind_ms: &[i64]) -> QuorumDescription {
        let voter = |(node, behind): (i32, &i64)| ReplicaDescription {
            node,
            directory: Uuid::ZERO,
            log_end: 1,
            last_fetch_ms: 100_000 - behind,
            last_caught_up_ms: 100_000 - behind,
        };
        QuorumDescription {
            leader: 0,
            leader_epoch: 1,
            high_watermark: 1,
            voters: (0..).zip(behind_ms).map(voter).collect(),
            observers: Vec::new(),
            addresses: Vec::new(),
            is_changing: false,
        }
    }

    #[test]
    fn candidates_are_ids_with_commas_between_them() {
        assert_eq!(ids("2, 0,2"), Ok([BrokerId(0), BrokerId(2)].into()));
        for nonsense in ["", "0,", "all", "0;1"] {
            let problem = ids(nonsense).expect_err(nonsense);
            assert!(problem.contains("as in nodes=0,1,2"), "{problem}");
        }
        let many = (0..=1000).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(ids(&many), Err("1001 nodes: ask for at most 1000 at once".to_owned()));
    }

    #[test]
    fn a_reason_counts_partitions_and_names_the_first() {
        let reason = |named: i32, refused_count| {
            let refused = (0..named).map(|index| ("orders".to_owned(), PartitionId(index))).collect();
            partitions_reason(&RestartCheck { refused, refused_count })
        };
        assert_eq!(reason(0, 0), None);
        let one = "partition orders-0 has no in-sync replica to spare";
        assert_eq!(reason(1, 1).as_deref(), Some(one));
        let three = "3 partitions have no in-sync replica to spare: orders-0, orders-1, orders-2";
        assert_eq!(reason(3, 3).as_deref(), Some(three));
        let many = "400 partitions have no in-sync replica to spare: orders-0, orders-1, orders-2, …";
        assert_eq!(reason(10, 400).as_deref(), Some(many));
    }

    #[test]
    fn a_majority_has_to_be_caught_up_without_the_candidate() {
        let cases: [(&[i64], i32, bool); 7] = [
            (&[0], 0, true),
            (&[0, 60_000], 0, true),
            (&[0, 0, 0], 1, true),
            (&[0, 0, 60_000], 1, false),
            (&[0, 0, 60_000], 2, true),
            (&[0, 0, 60_000], 7, true),
            (&[0, 0, 0, 0, 60_000], 1, true),
        ];
        for (behind, candidate, expected) in cases {
            let reason = quorum_reason(&quorum(behind), candidate);
            assert_eq!(reason.is_none(), expected, "{behind:?} {candidate} {reason:?}");
        }
        let changing = QuorumDescription { is_changing: true, ..quorum(&[0]) };
        assert!(quorum_reason(&changing, 0).is_some());
    }
}
