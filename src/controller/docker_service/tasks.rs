//! What is being done for services on their hosts, and how it ended, as far as this process knows.
//!
//! Actions run on their own: a pull may take minutes, and a reconcile must not. When one ends, its object is woken.

use std::{
    collections::{BTreeMap, HashMap},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    docker::{
        engine::{
            Error,
            outcome::{self, Class, Failure},
        },
        observed::{Progress, TaskSight},
    },
    reason::Reason,
};

/// The longest pause after a failure.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// How long it is remembered that something succeeded: the record of the object knows it much sooner.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

/// What is being done, and was done, by the uids of the objects.
#[derive(Clone)]
pub struct Tasks {
    stop: CancellationToken,
    objects: Arc<Mutex<HashMap<String, HashMap<String, Task>>>>,
    /// Changes whenever something has ended.
    ended: Arc<watch::Sender<u64>>,
}

struct Task {
    state: State,
    failures: u32,
}

enum State {
    Running(watch::Receiver<Progress>),
    Succeeded { at: Timestamp, found: Option<String> },
    Failed { failure: Failure, refused: bool, again: Timestamp },
}

impl Tasks {
    /// None yet. All end when the token is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self { stop, objects: Arc::default(), ended: Arc::new(watch::Sender::new(0)) }
    }

    /// Begins something, unless it is under way; `done` is called when it has ended.
    pub fn begin<F>(
        &self,
        uid: &str,
        key: &str,
        work: impl FnOnce(watch::Sender<Progress>) -> F,
        done: impl FnOnce() + Send + 'static,
    ) where
        F: Future<Output = Result<Option<String>, Error>> + Send + 'static,
    {
        let (progress, seen) = watch::channel(Progress::default());
        {
            let mut objects = self.objects.lock();
            let tasks = objects.entry(uid.to_owned()).or_default();
            let failures = match tasks.get(key) {
                Some(Task { state: State::Running(_), .. }) => return,
                Some(Task { failures, .. }) => *failures,
                None => 0,
            };
            tasks.insert(key.to_owned(), Task { state: State::Running(seen), failures });
        }
        let work = AssertUnwindSafe(work(progress)).catch_unwind();
        let (tasks, uid, key) = (self.clone(), uid.to_owned(), key.to_owned());
        tokio::spawn(async move {
            // What was begun last is cut off with the process, which does no more harm than a crash.
            if let Some(ended) = tasks.stop.clone().run_until_cancelled_owned(work).await {
                // One that never ended would be waited for until the process does.
                let defect = "this failed by a defect of the operator's own; its log says where";
                tasks.end(&uid, &key, ended.unwrap_or_else(|_| Err(Error::Invalid(defect.to_owned()))));
                done();
            }
        });
    }

    fn end(&self, uid: &str, key: &str, ended: Result<Option<String>, Error>) {
        let now = Timestamp::now();
        let mut objects = self.objects.lock();
        if let Some(task) = objects.get_mut(uid).and_then(|tasks| tasks.get_mut(key)) {
            match ended {
                Ok(found) => *task = Task { state: State::Succeeded { at: now, found }, failures: 0 },
                Err(error) => {
                    let failure = outcome::of(&error);
                    tracing::info!(action = key, word = failure.word, %error, "a call failed");
                    let pause = pause(task.failures, failure.class);
                    task.failures = task.failures.saturating_add(1);
                    let again = now.checked_add(pause).unwrap_or(now);
                    task.state = State::Failed { failure, refused: error.refusal().is_some(), again };
                }
            }
        }
        drop(objects);
        self.ended.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// What is known of an object's.
    pub fn sights(&self, uid: &str) -> BTreeMap<String, TaskSight> {
        let mut objects = self.objects.lock();
        let Some(tasks) = objects.get_mut(uid) else { return BTreeMap::new() };
        let now = Timestamp::now();
        tasks.retain(
            |_, task| !matches!(task.state, State::Succeeded { at, .. } if now.duration_since(at) > REMEMBERED),
        );
        tasks.iter().map(|(key, task)| (key.clone(), sight(&task.state))).collect()
    }

    /// Waits until none of these is under way, but not longer than this.
    pub async fn settle(&self, uid: &str, keys: &[String], limit: Duration) {
        let mut ended = self.ended.subscribe();
        let runs = || {
            let objects = self.objects.lock();
            let tasks = objects.get(uid);
            let state = |key: &String| tasks.and_then(|tasks| tasks.get(key)).map(|task| &task.state);
            keys.iter().any(|key| matches!(state(key), Some(State::Running(_))))
        };
        // What is not over by then is told by its progress.
        let _ = timeout(limit, async { while runs() && ended.changed().await.is_ok() {} }).await;
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        self.objects.lock().remove(uid);
    }
}

/// A look costs nothing, so what may or may not have happened is looked at again at once the first time.
fn pause(failures: u32, class: Class) -> SignedDuration {
    if failures == 0 && class == Class::LookAgain {
        return SignedDuration::ZERO;
    }
    SignedDuration::from_secs(1 << failures.min(9)).min(LONGEST_PAUSE)
}

fn sight(state: &State) -> TaskSight {
    match state {
        State::Running(progress) => TaskSight::Running(progress.borrow().clone()),
        State::Succeeded { at, found } => TaskSight::Succeeded { at: *at, found: found.clone() },
        State::Failed { failure, refused, again } => TaskSight::Failed {
            reason: Reason::new(failure.word, failure.message.clone()),
            class: failure.class,
            refused: *refused,
            again: *again,
        },
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_is_under_way_is_not_begun_again_and_wakes_when_it_ends() {
        let tasks = Tasks::new(CancellationToken::new());
        let (release, released) = oneshot::channel::<()>();
        let (woken, wakes) = oneshot::channel();
        let work = |progress: watch::Sender<Progress>| async move {
            progress.send_replace(Progress { bytes: 7, ..Progress::default() });
            let _ = released.await;
            Ok(None)
        };
        tasks.begin("uid", "pull nginx", work, move || woken.send(()).unwrap());
        tasks.begin("uid", "pull nginx", |_| async { panic!("it is begun twice") }, || {});
        assert!(matches!(tasks.sights("uid")["pull nginx"], TaskSight::Running(_)));
        assert!(tasks.sights("other").is_empty());
        release.send(()).unwrap();
        wakes.await.unwrap();
        assert!(matches!(tasks.sights("uid")["pull nginx"], TaskSight::Succeeded { .. }));
        tasks.forget("uid");
        assert!(tasks.sights("uid").is_empty());
    }

    #[tokio::test]
    async fn one_that_panics_has_failed() {
        let tasks = Tasks::new(CancellationToken::new());
        tasks.begin("uid", "start 1", |_| async { panic!("on purpose") }, || {});
        tasks.settle("uid", &["start 1".to_owned()], Duration::from_secs(60)).await;
        let TaskSight::Failed { reason, class, .. } = &tasks.sights("uid")["start 1"] else {
            panic!("it did not fail")
        };
        assert!(*class == Class::Stalled && reason.message.contains("defect of the operator's own"), "{reason:?}");
    }

    #[tokio::test]
    async fn what_failed_pauses_longer_and_longer() {
        let tasks = Tasks::new(CancellationToken::new());
        let mut pauses = Vec::new();
        for _ in 0..4 {
            let fails = |_| async { Err(Error::Invalid("no".to_owned())) };
            tasks.begin("uid", "start 1", fails, || {});
            tasks.settle("uid", &["start 1".to_owned()], Duration::from_secs(60)).await;
            let TaskSight::Failed { again, class, refused, .. } = &tasks.sights("uid")["start 1"] else {
                panic!("it did not fail")
            };
            assert_eq!((*class, *refused), (Class::Stalled, false));
            pauses.push(again.duration_since(Timestamp::now()).as_secs_f64().ceil());
        }
        assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0]);
        assert_eq!(pause(0, Class::LookAgain), SignedDuration::ZERO);
        assert_eq!(pause(40, Class::Retry), LONGEST_PAUSE);
    }
}
