//! Conditions as Kubernetes writes them: the time of the last transition moves only when the status flips.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use resources::KafkaCluster;

/// Of a KafkaCluster: whether clients are served, wholly.
pub(crate) const AVAILABLE: &str = "Available";
/// Why a cluster is not available wholly, although its brokers answer.
const IN_PART: [&str; 2] = ["OfflinePartitions", "UnderMinIsr"];

/// Why no broker of a cluster can be asked for anything, by what was last said of it; `None` if one can.
pub(crate) fn unreachable(cluster: &KafkaCluster) -> Option<&str> {
    let conditions = cluster.status.as_ref().map_or(&[][..], |status| &status.conditions);
    match conditions.iter().find(|condition| condition.type_ == AVAILABLE) {
        None => Some("it is new"),
        Some(one) if one.status == "True" || IN_PART.contains(&one.reason.as_str()) => None,
        Some(one) => Some(&one.message),
    }
}

/// What is to be said of one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) type_: &'static str,
    pub(crate) status: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Said {
    pub(crate) fn new(type_: &'static str, status: bool, reason: &str, message: impl Into<String>) -> Said {
        Said { type_, status, reason: reason.to_owned(), message: message.into() }
    }
}

/// The conditions after this was said of a generation, at `now`.
pub(crate) fn merge(
    before: &[Condition],
    said: &[Said],
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    let merged = said.iter().map(|said| {
        let status = if said.status { "True" } else { "False" };
        let same = before.iter().find(|old| old.type_ == said.type_ && old.status == status);
        Condition {
            type_: said.type_.to_owned(),
            status: status.to_owned(),
            reason: said.reason.clone(),
            message: said.message.clone(),
            observed_generation: generation,
            last_transition_time: same.map_or_else(|| now.clone(), |old| old.last_transition_time.clone()),
        }
    });
    merged.collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::{Said, Time, merge};

    #[test]
    fn the_time_changes_with_the_status_only() {
        let at = |second| Time(Timestamp::from_second(second).expect("a time"));
        let ready = |is_true, message: &str| [Said::new("Ready", is_true, "Because", message)];
        let first = merge(&[], &ready(false, "one"), Some(1), &at(1));
        let second = merge(&first, &ready(false, "two"), Some(2), &at(2));
        assert_eq!((&second[0].last_transition_time, second[0].message.as_str()), (&at(1), "two"));
        let third = merge(&second, &ready(true, "two"), Some(2), &at(3));
        assert_eq!((&third[0].last_transition_time, third[0].status.as_str()), (&at(3), "True"));
    }
}
