//! Puts content into a volume, on whatever host: by the engine's archive API, through a container that is never started.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bollard::models::{
    ContainerCreateBody, ContainerStateStatusEnum, HostConfig, Mount, MountType, MountVolumeOptions,
};
use bytes::Bytes;
use tokio::{sync::watch, time::interval};

use super::{Work, archive};
use crate::docker::{
    engine::{Error, Removal, Result},
    identity::{self, Claim, Thing},
    labels::compose,
    observed::Progress,
};

/// Where the volume is mounted in the container by which it is filled.
pub(super) const TARGET: &str = "/content";
/// How often it is told how far it is.
const TOLD: Duration = Duration::from_millis(500);

impl Work {
    /// What was delivered before into this volume is written again: one that is cut off leaves nothing that the next does not
    /// mend.
    pub(super) async fn deliver(&self, key: &str, volume: &str, progress: &watch::Sender<Progress>) -> Result<()> {
        let Some(parcel) = self.delivery.volumes.get(key) else {
            return Err(Error::Invalid(format!("there is no content for volume {key} any more")));
        };
        let container = self.carrier(&identity::delivery_name(volume), volume).await?;
        let sent = Arc::new(AtomicU64::new(0));
        let upload =
            self.engine.upload_stream(&container, TARGET, archive::stream(parcel.clone(), Bytes::new()), sent.clone());
        let told = tell(progress, &sent, parcel.content.size());
        tokio::select! {
            done = upload => done?,
            never = told => match never {},
        }
        self.dismiss(&container).await;
        Ok(())
    }

    /// Removes such a container, whose work is done. If that fails it is surplus, and the plan removes it.
    pub(super) async fn dismiss(&self, container: &str) {
        if let Err(error) = self.engine.remove_container(container, Removal::default()).await {
            tracing::info!(%error, container, "what carried content is removed later");
        }
    }

    /// A container that has a volume at [`TARGET`] and is never started; its id. What is left of one that was cut off serves
    /// again, so that not every attempt has to begin anew.
    pub(super) async fn carrier(&self, name: &str, volume: &str) -> Result<String> {
        let image = self.engine.empty_image().await?;
        let thing = Thing::Container { service: identity::DELIVERY, number: 1, name, config: volume, image: &image };
        if let Some(left) = self.left(name, thing).await? {
            return Ok(left);
        }
        let body = self.carrier_body(volume, name, &image, thing);
        Ok(self.engine.create_container(name, None, body).await?.id)
    }

    /// The one of this name, if it can be used. What cannot is removed.
    async fn left(&self, name: &str, thing: Thing<'_>) -> Result<Option<String>> {
        let Some(found) = self.engine.find_container(name).await? else { return Ok(None) };
        let found_labels = found.config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect();
        if self.owner.claim(&found_labels, thing) != Claim::Ours {
            return Err(Error::Invalid(format!(
                "the container {name} on the host is not this object's and is not touched: remove or rename it"
            )));
        }
        let id = found.id.unwrap_or_default();
        if found.state.and_then(|state| state.status) == Some(ContainerStateStatusEnum::CREATED) {
            return Ok(Some(id));
        }
        self.engine.remove_container(&id, Removal::default()).await?;
        Ok(None)
    }

    fn carrier_body(&self, volume: &str, name: &str, image: &str, thing: Thing<'_>) -> ContainerCreateBody {
        let mut all = self.owner.labels(thing);
        // Compose's own tools see only what has a hash of its configuration, which this has not.
        for (key, value) in [
            (compose::SERVICE, identity::DELIVERY),
            (compose::CONTAINER_NUMBER, "1"),
            (compose::IMAGE, image),
            (identity::CONFIG, volume),
            (identity::CONTAINER, name),
            (identity::CONTENTS, volume),
        ] {
            all.insert(key.to_owned(), value.to_owned());
        }
        let mount = Mount {
            target: Some(TARGET.to_owned()),
            source: Some(volume.to_owned()),
            typ: Some(MountType::VOLUME),
            volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
            ..Mount::default()
        };
        ContainerCreateBody {
            image: Some(image.to_owned()),
            // There is none: it is never started.
            entrypoint: Some(vec!["/none".to_owned()]),
            labels: Some(all.into_iter().collect()),
            host_config: Some(HostConfig {
                mounts: Some(vec![mount]),
                network_mode: Some("none".to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }
}

/// Tells again and again how much was sent.
async fn tell(progress: &watch::Sender<Progress>, sent: &AtomicU64, total: u64) -> std::convert::Infallible {
    let mut ticks = interval(TOLD);
    loop {
        ticks.tick().await;
        let bytes = sent.load(Ordering::Relaxed).min(total);
        progress.send_replace(Progress { bytes, bytes_total: total, ..Progress::default() });
    }
}
