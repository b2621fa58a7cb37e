//! Pulling images.

use std::collections::BTreeMap;

use bollard::{auth::DockerCredentials, models::CreateImageInfo, query_parameters::CreateImageOptionsBuilder};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;

use super::{Call, Engine, Reference, Result};

/// Who we are to a registry.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub username: String,
    pub password: SecretString,
}

/// How far a pull is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PullProgress {
    pub layers: u32,
    /// Layers that the engine has in full.
    pub layers_done: u32,
    /// Bytes of the layers that were loaded, as far as the engine told.
    pub bytes: u64,
    pub bytes_total: u64,
}

impl Engine {
    /// Pulls an image, and tells how far it is.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn pull(
        &self,
        image: &Reference,
        platform: Option<&str>,
        credentials: Option<&Credentials>,
        progress: &watch::Sender<PullProgress>,
    ) -> Result<()> {
        let request = Call::PullImage.of(image.to_string());
        let options = CreateImageOptionsBuilder::new()
            .from_image(&image.repository)
            .tag(image.version())
            .platform(platform.unwrap_or_default())
            .build();
        let credentials = credentials.map(|credentials| credentials.for_registry(image.registry()));
        let mut stream = Box::pin(self.docker.create_image(Some(options), None, credentials));
        let mut layers = Layers::default();
        while let Some(told) = self.next(&request, self.limits.pull, &mut stream).await? {
            if layers.hear(told) {
                let now = layers.progress();
                progress.send_if_modified(|shown| std::mem::replace(shown, now) != now);
            }
        }
        Ok(())
    }
}

impl Credentials {
    pub(super) fn for_registry(&self, registry: &str) -> DockerCredentials {
        let Self { username, password } = self;
        DockerCredentials {
            username: Some(username.clone()),
            password: Some(password.expose_secret().to_owned()),
            serveraddress: Some(registry.to_owned()),
            ..DockerCredentials::default()
        }
    }
}

/// The layers of which the engine told, by id.
#[derive(Debug, Default)]
struct Layers(BTreeMap<String, Layer>);

#[derive(Debug, Default)]
struct Layer {
    bytes: u64,
    total: u64,
    done: bool,
}

impl Layers {
    /// Whether it was about a layer.
    fn hear(&mut self, told: CreateImageInfo) -> bool {
        let CreateImageInfo { id: Some(id), status: Some(status), progress_detail, error_detail: _ } = told else {
            return false;
        };
        // `Pulling from library/nginx` has the tag for an id.
        if status.starts_with("Pulling from") || status.starts_with("Digest:") {
            return false;
        }
        let layer = self.0.entry(id).or_default();
        let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        match status.as_str() {
            "Downloading" => {
                let detail = progress_detail.unwrap_or_default();
                layer.bytes = number(detail.current).unwrap_or(layer.bytes);
                layer.total = number(detail.total).unwrap_or(layer.total).max(layer.bytes);
            }
            "Verifying Checksum" | "Download complete" | "Extracting" => layer.bytes = layer.total,
            "Pull complete" | "Already exists" => {
                layer.bytes = layer.total;
                layer.done = true;
            }
            _ => {}
        }
        true
    }

    fn progress(&self) -> PullProgress {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let sum = |of: fn(&Layer) -> u64| self.0.values().map(of).fold(0, u64::saturating_add);
        PullProgress {
            layers: count(self.0.len()),
            layers_done: count(self.0.values().filter(|layer| layer.done).count()),
            bytes: sum(|layer| layer.bytes),
            bytes_total: sum(|layer| layer.total),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_and_bytes_are_added_up() {
        let mut layers = Layers::default();
        let mut hear = |line: &str| {
            layers.hear(serde_json::from_str(line).unwrap());
            let PullProgress { layers, layers_done, bytes, bytes_total } = layers.progress();
            (layers, layers_done, bytes, bytes_total)
        };
        assert_eq!(hear(r#"{"status":"Pulling from team/app","id":"1"}"#), (0, 0, 0, 0));
        assert_eq!(hear(r#"{"status":"Pulling fs layer","progressDetail":{},"id":"aa"}"#), (1, 0, 0, 0));
        assert_eq!(hear(r#"{"status":"Already exists","progressDetail":{},"id":"bb"}"#), (2, 1, 0, 0));
        let line = r#"{"status":"Downloading","progressDetail":{"current":40,"total":100},"progress":"","id":"aa"}"#;
        assert_eq!(hear(line), (2, 1, 40, 100));
        assert_eq!(hear(r#"{"status":"Download complete","progressDetail":{},"id":"aa"}"#), (2, 1, 100, 100));
        let line = r#"{"status":"Extracting","progressDetail":{"current":1,"total":100},"id":"aa"}"#;
        assert_eq!(hear(line), (2, 1, 100, 100), "unpacking does not count backwards");
        assert_eq!(hear(r#"{"status":"Pull complete","progressDetail":{},"id":"aa"}"#), (2, 2, 100, 100));
        assert_eq!(hear(r#"{"status":"Digest: sha256:12"}"#), (2, 2, 100, 100));
    }
}
