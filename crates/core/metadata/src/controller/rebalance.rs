//! Which partitions move so that cordoned brokers get empty and the others hold and lead equally much. A pure function of
//! the image: a controller that takes office goes on where the one before it stopped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use types::{BrokerId, PartitionId, TopicId};

use crate::Image;

/// A partition and the replicas that it is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) topic: TopicId,
    pub(super) partition: PartitionId,
    pub(super) replicas: Vec<BrokerId>,
}

/// How far the brokers are from holding equally much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RebalanceProgress {
    /// Partitions that are on their way, or still have to move.
    pub partitions_left: usize,
    /// Those of them that are on a cordoned broker and have nowhere to go.
    pub partitions_blocked: usize,
}

/// All partitions as they will be once every reassignment that is under way is complete.
struct Plan<'a> {
    image: &'a Image,
    /// Brokers that take replicas, and how many replicas each has and of how many it is the preferred leader.
    replicas: BTreeMap<BrokerId, usize>,
    leaders: BTreeMap<BrokerId, usize>,
    partitions: Vec<Planned>,
}

struct Planned {
    topic: TopicId,
    partition: PartitionId,
    replicas: Vec<BrokerId>,
    /// Not to be touched now: it is being reassigned, or was given a move.
    is_settled: bool,
    is_moved: bool,
}

/// At most `limit` moves: first those that empty cordoned brokers, then those that even out replicas, then those that even
/// out leaders, which take no copying.
pub(super) fn plan(image: &Image, limit: usize) -> Vec<Move> {
    let mut plan = Plan::new(image);
    let mut left = limit;
    plan.empty_cordoned(&mut left);
    // Counts are only worth evening out once nothing has to leave: what leaves evens them out, too.
    if left > 0 {
        plan.even_out_replicas(&mut left);
    }
    if left > 0 {
        plan.even_out_leaders(&mut left);
    }
    plan.moves()
}

/// At most `limit` moves that give every partition of a topic as many replicas as it is to have, or as there are brokers
/// for. What has more keeps it.
pub(super) fn grow(image: &Image, topic: TopicId, factor: usize, limit: usize) -> Vec<Move> {
    let mut plan = Plan::new(image);
    let mut left = limit;
    for at in 0..plan.partitions.len() {
        let planned = &plan.partitions[at];
        if left == 0 || planned.topic != topic || planned.is_settled {
            continue;
        }
        let mut replicas = planned.replicas.clone();
        while replicas.len() < factor
            && let Some(taker) = plan.taker(&replicas, None, false)
        {
            replicas.push(taker);
        }
        if replicas.len() > plan.partitions[at].replicas.len() {
            plan.set(at, replicas);
            left -= 1;
        }
    }
    plan.moves()
}

/// How much is left to do.
pub(super) fn progress(image: &Image) -> RebalanceProgress {
    let plan = Plan::new(image);
    let (mut leaving, mut blocked) = (0, 0);
    for planned in plan.partitions.iter().filter(|planned| !planned.is_settled) {
        if planned.replicas.iter().any(|id| image.is_cordoned(*id)) {
            leaving += 1;
            let has_place = plan.replicas.keys().any(|id| !planned.replicas.contains(id));
            blocked += usize::from(!has_place);
        }
    }
    let under_way = plan.partitions.iter().filter(|planned| planned.is_settled).count();
    let all: usize = plan.replicas.values().sum();
    let most = all.div_ceil(plan.replicas.len().max(1));
    let fewest = all / plan.replicas.len().max(1);
    let above: usize = plan.replicas.values().map(|count| count.saturating_sub(most)).sum();
    let below: usize = plan.replicas.values().map(|count| fewest.saturating_sub(*count)).sum();
    RebalanceProgress { partitions_left: leaving + under_way + above.max(below), partitions_blocked: blocked }
}

impl<'a> Plan<'a> {
    fn new(image: &'a Image) -> Plan<'a> {
        let takes = image.brokers().filter(|broker| broker.is_active() && !image.is_cordoned(broker.id));
        let replicas: BTreeMap<_, _> = takes.map(|broker| (broker.id, 0)).collect();
        let leaders = replicas.clone();
        let mut plan = Plan { image, replicas, leaders, partitions: Vec::new() };
        // By name, so that what happens when does not hang on random identities.
        for (_, id) in image.topic_names() {
            let Some(topic) = image.topic(id) else { continue };
            for (index, state) in (0..).zip(&topic.partitions) {
                let stays = |id: &BrokerId| !state.removing.contains(id);
                let replicas: Vec<_> = state.replicas.iter().copied().filter(stays).collect();
                plan.count(&replicas, 1);
                let is_settled = state.is_reassigning();
                let partition = PartitionId(index);
                plan.partitions.push(Planned { topic: id, partition, replicas, is_settled, is_moved: false });
            }
        }
        plan
    }

    fn count(&mut self, replicas: &[BrokerId], change: isize) {
        for id in replicas {
            if let Some(count) = self.replicas.get_mut(id) {
                *count = count.saturating_add_signed(change);
            }
        }
        if let Some(count) = replicas.first().and_then(|id| self.leaders.get_mut(id)) {
            *count = count.saturating_add_signed(change);
        }
    }

    fn set(&mut self, at: usize, replicas: Vec<BrokerId>) {
        let old = std::mem::replace(&mut self.partitions[at].replicas, replicas.clone());
        self.count(&old, -1);
        self.count(&replicas, 1);
        (self.partitions[at].is_settled, self.partitions[at].is_moved) = (true, true);
    }

    fn moves(self) -> Vec<Move> {
        let moved = self.partitions.into_iter().filter(|planned| planned.is_moved);
        let one = |Planned { topic, partition, replicas, .. }| Move { topic, partition, replicas };
        moved.map(one).collect()
    }

    fn empty_cordoned(&mut self, left: &mut usize) {
        for at in 0..self.partitions.len() {
            if *left == 0 {
                return;
            }
            if self.partitions[at].is_settled {
                continue;
            }
            let mut replicas = self.partitions[at].replicas.clone();
            let mut is_moved = false;
            for place in 0..replicas.len() {
                let old = replicas[place];
                if !self.image.is_cordoned(old) {
                    continue;
                }
                let others: Vec<_> = replicas.iter().copied().filter(|id| *id != old).collect();
                if let Some(taker) = self.taker(&others, Some(old), place == 0) {
                    replicas[place] = taker;
                    is_moved = true;
                }
            }
            if is_moved {
                self.set(at, replicas);
                *left -= 1;
            }
        }
    }

    /// Who takes a replica beside these others: on a rack that they are not on, if there is one, with the fewest replicas.
    fn taker(&self, others: &[BrokerId], old: Option<BrokerId>, is_preferred: bool) -> Option<BrokerId> {
        let free = self.replicas.iter().filter(|(id, _)| !others.contains(id) && Some(**id) != old);
        let cost = |id: &BrokerId, count: usize| {
            let leaders = self.leaders.get(id).copied().unwrap_or(0);
            (self.on_rack_of(others, *id), count, if is_preferred { leaders } else { 0 }, *id)
        };
        free.min_by_key(|(id, count)| cost(id, **count)).map(|(id, _)| *id)
    }

    fn rack(&self, id: BrokerId) -> Option<&str> {
        self.image.broker(id).and_then(|broker| broker.rack.as_deref())
    }

    /// How many of these stand on the rack of another one. Brokers without a rack stand together.
    fn on_rack_of(&self, others: &[BrokerId], id: BrokerId) -> usize {
        others.iter().filter(|other| self.rack(**other) == self.rack(id)).count()
    }

    fn even_out_replicas(&mut self, left: &mut usize) {
        while *left > 0 && self.even_out_one_replica() {
            *left -= 1;
        }
    }

    /// One replica goes from a broker with more to one with at least two fewer.
    fn even_out_one_replica(&mut self) -> bool {
        let mut by_count: Vec<_> = self.replicas.iter().map(|(id, count)| (*count, *id)).collect();
        by_count.sort_unstable();
        for (most, from) in by_count.iter().rev() {
            for (fewest, to) in by_count.iter().take_while(|(fewest, _)| fewest + 2 <= *most) {
                debug_assert!(fewest < most);
                if let Some((at, place)) = self.find_replica(*from, *to) {
                    let mut replicas = self.partitions[at].replicas.clone();
                    replicas[place] = *to;
                    self.set(at, replicas);
                    return true;
                }
            }
        }
        false
    }

    /// A partition that can give its replica on one broker to the other without standing on fewer racks. Rather one that
    /// the giver does not lead, unless the giver leads much, too.
    fn find_replica(&self, from: BrokerId, to: BrokerId) -> Option<(usize, usize)> {
        let leaders = |id| self.leaders.get(&id).copied().unwrap_or(0);
        let gives_leader = leaders(from) > leaders(to);
        let mut second = None;
        for (at, planned) in self.partitions.iter().enumerate() {
            let replicas = &planned.replicas;
            if planned.is_settled || replicas.contains(&to) {
                continue;
            }
            let Some(place) = replicas.iter().position(|id| *id == from) else { continue };
            let others: Vec<_> = replicas.iter().copied().filter(|id| *id != from).collect();
            if self.on_rack_of(&others, to) > self.on_rack_of(&others, from) {
                continue;
            }
            if (place == 0) == gives_leader {
                return Some((at, place));
            }
            second = second.or(Some((at, place)));
        }
        second
    }

    fn even_out_leaders(&mut self, left: &mut usize) {
        while *left > 0 {
            let Some(path) = self.leader_path() else { return };
            // The last step first, so that no step undoes another one.
            for (at, to) in path.into_iter().rev() {
                let mut replicas = self.partitions[at].replicas.clone();
                replicas.retain(|id| *id != to);
                replicas.insert(0, to);
                self.set(at, replicas);
                *left = left.saturating_sub(1);
            }
        }
    }

    /// The steps by which a broker that is the preferred leader of too many hands one on, over others if need be, to one
    /// that has at least two fewer.
    fn leader_path(&self) -> Option<Vec<(usize, BrokerId)>> {
        let edges = self.leader_edges();
        let mut by_count: Vec<_> = self.leaders.iter().map(|(id, count)| (*count, *id)).collect();
        by_count.sort_unstable();
        let fewest = by_count.first()?.0;
        by_count.into_iter().rev().take_while(|(count, _)| *count >= fewest + 2).find_map(|(count, from)| {
            let is_goal = |id: BrokerId| self.leaders.get(&id).is_some_and(|other| other + 2 <= count);
            path_to(&edges, from, is_goal)
        })
    }

    /// Which broker can hand a leadership to which, and of which partition.
    fn leader_edges(&self) -> BTreeMap<BrokerId, BTreeMap<BrokerId, usize>> {
        let mut edges: BTreeMap<BrokerId, BTreeMap<BrokerId, usize>> = BTreeMap::new();
        for (at, planned) in self.partitions.iter().enumerate().filter(|(_, planned)| !planned.is_settled) {
            let Some((first, others)) = planned.replicas.split_first() else { continue };
            for other in others.iter().filter(|id| self.leaders.contains_key(id)) {
                edges.entry(*first).or_default().entry(*other).or_insert(at);
            }
        }
        edges
    }
}

/// The shortest path from a broker to a goal, as the partitions of its steps and to whom each goes.
fn path_to(
    edges: &BTreeMap<BrokerId, BTreeMap<BrokerId, usize>>,
    from: BrokerId,
    is_goal: impl Fn(BrokerId) -> bool,
) -> Option<Vec<(usize, BrokerId)>> {
    let mut seen = BTreeSet::from([from]);
    let mut waiting = VecDeque::from([(from, Vec::new())]);
    while let Some((at, path)) = waiting.pop_front() {
        for (to, partition) in edges.get(&at).into_iter().flatten() {
            if !seen.insert(*to) {
                continue;
            }
            let mut path: Vec<(usize, BrokerId)> = path.clone();
            path.push((*partition, *to));
            if is_goal(*to) {
                return Some(path);
            }
            waiting.push_back((*to, path));
        }
    }
    None
}
