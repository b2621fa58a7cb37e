//! Removes uploaded archives that no service names any more.

use std::{collections::BTreeSet, time::Duration};

use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{ApiResource, DynamicObject},
};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    api::DockerService,
    artifacts::{self, Artifact, Store},
    kubernetes::describe,
};

/// How often they are looked for.
const SWEEP: Duration = Duration::from_secs(600);
/// How long one is left alone in any case: it is uploaded before its service is made.
const AGE: Duration = Duration::from_secs(3600);
/// How many services are listed at a time.
const PAGE: u32 = 500;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Store(#[from] artifacts::Error),
    #[error("Kubernetes: {}", describe(.0))]
    Kubernetes(#[from] kube::Error),
}

/// Sweeps the store now and then, for as long as it takes.
pub async fn keep_swept(client: Client, store: Store) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match store.sweep(AGE, async || in_use(&client).await).await {
            Ok(removed) => {
                for Artifact { namespace, sha256 } in removed {
                    tracing::info!(namespace, sha256, "an uploaded archive that no service names is removed");
                }
            }
            Err(error) => tracing::warn!(%error, "uploaded archives cannot be looked through"),
        }
    }
}

/// What services name, also those that cannot be read otherwise.
async fn in_use(client: &Client) -> Result<BTreeSet<Artifact>, Error> {
    let api = Api::<DynamicObject>::all_with(client.clone(), &ApiResource::erase::<DockerService>(&()));
    let mut used = BTreeSet::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let listed = api.list(&page).await?;
        used.extend(listed.items.iter().filter_map(named));
        match listed.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => page = page.continue_token(&next),
            None => return Ok(used),
        }
    }
}

fn named(service: &DynamicObject) -> Option<Artifact> {
    let sha256 = service.data.pointer("/spec/source/archive/artifact")?.as_str()?.to_owned();
    Some(Artifact { namespace: service.namespace().unwrap_or_default(), sha256 })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_names_an_artifact_of_its_own_namespace() {
        let object = |source| {
            let object = json!({
                "apiVersion": "cloudfaster.app/v1alpha1", "kind": "DockerService",
                "metadata": {"name": "web", "namespace": "ana"}, "spec": {"source": source},
            });
            serde_json::from_value::<DynamicObject>(object).unwrap()
        };
        let expected = Artifact { namespace: "ana".to_owned(), sha256: "ab".to_owned() };
        assert_eq!(named(&object(json!({"archive": {"artifact": "ab"}}))), Some(expected));
        assert_eq!(named(&object(json!({"archive": {"sha256": "ab"}}))), None);
        assert_eq!(named(&object(json!(null))), None);
    }
}
