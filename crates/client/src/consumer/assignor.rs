//! Kafka's range assignor: each topic's partitions in runs, the first members get one more where it does not come out
//! even. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::admin::TopicPartitionName;

/// What each member gets. `subscriptions` names the topics of each member, `partitions` how many each topic has.
pub(crate) fn range(
    subscriptions: &BTreeMap<String, Vec<String>>,
    partitions: &BTreeMap<String, usize>,
) -> BTreeMap<String, Vec<TopicPartitionName>> {
    let mut assignment: BTreeMap<String, Vec<TopicPartitionName>> =
        subscriptions.keys().map(|member| (member.clone(), Vec::new())).collect();
    let topics: BTreeSet<&String> = subscriptions.values().flatten().collect();
    for topic in topics {
        let members: Vec<&String> = subscriptions
            .iter()
            .filter(|(_, topics)| topics.contains(topic))
            .map(|(member, _)| member)
            .collect();
        let count = partitions.get(topic).copied().unwrap_or(0);
        let (each, one_more) = (count / members.len(), count % members.len());
        let mut next = 0;
        for (i, member) in members.into_iter().enumerate() {
            let end = next + each + usize::from(i < one_more);
            let run = (next..end).filter_map(|index| i32::try_from(index).ok());
            let run = run.map(|index| TopicPartitionName::new(topic, index));
            assignment.entry(member.clone()).or_default().extend(run);
            next = end;
        }
    }
    assignment
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::range;

    fn assign(members: &[(&str, &[&str])], topics: &[(&str, usize)]) -> Vec<String> {
        let subscriptions: BTreeMap<_, _> = members
            .iter()
            .map(|(member, topics)| ((*member).to_owned(), topics.iter().map(|t| (*t).to_owned()).collect()))
            .collect();
        let partitions = topics.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect();
        let text = |(member, partitions): (String, Vec<crate::admin::TopicPartitionName>)| {
            let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
            format!("{member}: {}", names.join(" "))
        };
        range(&subscriptions, &partitions).into_iter().map(text).collect()
    }

    #[test]
    fn the_first_members_get_one_more() {
        let assigned = assign(&[("a", &["t"]), ("b", &["t"])], &[("t", 3)]);
        assert_eq!(assigned, ["a: t-0 t-1", "b: t-2"]);
    }

    #[test]
    fn a_member_gets_only_what_it_subscribes_to() {
        let assigned = assign(&[("a", &["t", "u"]), ("b", &["u"])], &[("t", 1), ("u", 2)]);
        assert_eq!(assigned, ["a: t-0 u-0", "b: u-1"]);
    }

    #[test]
    fn members_beyond_the_partitions_stay_idle() {
        assert_eq!(assign(&[("a", &["t"]), ("b", &["t"])], &[("t", 1)]), ["a: t-0", "b: "]);
        assert_eq!(assign(&[("a", &["gone"])], &[]), ["a: "]);
    }
}
