//! From one number of brokers to another: does, one after the other, the steps that `resources::scale` names, as the operator
//! does on Kubernetes.

use std::time::Duration;

use anyhow::{Context, bail};
use client::{Admin, node};
use resources::{Directory, ScaleBroker, ScaleSight, ScaleStep, scale};
use tokio::time::{Instant, sleep};

use super::brokers::{Brokers, HOST};
use super::status::{Mood, Status};

const LOOK: Duration = Duration::from_millis(250);
/// A cluster that has just changed may have no leader for a moment.
const PATIENCE: Duration = Duration::from_secs(30);

/// What scaling needs.
pub(super) struct Scale<'a> {
    pub(super) status: Status,
    pub(super) cluster: &'a str,
    pub(super) admin: &'a Admin,
    pub(super) brokers: &'a mut Brokers,
}

impl Scale<'_> {
    /// Goes on until there are `replicas` brokers; with `spread` they also get their share of what there is.
    pub(super) async fn follow(&mut self, replicas: i32, spread: bool) -> anyhow::Result<()> {
        let mut is_to_spread = spread;
        let mut told = None;
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            let outcome = match self.look(replicas, is_to_spread).await {
                Ok(step) => Box::pin(self.take(&step, replicas)).await.map(|()| step),
                Err(error) => Err(error),
            };
            match outcome {
                Ok(ScaleStep::Done) => break,
                // What another life of this program began, the brokers finish by themselves.
                Ok(ScaleStep::Moving { off, .. }) if off.is_empty() && !spread => return Ok(()),
                Ok(ScaleStep::Blocked(problem)) => bail!("{problem}"),
                Ok(ScaleStep::Waiting(problem)) if Instant::now() > deadline => bail!("{problem}"),
                // One change of voters at a time, and each may come with an election.
                Err(error) if Instant::now() > deadline => return Err(error),
                Ok(ScaleStep::Waiting(_)) | Err(_) => {
                    sleep(LOOK).await;
                    continue;
                }
                Ok(ScaleStep::Rebalance) => is_to_spread = false,
                Ok(ScaleStep::Moving { off, left }) => {
                    if told != Some(left) {
                        told = Some(left);
                        self.say(Mood::Working, &moving(&off, left))?;
                    }
                    sleep(LOOK).await;
                }
                Ok(_) => {}
            }
            deadline = Instant::now() + PATIENCE;
        }
        if spread {
            self.say(Mood::Good, &format!("replicas are spread over {replicas} brokers"))?;
        }
        Ok(())
    }

    async fn look(&self, replicas: i32, is_to_spread: bool) -> anyhow::Result<ScaleStep> {
        let mut nodes: Vec<Directory> = Vec::new();
        let mut answers = Vec::new();
        for (id, node) in self.brokers.iter() {
            let answer = node::state(node.admin()).await?;
            let directory = answer.directory_id.parse();
            nodes.push((
                id,
                directory.map_err(|_| anyhow::anyhow!("{} does not name its directory", node.name()))?,
            ));
            answers.push(answer);
        }
        let state = node::cluster(answers.iter()).context("no broker knows its cluster")?;
        let voters = self.admin.describe_quorum().await?.voters;
        let registered = state.brokers.iter().map(|broker| ScaleBroker {
            id: broker.id,
            is_fenced: broker.is_fenced,
            is_cordoned: broker.is_cordoned,
            is_empty: broker.is_empty(),
        });
        Ok(scale(&ScaleSight {
            wanted: replicas,
            running: self.brokers.iter().map(|(id, _)| id + 1).max().unwrap_or(0),
            nodes,
            voters: Some(voters.iter().map(|voter| (voter.node_id, voter.directory_id)).collect()),
            brokers: registered.collect(),
            widest: state.widest_topic.as_ref().map(|topic| (topic.name.clone(), topic.replicas)),
            is_rebalancing: state.rebalance.is_active,
            rate: None,
            wanted_rate: None,
            left: state.rebalance.partitions_left,
            stuck: state.rebalance.partitions_blocked,
            is_to_spread,
            // On one machine the first brokers vote, whatever the spec says of controllers.
            controllers: None,
        }))
    }

    async fn take(&mut self, step: &ScaleStep, replicas: i32) -> anyhow::Result<()> {
        let (_, first) = self.brokers.iter().next().context("a cluster has a broker")?;
        match step {
            ScaleStep::Cordon(ids) => node::cordon(first.admin(), &first.token()?, ids).await?,
            ScaleStep::Rebalance => node::rebalance(first.admin(), &first.token()?, None).await?,
            ScaleStep::AddVoter((id, directory)) => {
                let port = self.brokers.ports(*id)?.controller;
                self.admin.add_raft_voter(*id, *directory, HOST, port).await?;
                self.say(Mood::Good, &format!("broker {id} votes"))?;
            }
            ScaleStep::RemoveVoter((id, directory)) => {
                self.admin.remove_raft_voter(*id, *directory).await?;
                self.say(Mood::Good, &format!("broker {id} votes no longer"))?;
            }
            ScaleStep::Stop => {
                let going: Vec<_> =
                    self.brokers.iter().map(|(id, _)| id).filter(|id| *id >= replicas).collect();
                for id in going.into_iter().rev() {
                    self.brokers.remove(id).await?;
                }
            }
            ScaleStep::Unregister(id) => {
                self.admin.unregister_broker(*id).await?;
                self.say(Mood::Good, &format!("broker {id} is gone; all that it had is on the others"))?;
            }
            ScaleStep::Done
            | ScaleStep::StopControllers
            | ScaleStep::Moving { .. }
            | ScaleStep::Waiting(_)
            | ScaleStep::Blocked(_) => {}
        }
        Ok(())
    }

    fn say(&self, mood: Mood, text: &str) -> anyhow::Result<()> {
        self.status.say(mood, self.cluster, text)
    }
}

fn moving(off: &[i32], left: usize) -> String {
    let partitions = crate::output::counted(left, "partition");
    match off {
        [] => format!("spreading replicas: {partitions} left"),
        off => {
            let names: Vec<_> = off.iter().map(i32::to_string).collect();
            format!("moving replicas off broker {}: {partitions} left", names.join(", "))
        }
    }
}
