//! Builds the image of a service.

use bytes::Bytes;
use tokio::sync::watch;

use super::{Work, archive, retell};
use crate::docker::{
    compose::model::{Build as BuildSpec, BuildContext},
    content::{self, dockerignore},
    delivery::Parcel,
    engine::{Archive, Build, BuildProgress, Context, Error, Node, Result},
    identity,
    labels::compose,
    observed::Progress,
};

/// What a Dockerfile is called that is named nowhere.
const DOCKERFILE: &str = "Dockerfile";
/// What one is called that is written into the compose file: beside it there may be one with a name of its own.
const INLINE: &str = ".cloudfaster.Dockerfile";

impl Work {
    pub(super) async fn build(
        &self,
        service: &str,
        image: &str,
        cause: &str,
        progress: &watch::Sender<Progress>,
    ) -> Result<()> {
        let described = self.service(service)?;
        let Some(how) = &described.build else {
            return Err(Error::Invalid(format!("services.{service} does not say how its image is built")));
        };
        let at = described.at.of("build");
        if let Some(attribute) = beyond_the_builder(how) {
            return Err(Error::Invalid(format!(
                "{at}: services.{service}.build.{attribute}: the engine's own builder cannot do that; leave it out"
            )));
        }
        let context = match (&how.context, &how.dockerfile_inline) {
            (BuildContext::Project(_), Some(dockerfile)) => {
                let mut archive = Archive::default();
                let content = dockerfile.clone().into_bytes().into();
                archive.insert(INLINE, Node::File { mode: 0o644, user: 0, group: 0, content })?;
                match self.delivery.contexts.get(service) {
                    Some(content) => {
                        let content = dockerignore::apply(content, INLINE).map_err(unreadable)?;
                        let parcel = Parcel { content, folders: Vec::new() };
                        Context::Stream(Box::pin(archive::stream(parcel, archive.to_tar()?)))
                    }
                    None => Context::Archive(archive.to_tar()?),
                }
            }
            (BuildContext::Remote(url), None) => Context::Remote(url.clone()),
            (BuildContext::Project(_), None) => match self.delivery.contexts.get(service) {
                Some(content) => {
                    let dockerfile = how.dockerfile.as_deref().unwrap_or(DOCKERFILE);
                    let content = dockerignore::apply(content, dockerfile).map_err(unreadable)?;
                    Context::Stream(Box::pin(archive::stream(Parcel { content, folders: Vec::new() }, Bytes::new())))
                }
                None => {
                    return Err(Error::Invalid(format!(
                        "{at}: services.{service}.build.context: there are no files beside the compose file; write a \
                         dockerfile_inline, name the URL of a repository or archive, or give spec.source"
                    )));
                }
            },
            (BuildContext::Remote(_), Some(_)) => {
                return Err(Error::Invalid(format!(
                    "{at}: services.{service}.build.dockerfile_inline: a context that is fetched has a Dockerfile of its own"
                )));
            }
        };
        let mut all = how.labels.clone();
        all.insert(identity::BUILD.to_owned(), cause.to_owned());
        all.insert(compose::PROJECT.to_owned(), self.present()?.0.name.clone());
        all.insert(compose::SERVICE.to_owned(), service.to_owned());
        let build = Build {
            tag: image.to_owned(),
            dockerfile: match &how.dockerfile_inline {
                Some(_) => INLINE.to_owned(),
                None => how.dockerfile.clone().unwrap_or_else(|| DOCKERFILE.to_owned()),
            },
            arguments: how.args.clone(),
            labels: all,
            target: how.target.clone(),
            platform: described.platform.clone(),
            network: how.network.clone(),
            extra_hosts: how
                .extra_hosts
                .iter()
                .flat_map(|(host, addresses)| addresses.iter().map(move |address| format!("{host}:{address}")))
                .collect(),
            cache_from: how.cache_from.clone(),
            no_cache: how.no_cache,
            pull: how.pull,
            shm_size: how.shm_size,
            credentials: self.credentials.clone(),
        };
        let (told, heard) = watch::channel(BuildProgress::default());
        let built = self.engine.build(&build, context, &told);
        retell(built, heard, progress, |built: &BuildProgress| {
            let BuildProgress { step, steps, instruction } = built;
            Progress { parts: *step, parts_total: *steps, doing: instruction.clone(), ..Progress::default() }
        })
        .await
        .map(drop)
    }
}

/// The attribute of a build that only BuildKit knows, if there is one: the engine's API has the older builder.
fn beyond_the_builder(build: &BuildSpec) -> Option<&'static str> {
    let BuildSpec {
        context: _,
        dockerfile: _,
        dockerfile_inline: _,
        args: _,
        labels: _,
        cache_from: _,
        cache_to,
        no_cache: _,
        no_cache_filter,
        additional_contexts,
        pull: _,
        target: _,
        network: _,
        shm_size: _,
        extra_hosts: _,
        secrets,
        tags,
        ulimits,
        platforms,
        privileged,
        entitlements,
        provenance,
        sbom,
    } = build;
    let asked = |word: &Option<String>| word.as_deref().is_some_and(|word| word != "false");
    [
        ("cache_to", !cache_to.is_empty()),
        ("no_cache_filter", !no_cache_filter.is_empty()),
        ("additional_contexts", !additional_contexts.is_empty()),
        ("secrets", !secrets.is_empty()),
        ("tags", !tags.is_empty()),
        ("ulimits", !ulimits.is_empty()),
        ("platforms", !platforms.is_empty()),
        ("privileged", *privileged),
        ("entitlements", !entitlements.is_empty()),
        ("provenance", asked(provenance)),
        ("sbom", asked(sbom)),
    ]
    .into_iter()
    .find_map(|(attribute, given)| given.then_some(attribute))
}

fn unreadable(error: content::Error) -> Error {
    Error::Invalid(format!("the build's context: {error}"))
}
