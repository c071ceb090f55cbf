//! Groups for people: DescribeGroups and ListGroups.

use super::coordinator::GroupCoordinator;
use super::{GroupDescription, GroupState, ListedGroup, MemberDescription};

impl GroupCoordinator {
    pub(super) fn describe(&self, group: &str) -> Option<GroupDescription> {
        let group = self.groups.get(group).filter(|group| group.state != GroupState::Dead)?;
        let is_stable = group.state == GroupState::Stable;
        let protocol = group.protocol.as_deref().filter(|_| is_stable);
        let members = group.members.values().map(|member| MemberDescription {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            subscription: member.subscription(protocol),
            assignment: if is_stable { member.assignment.clone() } else { bytes::Bytes::new() },
        });
        Some(GroupDescription {
            state: group.state,
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: members.collect(),
        })
    }

    pub(super) fn list(&self, states: &[String]) -> Vec<ListedGroup> {
        let is_asked = |state: GroupState| {
            states.is_empty() || states.iter().any(|name| name.eq_ignore_ascii_case(state.name()))
        };
        let listed =
            self.groups.values().filter(|group| group.state != GroupState::Dead && is_asked(group.state));
        let listed = listed.map(|group| ListedGroup {
            group: group.id.clone(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state,
        });
        listed.collect()
    }

    /// Group, members and committed offsets of every group: for metrics.
    pub fn for_each_group(
        &self,
        mut visit: impl FnMut(&str, usize, &mut dyn Iterator<Item = (&str, i32, i64)>),
    ) {
        for group in self.groups.values() {
            let mut offsets = group.offsets.iter().flat_map(|(topic, partitions)| {
                partitions
                    .iter()
                    .map(move |(partition, committed)| (topic.as_str(), *partition, committed.offset))
            });
            visit(&group.id, group.members.len(), &mut offsets);
        }
    }
}
