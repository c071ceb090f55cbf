//! Who else claims a topic of a cluster. A resource that stays goes by what the watches know; one that is deleted goes by what
//! is true, because what it deletes stays so.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use kube::{Api, ResourceExt};
use resources::KafkaTopic;

use super::plan::is_same_topic;
use crate::run::Context;
use crate::watches;

/// The resources that name the same topic of the same cluster, in whichever namespace.
pub(super) async fn rivals(
    topic: &KafkaTopic,
    is_deleted: bool,
    context: &Context,
) -> anyhow::Result<Vec<KafkaTopic>> {
    let is_rival = |other: &KafkaTopic| is_same_topic(topic, other);
    let known = context.rivals(&is_rival);
    if !is_deleted {
        return Ok(known);
    }
    let own = topic.namespace().unwrap_or_default();
    let api = |namespace: &str| Api::<KafkaTopic>::namespaced(context.client.clone(), namespace);
    let here = {
        let api = api(&own);
        let list =
            async move { watches::list(&api).await.map(Arc::new).map_err(|error| Unlisted(Arc::new(error))) };
        context.listings.ask(&own, list).await?
    };
    let mut all: Vec<_> = here.iter().filter(|other| is_rival(other)).cloned().collect();
    drop(here);
    for other in known {
        let namespace = other.namespace().unwrap_or_default();
        if namespace != own {
            all.extend(api(&namespace).get_opt(&other.name_any()).await?);
        }
    }
    Ok(all)
}

/// All topics of a namespace, as they were at one moment.
pub(crate) type Listing = Result<Arc<Vec<KafkaTopic>>, Unlisted>;

/// Why they could not be read, for all who asked.
#[derive(Clone, Debug)]
pub(crate) struct Unlisted(Arc<kube::Error>);

impl fmt::Display for Unlisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listing KafkaTopics")
    }
}

impl std::error::Error for Unlisted {
    // What stands behind the pointer: whoever follows the chain looks for Kubernetes' own error.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// Reads that are shared by all who ask before they begin, and that go one after the other. Whoever asks gets what was read
/// after they asked; with thousands who ask at once there are few reads, and few answers in memory.
pub(crate) struct Shares<T: Clone> {
    /// What has not begun, by what it reads.
    next: Mutex<HashMap<String, Shared<BoxFuture<'static, T>>>>,
    turn: tokio::sync::Mutex<()>,
}

impl<T: Clone + Send + Sync + 'static> Shares<T> {
    pub(super) async fn ask(
        self: &Arc<Self>,
        key: &str,
        read: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let (shares, own_key) = (Arc::clone(self), key.to_owned());
        let begin = || {
            let read = async move {
                let _turn = shares.turn.lock().await;
                // Too late for whoever asks from now on.
                shares.next().remove(&own_key);
                read.await
            };
            read.boxed().shared()
        };
        let shared = self.next().entry(key.to_owned()).or_insert_with(begin).clone();
        shared.await
    }

    fn next(&self) -> MutexGuard<'_, HashMap<String, Shared<BoxFuture<'static, T>>>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Default for Shares<T> {
    fn default() -> Self {
        Self { next: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }
}

impl<T: Clone> fmt::Debug for Shares<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shares").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::{Shares, Unlisted};

    #[test]
    fn the_api_servers_error_is_found_behind_the_one_that_is_shared() {
        let gone = kube::core::Status::failure("no", "Forbidden").with_code(403).boxed();
        let failure = anyhow::Error::new(Unlisted(Arc::new(kube::Error::Api(gone))));
        assert!(failure.chain().any(|cause| cause.is::<kube::Error>()), "{failure:#}");
    }

    /// Answers with its number once it is let.
    struct Reads {
        shares: Arc<Shares<u32>>,
        begun: Arc<AtomicU32>,
        let_through: Arc<Semaphore>,
    }

    impl Reads {
        fn new() -> Self {
            Self { shares: Arc::default(), begun: Arc::default(), let_through: Arc::new(Semaphore::new(0)) }
        }

        fn ask(&self, key: &'static str) -> tokio::task::JoinHandle<u32> {
            let (shares, begun, let_through) =
                (Arc::clone(&self.shares), Arc::clone(&self.begun), Arc::clone(&self.let_through));
            tokio::spawn(async move {
                let read = async move {
                    let number = begun.fetch_add(1, Ordering::SeqCst) + 1;
                    let_through.acquire().await.expect("it stays open").forget();
                    number
                };
                shares.ask(key, read).await
            })
        }
    }

    /// Lets all tasks come as far as they can.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    async fn numbers(asked: Vec<tokio::task::JoinHandle<u32>>) -> Vec<u32> {
        join_all(asked).await.into_iter().map(|number| number.expect("no panic")).collect()
    }

    #[tokio::test]
    async fn whoever_asks_gets_what_was_read_after_they_asked() {
        let reads = Reads::new();
        let first = vec![reads.ask("kafka")];
        settle().await;
        assert_eq!(reads.begun.load(Ordering::SeqCst), 1, "one read is under way");
        let later: Vec<_> = (0..500).map(|_| reads.ask("kafka")).collect();
        let elsewhere = vec![reads.ask("payments")];
        settle().await;
        assert_eq!(reads.begun.load(Ordering::SeqCst), 1, "one at a time");
        reads.let_through.add_permits(3);
        assert_eq!(numbers(first).await, [1]);
        let later = numbers(later).await;
        let elsewhere = numbers(elsewhere).await;
        assert!(later.iter().all(|number| *number == later[0]), "{later:?}");
        assert_eq!(later[0] + elsewhere[0], 2 + 3, "one each: {} {}", later[0], elsewhere[0]);
        assert!(reads.shares.next().is_empty());
    }

    #[tokio::test]
    async fn a_read_goes_on_when_who_asked_first_is_gone() {
        let reads = Reads::new();
        let first = reads.ask("kafka");
        settle().await;
        let (second, third) = (reads.ask("kafka"), reads.ask("kafka"));
        settle().await;
        first.abort();
        second.abort();
        reads.let_through.add_permits(1);
        assert_eq!(third.await.expect("an answer"), 2);
    }
}
