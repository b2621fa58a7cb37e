//! Building images from a context.

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
};

use bollard::{
    body_full, body_try_stream,
    models::BuildInfo,
    query_parameters::{BuildImageOptions, BuilderVersion},
};
use bytes::Bytes;
use futures::Stream;
use tokio::sync::watch;

use super::{Call, Credentials, Engine, Error, Refusal, Result, containers::Tail};

/// How much of what a build printed goes into its error.
const KEPT: usize = 2048;

/// What an image is built from.
pub enum Context {
    /// A tar archive.
    Archive(Bytes),
    /// A tar archive that comes in pieces.
    Stream(Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>),
    /// A git repository or an archive that the engine fetches itself, by its URL.
    Remote(String),
}

/// How an image is to be built.
#[derive(Clone, Debug, Default)]
pub struct Build {
    /// What the image is to be called.
    pub tag: String,
    /// The Dockerfile's path in the context.
    pub dockerfile: String,
    pub arguments: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub target: Option<String>,
    pub platform: Option<String>,
    pub network: Option<String>,
    /// `host:address`
    pub extra_hosts: Vec<String>,
    pub cache_from: Vec<String>,
    pub no_cache: bool,
    /// Base images are pulled even if the engine has them.
    pub pull: bool,
    /// In bytes.
    pub shm_size: Option<i64>,
    /// Credentials by registry, for the base images.
    pub credentials: BTreeMap<String, Credentials>,
}

/// How far a build is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildProgress {
    pub step: u32,
    pub steps: u32,
    /// The instruction that is being carried out: `RUN make`.
    pub instruction: String,
}

impl Engine {
    /// Builds an image from a context, and tells how far it is; says the image's id.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn build(
        &self,
        build: &Build,
        context: Context,
        progress: &watch::Sender<BuildProgress>,
    ) -> Result<String> {
        let request = Call::BuildImage.of(&build.tag);
        let credentials: HashMap<_, _> = build
            .credentials
            .iter()
            .map(|(registry, credentials)| (registry.clone(), credentials.for_registry(registry)))
            .collect();
        let (body, remote) = match context {
            Context::Archive(archive) => (body_full(archive), None),
            Context::Stream(pieces) => (body_try_stream(pieces), None),
            // bollard wants a body in any case.
            Context::Remote(url) => (body_full(Bytes::new()), Some(url)),
        };
        let options = BuildImageOptions { remote, ..build.options() };
        let stream = self.docker.build_image(options, Some(credentials), Some(body));
        let mut stream = Box::pin(stream);
        let mut printed = Tail::new(KEPT);
        let mut image = None;
        loop {
            let told = match self.next(&request, self.limits.build, &mut stream).await {
                Ok(Some(told)) => told,
                Ok(None) => break,
                Err(error) => return Err(with_output(error, printed)),
            };
            let BuildInfo { stream: text, aux, .. } = told;
            if let Some(id) = aux.and_then(|aux| aux.id) {
                image = Some(id);
            }
            if let Some(text) = text {
                if let Some(step) = step(&text) {
                    progress.send_replace(step);
                }
                printed.push(text.as_bytes());
            }
        }
        image.ok_or_else(|| Error::Decode { request, reason: "it does not name the image".to_owned() })
    }
}

impl Build {
    fn options(&self) -> BuildImageOptions {
        let Self {
            tag,
            dockerfile,
            arguments,
            labels,
            target,
            platform,
            network,
            extra_hosts,
            cache_from,
            no_cache,
            pull,
            shm_size,
            credentials: _,
        } = self;
        let map = |map: &BTreeMap<String, String>| Some(map.clone().into_iter().collect::<HashMap<_, _>>());
        BuildImageOptions {
            dockerfile: dockerfile.clone(),
            t: Some(tag.clone()),
            extrahosts: (!extra_hosts.is_empty()).then(|| extra_hosts.join(",")),
            nocache: *no_cache,
            cachefrom: (!cache_from.is_empty()).then(|| cache_from.clone()),
            pull: pull.then(|| "1".to_owned()),
            rm: true,
            forcerm: true,
            buildargs: map(arguments),
            shmsize: shm_size.and_then(|size| i32::try_from(size).ok()),
            labels: map(labels),
            networkmode: network.clone(),
            platform: platform.clone().unwrap_or_default(),
            target: target.clone().unwrap_or_default(),
            version: BuilderVersion::BuilderV1,
            ..BuildImageOptions::default()
        }
    }
}

/// `Step 2/5 : RUN make`
fn step(text: &str) -> Option<BuildProgress> {
    let (numbers, instruction) = text.strip_prefix("Step ")?.split_once(" : ")?;
    let (step, steps) = numbers.split_once('/')?;
    Some(BuildProgress {
        step: step.parse().ok()?,
        steps: steps.parse().ok()?,
        instruction: instruction.trim().to_owned(),
    })
}

/// The refusal with what was printed before: a failed command says only there why.
fn with_output(error: Error, printed: Tail) -> Error {
    match error {
        Error::Refused(refusal) if refusal.status.is_none() => {
            let Refusal { request, status, text } = *refusal;
            Error::refused(request, status, format!("{text}\n{}", printed.into_text().trim_end()))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_from_other_output() {
        let told = step("Step 2/5 : RUN make all\n").unwrap();
        assert_eq!(told, BuildProgress { step: 2, steps: 5, instruction: "RUN make all".into() });
        for other in ["", " ---> 1234", "Step by step", "Step 1 : x", "Step a/b : x"] {
            assert_eq!(step(other), None, "{other}");
        }
    }
}
