//! From one number of brokers to another, and nothing lost on the way: who comes gets a vote and its share of the replicas,
//! who goes gives both back first.

use std::time::Duration;

use anyhow::{Context, bail};
use client::Admin;
use client::node::ClusterState;
use resources::voters;
use tokio::time::{Instant, sleep};
use types::Uuid;

use super::brokers::Brokers;
use super::status::{Mood, Status};

const LOOK: Duration = Duration::from_millis(250);
/// A cluster that has just changed may have no leader for a moment.
const VOTE_PATIENCE: Duration = Duration::from_secs(30);

/// What scaling needs.
pub(super) struct Scale<'a> {
    pub(super) status: Status,
    pub(super) cluster: &'a str,
    pub(super) admin: &'a Admin,
    pub(super) brokers: &'a mut Brokers,
}

impl Scale<'_> {
    /// Lets the first brokers vote, with the disks that they have, and nobody else.
    pub(super) async fn match_votes(&self, replicas: i32) -> anyhow::Result<()> {
        let deadline = Instant::now() + VOTE_PATIENCE;
        while let Err(error) = self.next_vote(voters(replicas)).await {
            // One change at a time, and each may come with an election.
            if Instant::now() > deadline {
                return Err(error.context("not all brokers that are to vote do so"));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn next_vote(&self, voters: i32) -> anyhow::Result<()> {
        let mut wanted = Vec::new();
        for (id, node) in self.brokers.iter().filter(|(id, _)| *id < voters) {
            let directory: Uuid = client::node::state(node.admin())
                .await?
                .directory_id
                .parse()
                .map_err(|_| anyhow::anyhow!("{} does not name its directory", node.name()))?;
            wanted.push((id, directory));
        }
        let has = self.admin.describe_quorum().await?.voters;
        let has: Vec<_> = has.iter().map(|voter| (voter.node_id, voter.directory_id)).collect();
        // A disk that was wiped is another voter: the old one goes before the new one comes.
        let is_replaced =
            |(id, directory): &(i32, Uuid)| wanted.iter().any(|(w, d)| w == id && d != directory);
        for (id, directory) in has.iter().filter(|voter| is_replaced(voter)) {
            self.admin.remove_raft_voter(*id, *directory).await?;
        }
        for (id, directory) in wanted.iter().filter(|voter| !has.contains(voter)) {
            let port = self.brokers.ports(*id)?.controller;
            self.admin.add_raft_voter(*id, *directory, super::brokers::HOST, port).await?;
            self.say(Mood::Good, &format!("broker {id} votes"))?;
        }
        for (id, directory) in has.iter().filter(|(id, _)| wanted.iter().all(|(wanted, _)| wanted != id)) {
            self.admin.remove_raft_voter(*id, *directory).await?;
            self.say(Mood::Good, &format!("broker {id} votes no longer"))?;
        }
        Ok(())
    }

    /// Gives new brokers their share.
    pub(super) async fn spread(&self, replicas: i32) -> anyhow::Result<()> {
        self.move_replicas(&[], "spreading replicas", |state| {
            !state.rebalance.is_active && state.reassigning == 0
        })
        .await?;
        self.say(Mood::Good, &format!("replicas are spread over {replicas} brokers"))
    }

    /// Moves everything off the brokers from `replicas` on, stops them and forgets them.
    pub(super) async fn shrink(&mut self, replicas: i32) -> anyhow::Result<()> {
        let going: Vec<i32> = self.brokers.iter().map(|(id, _)| id).filter(|id| *id >= replicas).collect();
        if going.is_empty() {
            return Ok(());
        }
        let is_empty = |state: &ClusterState| {
            let left = state.brokers.iter().filter(|broker| going.contains(&broker.id));
            left.into_iter().all(|broker| broker.is_empty())
        };
        let names: Vec<_> = going.iter().map(i32::to_string).collect();
        let what = format!("moving replicas off broker {}", names.join(", "));
        self.move_replicas(&going, &what, is_empty).await?;
        self.match_votes(replicas).await?;
        for id in going.iter().rev() {
            self.brokers.remove(*id).await?;
            self.admin.unregister_broker(*id).await?;
            self.say(Mood::Good, &format!("broker {id} is gone; all that it had is on the others"))?;
        }
        Ok(())
    }

    async fn move_replicas(
        &self,
        cordoned: &[i32],
        what: &str,
        is_done: impl Fn(&ClusterState) -> bool,
    ) -> anyhow::Result<()> {
        let (_, node) = self.brokers.iter().next().context("a cluster has a broker")?;
        let token = node.token()?;
        client::node::cordon(node.admin(), &token, cordoned).await?;
        client::node::rebalance(node.admin(), &token, None).await?;
        let mut told = None;
        loop {
            let state = client::node::state(node.admin()).await?.cluster;
            let Some(state) = state else { bail!("{} does not know its cluster", node.name()) };
            if is_done(&state) {
                return Ok(());
            }
            let left = state.rebalance.partitions_left;
            if state.rebalance.partitions_blocked > 0 && left == state.rebalance.partitions_blocked {
                bail!(
                    "{what}: {left} partitions have nowhere to go: lower their replicas, or keep the brokers"
                );
            }
            if told != Some(left) {
                told = Some(left);
                let partitions = crate::output::counted(left, "partition");
                self.say(Mood::Working, &format!("{what}: {partitions} left"))?;
            }
            sleep(LOOK).await;
        }
    }

    fn say(&self, mood: Mood, text: &str) -> anyhow::Result<()> {
        self.status.say(mood, self.cluster, text)
    }
}
