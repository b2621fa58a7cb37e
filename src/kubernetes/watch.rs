//! Watches that survive.

use std::fmt::Debug;

use futures::{Stream, StreamExt, stream};
use kube::{Api, Resource, runtime::watcher};
use serde::de::DeserializeOwned;

use super::describe;

/// How long a watch lasts, in seconds; one that died in silence is noticed soon after.
const WATCH: u32 = 120;

/// Watches objects, and lists them anew after every failure. Kubernetes that comes back may count from an older revision, as
/// after a restore of etcd from a backup: who goes on from the one that was reached would hear nothing until it is reached
/// again, and keep what is not there any more.
pub fn relisting<K>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send
where
    K: Resource + DeserializeOwned + Clone + Debug + Send + 'static,
{
    let begin = move || watcher(api.clone(), config.clone().timeout(WATCH)).boxed();
    stream::unfold((begin(), begin), |(mut events, begin)| async move {
        let event = events.next().await?;
        if event.is_err() {
            events = begin();
        }
        Some((event, (events, begin)))
    })
}

/// Why a watch failed, in a sentence.
pub fn why(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => describe(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}
