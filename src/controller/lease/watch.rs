//! The changes of the Lease as they come. Where they may not be watched, looking now and then has to do.

use std::time::Duration;

use futures::{StreamExt, stream::BoxStream};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{WatchEvent, WatchParams},
};
use tokio::time::{Instant, sleep_until};

use crate::controller::describe;

/// How long a watch lasts, in seconds, so that one that died in silence is replaced.
const LASTS: u32 = 60;
/// The pause after a refusal: the right may be missing.
const REFUSED: Duration = Duration::from_secs(60);

/// A watch that is begun anew when it ends.
pub struct Watch {
    api: Api<Lease>,
    params: WatchParams,
    events: Option<BoxStream<'static, kube::Result<WatchEvent<Lease>>>>,
    /// Not before this time.
    again: Instant,
    pause: Duration,
}

impl Watch {
    /// A watch that has not begun; `pause` is the least time between its beginnings.
    pub fn new(api: Api<Lease>, name: &str, pause: Duration) -> Self {
        let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(LASTS);
        Self { api, params, events: None, again: Instant::now(), pause }
    }

    /// The next change after that version: the Lease, or nothing if it is gone.
    pub async fn next(&mut self, version: Option<&str>) -> Option<Lease> {
        loop {
            let Some(events) = &mut self.events else {
                sleep_until(self.again).await;
                self.again = Instant::now() + self.pause;
                match self.api.watch(&self.params, version.unwrap_or("0")).await {
                    Ok(events) => self.events = Some(events.boxed()),
                    Err(error) => {
                        tracing::debug!(error = describe(&error), "the Lease cannot be watched");
                        if matches!(&error, kube::Error::Api(status) if status.is_forbidden()) {
                            self.again = Instant::now() + REFUSED;
                        }
                    }
                }
                continue;
            };
            match events.next().await {
                Some(Ok(WatchEvent::Added(lease) | WatchEvent::Modified(lease))) => return Some(lease),
                Some(Ok(WatchEvent::Deleted(_))) => return None,
                Some(Ok(WatchEvent::Bookmark(_))) => {}
                Some(Ok(WatchEvent::Error(_)) | Err(_)) | None => self.events = None,
            }
        }
    }
}
