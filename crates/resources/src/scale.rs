//! What to do next so that a cluster gets as many brokers as it is to have, and nothing is lost on the way: who comes gets a
//! vote and its share of the replicas, who goes gives both back first. Pure: `taffrail dev` and the operator look, ask here
//! and do, and a number that changes in between only changes the next answer.

use std::fmt;
use std::ops::Range;

use types::Uuid;

use crate::{CONTROLLERS_FROM, voters};

/// A node and the identity of its data directory: a disk that was wiped is another voter.
pub type Directory = (i32, Uuid);

/// What is seen of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScaleSight {
    /// How many brokers there are to be: the ids below.
    pub wanted: i32,
    /// How many are run.
    pub running: i32,
    /// The nodes that answer.
    pub nodes: Vec<Directory>,
    /// Who votes; `None` if nobody says.
    pub voters: Option<Vec<Directory>>,
    /// The brokers that are registered.
    pub brokers: Vec<ScaleBroker>,
    /// The topic that needs the most brokers, and how many these are.
    pub widest: Option<(String, usize)>,
    /// Whether replicas are being spread.
    pub is_rebalancing: bool,
    /// With how many bytes a second.
    pub rate: Option<i64>,
    /// With how many it is to be.
    pub wanted_rate: Option<i64>,
    /// Partitions that have to move yet.
    pub left: usize,
    /// Those of them that have nowhere to go.
    pub stuck: usize,
    /// Whether new brokers are to get their share, which they have not got.
    pub is_to_spread: bool,
    /// The dedicated controllers, which vote instead of brokers.
    pub controllers: Option<ControllersSight>,
}

/// Dedicated controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControllersSight {
    /// How many there are to be: the ids from [`CONTROLLERS_FROM`] on.
    pub wanted: i32,
    /// How many are run.
    pub running: i32,
}

impl ScaleSight {
    /// The nodes that are to vote.
    fn voting(&self) -> Range<i32> {
        match self.controllers {
            None => 0..voters(self.wanted),
            Some(controllers) => CONTROLLERS_FROM..CONTROLLERS_FROM + controllers.wanted,
        }
    }

    /// Whether nodes are to go that may have a vote.
    fn votes_shrink(&self) -> bool {
        match self.controllers {
            None => self.running > self.wanted,
            Some(controllers) => controllers.running > controllers.wanted,
        }
    }
}

/// A registered broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleBroker {
    /// Its id.
    pub id: i32,
    /// Whether it is out of service.
    pub is_fenced: bool,
    /// Whether it gets nothing new.
    pub is_cordoned: bool,
    /// Whether no replica is on it any more.
    pub is_empty: bool,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScaleStep {
    /// There are as many as there are to be.
    Done,
    /// These get nothing new from now on, and all others do.
    Cordon(Vec<i32>),
    /// Replicas leave cordoned brokers and are spread over the others.
    Rebalance,
    /// A node gets a vote.
    AddVoter(Directory),
    /// A node loses its vote.
    RemoveVoter(Directory),
    /// All brokers from `wanted` on have nothing any more and are stopped.
    Stop,
    /// Controllers that have no vote any more are stopped.
    StopControllers,
    /// Makes the cluster forget a broker that was stopped.
    Unregister(i32),
    /// Replicas are on their way.
    Moving {
        /// The brokers that they leave; none if they are only spread.
        off: Vec<i32>,
        /// Partitions that have to move yet.
        left: usize,
    },
    /// Somebody else has to do something first.
    Waiting(String),
    /// It cannot be done: what is in the way, and what to write instead.
    Blocked(String),
}

/// The next step; [`ScaleStep::Done`] if there is none.
pub fn scale(sight: &ScaleSight) -> ScaleStep {
    let goes = |id: i32| id >= sight.wanted;
    if let Some(blocked) = too_few(sight) {
        return blocked;
    }
    if sight.brokers.iter().any(|broker| broker.is_cordoned != goes(broker.id)) {
        return ScaleStep::Cordon(going(sight));
    }
    if let Some(step) = missing_vote(sight) {
        return step;
    }
    if sight.brokers.iter().any(|broker| goes(broker.id) && !broker.is_empty) {
        return empty(sight);
    }
    if let Some(step) = surplus_vote(sight) {
        return step;
    }
    if sight.controllers.is_some_and(|controllers| controllers.running > controllers.wanted) {
        return ScaleStep::StopControllers;
    }
    if sight.running > sight.wanted {
        return ScaleStep::Stop;
    }
    if let Some(broker) = sight.brokers.iter().rev().find(|broker| goes(broker.id)) {
        return ScaleStep::Unregister(broker.id);
    }
    spread(sight)
}

/// Every broker from `wanted` on, whether it is registered yet or not.
fn going(sight: &ScaleSight) -> Vec<i32> {
    let last = sight.brokers.iter().map(|broker| broker.id + 1).max().unwrap_or(0).max(sight.running);
    (sight.wanted..last).collect()
}

/// A partition cannot have two replicas on one broker.
fn too_few(sight: &ScaleSight) -> Option<ScaleStep> {
    let (topic, replicas) = sight.widest.as_ref().filter(|_| !going(sight).is_empty())?;
    let is_too_wide = i32::try_from(*replicas).is_ok_and(|replicas| replicas > sight.wanted);
    is_too_wide.then(|| {
        let wanted = sight.wanted;
        let brokers = if wanted == 1 { "broker" } else { "brokers" };
        ScaleStep::Blocked(format!(
            "topic {topic} has {replicas} replicas and there would be {wanted} {brokers}: lower its replicas, or write {replicas}"
        ))
    })
}

/// A vote for each of the first brokers that has none, and none for a disk that is gone.
fn missing_vote(sight: &ScaleSight) -> Option<ScaleStep> {
    let has = sight.voters.as_ref()?;
    let votes = |id: i32| sight.voting().contains(&id);
    let directory = |id: i32| sight.nodes.iter().find(|node| node.0 == id).map(|node| node.1);
    // The last voter cannot be replaced: it takes the cluster with it.
    let is_wiped = |voter: &&Directory| directory(voter.0).is_some_and(|found| found != voter.1);
    if let Some(voter) = has.iter().filter(|_| has.len() > 1).find(is_wiped) {
        return Some(ScaleStep::RemoveVoter(*voter));
    }
    let is_new = |node: &&Directory| votes(node.0) && has.iter().all(|voter| voter.0 != node.0);
    // The vote of a broker is worth something once it is a member.
    let is_member = |node: &&Directory| {
        sight.controllers.is_some() || sight.brokers.iter().any(|broker| broker.id == node.0)
    };
    sight.nodes.iter().filter(is_new).find(is_member).map(|node| ScaleStep::AddVoter(*node))
}

/// Votes go when those that stay all have theirs.
fn surplus_vote(sight: &ScaleSight) -> Option<ScaleStep> {
    let voting = sight.voting();
    let shrinks = sight.votes_shrink();
    let Some(has) = &sight.voters else {
        return shrinks
            .then(|| ScaleStep::Waiting("nobody says who votes in the metadata quorum".to_owned()));
    };
    let surplus = has.iter().filter(|voter| !voting.contains(&voter.0)).max()?;
    match voting.clone().find(|id| has.iter().all(|voter| voter.0 != *id)) {
        Some(id) => Some(ScaleStep::Waiting(format!("node {id} has no vote yet"))),
        None => Some(ScaleStep::RemoveVoter(*surplus)),
    }
}

/// Moves everything off the brokers that go.
fn empty(sight: &ScaleSight) -> ScaleStep {
    if !sight.is_rebalancing || sight.rate != sight.wanted_rate {
        return ScaleStep::Rebalance;
    }
    let (left, stuck) = (sight.left, sight.stuck);
    if stuck > 0 && stuck == left {
        return ScaleStep::Waiting(format!("{stuck} partitions have no broker to go to that is in service"));
    }
    let off = sight.brokers.iter().filter(|broker| broker.id >= sight.wanted && !broker.is_empty);
    ScaleStep::Moving { off: off.map(|broker| broker.id).collect(), left }
}

/// Gives new brokers their share, once all of them are in service.
fn spread(sight: &ScaleSight) -> ScaleStep {
    let serves = |id: &i32| sight.brokers.iter().any(|broker| broker.id == *id && !broker.is_fenced);
    if sight.is_to_spread {
        return match (0..sight.wanted).find(|id| !serves(id)) {
            Some(id) => ScaleStep::Waiting(format!("broker {id} is not in service yet")),
            None => ScaleStep::Rebalance,
        };
    }
    match sight.is_rebalancing {
        true if sight.rate != sight.wanted_rate => ScaleStep::Rebalance,
        true => ScaleStep::Moving { off: Vec::new(), left: sight.left },
        false => ScaleStep::Done,
    }
}

impl fmt::Display for ScaleStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |ids: &[i32]| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        match self {
            ScaleStep::Done => write!(f, "nothing to scale"),
            ScaleStep::Cordon(ids) if ids.is_empty() => write!(f, "cordon no broker"),
            ScaleStep::Cordon(ids) => write!(f, "cordon brokers {}", list(ids)),
            ScaleStep::Rebalance => write!(f, "rebalance"),
            ScaleStep::AddVoter((id, _)) => write!(f, "add voter {id}"),
            ScaleStep::RemoveVoter((id, _)) => write!(f, "remove voter {id}"),
            ScaleStep::StopControllers => write!(f, "stop the controllers that have no vote"),
            ScaleStep::Stop => write!(f, "stop the brokers that are empty"),
            ScaleStep::Unregister(id) => write!(f, "unregister broker {id}"),
            ScaleStep::Moving { off, left } if off.is_empty() => {
                write!(f, "replicas are being spread: {left} partitions left")
            }
            ScaleStep::Moving { off, left } => {
                write!(f, "replicas are being moved off brokers {}: {left} partitions left", list(off))
            }
            ScaleStep::Waiting(why) | ScaleStep::Blocked(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests;
