//! Turns at work of which only so much is done at a time. They are shared, so that nobody whose servers are slow keeps all
//! others waiting.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many turns there are, and how many of them the work of one namespace and of one user in it may have.
const ALL: usize = 8;
const OF_A_NAMESPACE: usize = 4;
const OF_A_USER: usize = 2;

/// Whose share of the turns it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Share {
    /// The namespace.
    pub namespace: String,
    /// The user of the REST API, of whom several share a namespace.
    pub user: Option<String>,
}

/// The turns.
pub struct Turns {
    all: Arc<Semaphore>,
    /// What namespaces, without a user, and their users may have of them, as long as they have or await any.
    shares: Mutex<HashMap<Share, Arc<Semaphore>>>,
}

/// A turn, until it is dropped.
#[must_use]
pub struct Turn {
    _held: [Option<OwnedSemaphorePermit>; 3],
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL)), shares: Mutex::default() }
    }
}

impl Turns {
    /// Waits for a turn. Whoever has as many as are due to him is not in the way of others.
    pub async fn take(&self, share: &Share) -> Turn {
        let of_user = match &share.user {
            Some(_) => hold(self.due(share.clone(), OF_A_USER)).await,
            None => None,
        };
        let namespace = Share { user: None, ..share.clone() };
        let of_namespace = hold(self.due(namespace, OF_A_NAMESPACE)).await;
        Turn { _held: [of_user, of_namespace, hold(self.all.clone()).await] }
    }

    fn due(&self, share: Share, turns: usize) -> Arc<Semaphore> {
        let mut shares = self.shares.lock();
        shares.retain(|_, due| Arc::strong_count(due) > 1);
        shares.entry(share).or_insert_with(|| Arc::new(Semaphore::new(turns))).clone()
    }
}

/// Nobody closes them, so there is always a permit in the end.
async fn hold(turns: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    turns.acquire_owned().await.ok()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn share(namespace: &str, user: Option<&str>) -> Share {
        Share { namespace: namespace.to_owned(), user: user.map(str::to_owned) }
    }

    /// Takes turns as long as there are any at once.
    fn take_all(turns: &Turns, share: &Share) -> Vec<Turn> {
        std::iter::from_fn(|| turns.take(share).now_or_never()).take(ALL + 1).collect()
    }

    #[test]
    fn nobody_has_all_turns() {
        let turns = Turns::default();
        let first = take_all(&turns, &share("shop", Some("ana")));
        assert_eq!(first.len(), OF_A_USER);
        let second = take_all(&turns, &share("shop", Some("eva")));
        assert_eq!(second.len(), OF_A_USER);
        // The namespace has its share, and the users of another one, of the same names, have theirs.
        assert!(take_all(&turns, &share("shop", Some("ida"))).is_empty());
        assert!(take_all(&turns, &share("shop", None)).is_empty());
        assert_eq!(take_all(&turns, &share("zoo", Some("ana"))).len(), OF_A_USER);
        let third = take_all(&turns, &share("zoo", None));
        assert_eq!(third.len(), OF_A_NAMESPACE);
        assert!(take_all(&turns, &share("bar", None)).is_empty(), "there are not more");
        drop(third);
        assert_eq!(take_all(&turns, &share("bar", None)).len(), OF_A_NAMESPACE);
        drop((first, second));
        assert_eq!(take_all(&turns, &share("shop", None)).len(), OF_A_NAMESPACE);
    }

    #[tokio::test]
    async fn who_waits_has_the_next_turn_and_who_gives_up_has_none() {
        let turns = Turns::default();
        let (shop, zoo) = (share("shop", None), share("zoo", None));
        let mut held = take_all(&turns, &shop);
        let mut waiting = Box::pin(turns.take(&shop));
        assert!(waiting.as_mut().now_or_never().is_none());
        // Another namespace does not wait behind it.
        assert_eq!(take_all(&turns, &zoo).len(), OF_A_NAMESPACE);
        held.pop();
        drop(waiting.await);
        let mut given_up = Box::pin(turns.take(&shop));
        let again = turns.take(&shop).await;
        assert!(given_up.as_mut().now_or_never().is_none());
        drop(given_up);
        drop((held, again));
        assert_eq!(take_all(&turns, &shop).len(), OF_A_NAMESPACE);
        drop(turns.take(&zoo).await);
        assert_eq!(turns.shares.lock().len(), 1, "those of others are forgotten");
    }
}
