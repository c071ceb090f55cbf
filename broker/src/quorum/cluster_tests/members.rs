//! Who votes, who only follows, and how that changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver as _;
use types::Uuid;

use super::super::VotersError;
use super::super::raft::{Membership, VoterAddress, VoterId};
use super::{CLUSTER, Cluster, NEVER, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_without_a_vote_follows_and_passes_on() {
    let cluster = Cluster::new(4, NEVER).await;
    cluster.found_by(3).await.unwrap();
    let newcomer = cluster.node(3);
    eventually("the cluster", || newcomer.quorum.data_dir.cluster_id()).await;
    assert_eq!(newcomer.quorum.data_dir.cluster_id().as_deref(), Some(CLUSTER));
    let leader = cluster.leader().await;
    cluster.node(0).register().await;
    assert_eq!(newcomer.create("a").await, Ok(true));
    assert!(newcomer.image().topic_named("a").is_some(), "it answered before it knew");
    assert_eq!(newcomer.quorum.status().leader, i32::try_from(leader).ok());
    let described = newcomer.quorum.describe().await.unwrap();
    assert_eq!(described.voters.iter().map(|voter| voter.node).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(described.observers.iter().map(|one| one.node).collect::<Vec<_>>(), [3]);
    // Whoever leads next knows of it, too: it asks the voter that is tailed.
    cluster.node(leader).quorum.service().unwrap().hand_over().await;
    assert_ne!(cluster.leader().await, leader);
    let again = newcomer.quorum.describe().await.unwrap();
    assert_eq!(again.observers.iter().map(|one| one.node).collect::<Vec<_>>(), [3]);
    assert!(described.observers[0].log_end > 0 && described.observers[0].last_caught_up_ms > 0);
}

fn id(cluster: &Cluster, node: usize) -> (i32, Uuid) {
    (i32::try_from(node).unwrap(), cluster.node(node).quorum.data_dir.directory_id())
}

impl Cluster {
    /// Adds a voter through another node.
    async fn add(&self, through: usize, node: usize) -> Result<(), VotersError> {
        let (node, directory) = id(self, node);
        let port = self.ports[usize::try_from(node).unwrap()];
        self.node(through).quorum.add_voter(node, directory, "127.0.0.1".to_owned(), port).await
    }

    async fn remove(&self, through: usize, (node, directory): (i32, Uuid)) -> Result<(), VotersError> {
        self.node(through).quorum.remove_voter(node, directory).await
    }

    async fn voters(&self, through: usize) -> Vec<i32> {
        let described = self.node(through).quorum.describe().await.unwrap();
        described.voters.iter().map(|voter| voter.node).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voters_come_and_go_and_nothing_is_forgotten() {
    let mut cluster = Cluster::new(3, NEVER).await;
    cluster.found_by(1).await.unwrap();
    cluster.node(0).register().await;
    assert_eq!(cluster.node(0).create("a").await, Ok(true));
    assert_eq!(cluster.remove(0, id(&cluster, 0)).await, Err(VotersError::Last { node: 0 }));
    for node in [1, 2] {
        cluster.node(node).knows("a").await;
        cluster.add(node, node).await.unwrap();
    }
    assert_eq!(cluster.voters(2).await, [0, 1, 2]);
    // Whoever leads is removed too, by the next one.
    let leader = cluster.leader().await;
    let other = (leader + 1) % 3;
    let gone = id(&cluster, leader);
    cluster.remove(leader, gone).await.unwrap();
    assert!(!cluster.voters(other).await.contains(&gone.0));
    assert_eq!(
        cluster.remove(other, gone).await,
        Err(VotersError::NotFound { node: gone.0, directory: gone.1 })
    );
    assert_eq!(cluster.node(other).create("b").await, Ok(true));
    // It follows on, and what is asked of it is passed on.
    cluster.node(leader).knows("b").await;
    assert_eq!(cluster.node(leader).create("c").await, Ok(true));
    // One of the two that are left goes and comes back: the two of them vote again.
    let last = (leader + 2) % 3;
    cluster.kill(last).await;
    cluster.start(last).await;
    assert_eq!(cluster.node(other).create("d").await, Ok(true));
    cluster.add(other, leader).await.unwrap();
    cluster.kill(last).await;
    while cluster.node(leader).create("e").await.is_err() {}
    assert!(cluster.node(leader).image().topic_named("e").is_some(), "its vote counts again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_voter_is_replaced_by_itself() {
    let mut cluster = Cluster::founded(3).await;
    cluster.node(0).register().await;
    let victim = (cluster.leader().await + 1) % 3;
    let old = id(&cluster, victim);
    cluster.kill(victim).await;
    std::fs::remove_dir_all(cluster.path(victim)).unwrap();
    cluster.start(victim).await;
    let other = (victim + 1) % 3;
    let duplicate = VotersError::Duplicate { node: old.0, directory: old.1 };
    assert_eq!(cluster.add(other, victim).await, Err(duplicate));
    cluster.remove(other, old).await.unwrap();
    let wrong =
        cluster.node(other).quorum.add_voter(old.0, old.1, "127.0.0.1".to_owned(), cluster.ports[victim]);
    let refused = wrong.await.unwrap_err();
    assert!(matches!(&refused, VotersError::Voter { problem } if problem.contains("directory")), "{refused}");
    eventually("the cluster", || cluster.node(victim).quorum.data_dir.cluster_id()).await;
    cluster.add(victim, victim).await.unwrap();
    assert_eq!(cluster.voters(victim).await, [0, 1, 2]);
    assert_eq!(cluster.node(victim).create("a").await, Ok(true));
    let leader = cluster.leader().await;
    cluster.kill(leader).await;
    let left = (leader + 1) % 3;
    // What was under way at the leader when it died may have been done or not.
    while cluster.node(left).create("b").await.is_err() {}
    assert!(cluster.node(left).image().topic_named("b").is_some(), "two of three voters are enough");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_never_comes_is_not_added() {
    let cluster = Cluster::founded(2).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = Uuid::from_random([7; 16]);
    let refused = cluster.node(1).quorum.add_voter(7, directory, "127.0.0.1".to_owned(), nobody).await;
    assert!(matches!(refused, Err(VotersError::Voter { .. })), "{refused:?}");
    assert_eq!(cluster.voters(0).await, [0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_completes_what_a_dead_one_began() {
    let mut cluster = Cluster::new(4, NEVER).await;
    cluster.found_by(3).await.unwrap();
    let leader = cluster.leader().await;
    cluster.node(leader).register().await;
    let (node, directory) = id(&cluster, 3);
    let newcomer = VoterId { node, directory };
    let address = VoterAddress { host: "127.0.0.1".to_owned(), port: cluster.ports[3] };
    {
        let raft = &cluster.node(leader).quorum.service().unwrap().raft;
        raft.add_learner(newcomer, address, true).await.unwrap();
        // Only the first half of a change.
        let known = raft.metrics().borrow_watched().membership_config.membership().clone();
        let old: BTreeSet<VoterId> = known.voter_ids().collect();
        let new = old.iter().copied().chain([newcomer]).collect();
        let nodes: BTreeMap<_, _> = known.nodes().map(|(id, address)| (*id, address.clone())).collect();
        let joint = Membership::new(vec![old, new], nodes).unwrap();
        raft.append_membership(joint, openraft::EntryPayload::Blank, []).await.unwrap();
    }
    cluster.kill(leader).await;
    let other = (leader + 1) % 3;
    let completed = async || {
        loop {
            let described = cluster.node(other).quorum.describe().await;
            if let Ok(described) = described
                && !described.is_changing
                && described.voters.len() == 4
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(super::PATIENCE, completed()).await.unwrap();
    assert_eq!(cluster.node(other).create("a").await, Ok(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_asker_went_away_is_completed() {
    let mut cluster = Cluster::founded(3).await;
    let leader = cluster.leader().await;
    let (gone, down) = ((leader + 1) % 3, (leader + 2) % 3);
    let old = id(&cluster, gone);
    cluster.kill(gone).await;
    cluster.kill(down).await;
    // One of three cannot commit the first half, and whoever asked does not wait for it.
    let asked = tokio::time::timeout(Duration::from_millis(500), cluster.remove(leader, old)).await;
    assert!(asked.is_err(), "{asked:?}");
    cluster.start(down).await;
    let removed = async || {
        loop {
            let described = cluster.node(down).quorum.describe().await;
            if described.is_ok_and(|described| !described.is_changing && described.voters.len() == 2) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(super::PATIENCE, removed()).await.unwrap();
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_disk_that_is_put_back_is_filled_again() {
    let mut cluster = Cluster::founded(3).await;
    let leader = cluster.leader().await;
    let (victim, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.node(leader).register().await;
    assert_eq!(cluster.node(leader).create("a").await, Ok(true));
    cluster.node(victim).knows("a").await;
    let old = cluster.folder.path().join("old");
    cluster.kill(victim).await;
    copy(&cluster.path(victim), &old);
    cluster.start(victim).await;
    for name in ["b", "c", "d"] {
        assert_eq!(cluster.node(leader).create(name).await, Ok(true));
    }
    cluster.node(victim).knows("d").await;
    cluster.kill(victim).await;
    std::fs::remove_dir_all(cluster.path(victim)).unwrap();
    copy(&old, &cluster.path(victim));
    cluster.start(victim).await;
    cluster.node(victim).knows("d").await;
    assert_eq!(cluster.node(other).create("e").await, Ok(true));
    cluster.node(victim).knows("e").await;
    assert!(cluster.node(leader).quorum.status().is_leader, "the leader did not suffer");
}
