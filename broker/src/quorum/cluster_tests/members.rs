//! Who votes, who only follows, and how that changes.

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
    assert!(described.observers[0].log_end > 0 && described.observers[0].last_caught_up_ms > 0);
}
