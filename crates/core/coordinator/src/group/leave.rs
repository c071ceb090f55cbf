//! LeaveGroup: members that go by their own wish, or by an administrator's.

use types::{ErrorCode, Now};

use super::coordinator::{GroupCoordinator, Turn};
use super::state::Group;
use super::{Effect, GroupState, LeavingMember, Response, WaiterId};

impl GroupCoordinator {
    pub(super) fn leave(
        &mut self,
        now: Now,
        group: &str,
        members: Vec<LeavingMember>,
        waiter: WaiterId,
        effects: &mut Vec<Effect>,
    ) {
        let is_there = self.groups.get(group).is_some_and(|group| group.state != GroupState::Dead);
        let response = if group.is_empty() {
            Response::Left(ErrorCode::InvalidGroupId, Vec::new())
        } else if !is_there {
            let unknown = members.into_iter().map(|member| (member, ErrorCode::UnknownMemberId)).collect();
            Response::Left(ErrorCode::None, unknown)
        } else {
            let left = self.with_group(now, group, effects, |group, turn| group.leave(turn, members));
            Response::Left(ErrorCode::None, left.unwrap_or_default())
        };
        effects.push(Effect::Complete { waiter, response });
    }
}

impl Group {
    fn leave(&mut self, turn: &mut Turn<'_>, members: Vec<LeavingMember>) -> Vec<(LeavingMember, ErrorCode)> {
        let leave = |leaving: LeavingMember| {
            let error = self.leave_one(turn, &leaving).err().unwrap_or(ErrorCode::None);
            (leaving, error)
        };
        members.into_iter().map(leave).collect()
    }

    fn leave_one(&mut self, turn: &mut Turn<'_>, leaving: &LeavingMember) -> Result<(), ErrorCode> {
        // An administrator removes a static member by its instance id alone.
        let id = match (&leaving.instance_id, leaving.member.as_str()) {
            (Some(instance_id), "") => {
                self.static_members.get(instance_id).cloned().ok_or(ErrorCode::UnknownMemberId)?
            }
            (Some(instance_id), member) => {
                self.check_member(member, Some(instance_id))?;
                member.to_owned()
            }
            (None, member) if self.pending.contains_key(member) => member.to_owned(),
            (None, member) => {
                self.check_member(member, None)?;
                member.to_owned()
            }
        };
        self.expel(turn, &id);
        Ok(())
    }
}
