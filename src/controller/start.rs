//! What has to be there before anything is reconciled. What is missing is waited for, and `/readyz` says what it is.

use std::{fmt::Debug, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use kube::{Api, Client, Resource, api::ListParams, core::DeserializeGuard};
use serde::de::DeserializeOwned;

use super::describe;
use crate::{
    api::{DockerHost, DockerService, GROUP, ProxmoxCluster, ProxmoxVM},
    telemetry::Telemetry,
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How long an attempt may take with the pause after it: some requests, each limited in time.
const LIVENESS: Duration = Duration::from_secs(240);

/// Tries until it succeeds. The check is passed then and asked for no more.
pub async fn until_done<T, F>(telemetry: &Telemetry, name: &str, attempt: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let check = telemetry.health.check(name);
    let pulse = telemetry.health.pulse(name, LIVENESS);
    let mut known = String::new();
    loop {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .without_max_times()
            .with_jitter();
        let done = (|| {
            pulse.beat();
            attempt()
        })
        .retry(pauses)
        .notify(|error: &String, pause| {
            check.fail(error);
            if known != *error {
                tracing::warn!(step = name, error, retry_after = ?pause, "cannot start yet");
                known.clone_from(error);
            }
        })
        .await;
        if let Ok(done) = done {
            pulse.retire();
            check.retire();
            return done;
        }
    }
}

/// Whether Kubernetes knows the kinds, and lets us list them.
///
/// # Errors
/// What to do about it.
pub async fn definitions(client: &Client) -> Result<(), String> {
    definition::<ProxmoxCluster>(client).await?;
    definition::<ProxmoxVM>(client).await?;
    definition::<DockerHost>(client).await?;
    definition::<DockerService>(client).await
}

async fn definition<K>(client: &Client) -> Result<(), String>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let kind = K::kind(&());
    match Api::<DeserializeGuard<K>>::all(client.clone()).list(&ListParams::default().limit(1)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Err(format!(
            "Kubernetes does not know {kind} of {GROUP}: apply the custom resource definitions (cloudfaster crds | kubectl \
             apply --server-side -f -)"
        )),
        Err(error) => Err(format!("{kind} cannot be listed: {}", describe(&error))),
    }
}
