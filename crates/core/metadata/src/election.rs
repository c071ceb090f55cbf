//! What kind of election a change of a partition was. For those who count them; nothing is decided here.

use crate::{PartitionChange, PartitionImage};

/// How a partition came to its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ElectionKind {
    /// The leader was gone, or was to go, and somebody with all that is committed took over.
    Clean,
    /// Somebody who may lack what is committed took over.
    Unclean,
    /// The leader was well; the first replica leads again.
    Preferred,
}

impl ElectionKind {
    /// All of them.
    pub const ALL: [ElectionKind; 3] = [ElectionKind::Clean, ElectionKind::Unclean, ElectionKind::Preferred];

    /// What `change` elects in a partition as it was `before`; nothing if the leader stays, or nobody leads by it.
    pub fn of(before: &PartitionImage, change: &PartitionChange) -> Option<ElectionKind> {
        let elected = change.leader.flatten().filter(|elected| Some(*elected) != before.leader)?;
        let isr = change.isr.as_ref().unwrap_or(&before.isr);
        let replicas = change.replicas.as_ref().unwrap_or(&before.replicas);
        let had_all = before.isr.contains(&elected) || before.elr.contains(&elected) || isr.len() > 1;
        if !had_all {
            return Some(ElectionKind::Unclean);
        }
        let is_former_well = before.leader.is_some_and(|former| isr.contains(&former));
        match is_former_well && replicas.first() == Some(&elected) {
            true => Some(ElectionKind::Preferred),
            false => Some(ElectionKind::Clean),
        }
    }

    /// Its name, as metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            ElectionKind::Clean => "clean",
            ElectionKind::Unclean => "unclean",
            ElectionKind::Preferred => "preferred",
        }
    }
}

#[cfg(test)]
mod tests {
    use types::BrokerId;

    use super::*;

    fn ids(ids: &[i32]) -> Vec<BrokerId> {
        ids.iter().copied().map(BrokerId).collect()
    }

    fn before(leader: Option<i32>, isr: &[i32], elr: &[i32]) -> PartitionImage {
        PartitionImage {
            replicas: ids(&[1, 2, 3]),
            isr: ids(isr),
            elr: ids(elr),
            leader: leader.map(BrokerId),
            ..PartitionImage::default()
        }
    }

    fn elects(leader: Option<i32>, isr: Option<&[i32]>) -> PartitionChange {
        let leader = Some(leader.map(BrokerId));
        PartitionChange { leader, isr: isr.map(ids), ..PartitionChange::default() }
    }

    #[test]
    fn elections_are_told_apart() {
        let clean = Some(ElectionKind::Clean);
        let unclean = Some(ElectionKind::Unclean);
        let preferred = Some(ElectionKind::Preferred);
        for (before, change, kind) in [
            (before(Some(1), &[1, 2, 3], &[]), elects(Some(2), Some(&[2, 3])), clean),
            (before(None, &[2], &[]), elects(Some(2), None), clean),
            (before(None, &[], &[3]), elects(Some(3), Some(&[3])), clean),
            // The first replica takes over from a leader that went.
            (before(Some(2), &[1, 2], &[]), elects(Some(1), Some(&[1])), clean),
            (before(Some(2), &[1, 2, 3], &[]), elects(Some(1), None), preferred),
            (before(None, &[2], &[]), elects(Some(3), Some(&[3])), unclean),
            (before(None, &[], &[]), elects(Some(1), Some(&[1])), unclean),
            (before(Some(1), &[1, 2], &[]), elects(None, None), None),
            (before(Some(1), &[1, 2], &[]), elects(Some(1), None), None),
            (before(Some(1), &[1, 2], &[]), PartitionChange::default(), None),
        ] {
            assert_eq!(ElectionKind::of(&before, &change), kind, "{before:?} {change:?}");
        }
    }
}
