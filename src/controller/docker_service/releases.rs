//! The last good release of a service: what it was made from is kept in a Secret that the object owns, since values of other
//! Secrets are part of it, and taken from there when the next one does not come up.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use sha2::{Digest, Sha256};

use crate::{
    api::DockerService,
    controller::secret,
    docker::{
        compose::model::Project,
        delivery::Delivery,
        deploy,
        desired::Deployment,
        engine::{self, Engine},
        identity::Owner,
        recorded::{Good, Lost, Recorded},
    },
};

/// The keys of the Secret.
const RELEASE: &str = "release";
const MODEL: &str = "model.json.gz";
/// Who writes it.
const MANAGER: &str = "cloudfaster-release";
/// A model is not larger, or it is none of ours.
const LARGEST: u64 = 64 << 20;

/// The Secret with the last good release of a service.
fn name(service: &DockerService) -> String {
    format!("{}-release", service.name_any())
}

/// Keeps what a good release was made from, in place of the one before; its SHA-256, or nothing if it could not be kept. The Secret
/// is in the tenant's namespace: what comes out of it is deployed only if it is what was put in.
///
/// # Errors
/// What the API server answers.
pub async fn keep(
    secrets: &Api<Secret>,
    service: &DockerService,
    release: &str,
    project: &Project,
) -> Result<String, kube::Error> {
    let name = name(service);
    let model = match pack(project) {
        Ok(model) => model,
        Err(error) => {
            tracing::warn!(%error, service = name, "the release cannot be kept");
            return Ok(String::new());
        }
    };
    let digest = hex::encode(Sha256::digest(&model));
    let data = [(RELEASE.to_owned(), ByteString(release.as_bytes().to_vec())), (MODEL.to_owned(), ByteString(model))];
    let secret = secret::of_service(service, &name, data);
    let params = PatchParams::apply(MANAGER).force();
    match secrets.patch(&name, &params, &Patch::Apply(&secret)).await {
        // An administrator may have narrowed the operator's rights: the service runs, and only cannot go back as a whole. What is
        // too large for a Secret is refused so, too.
        Err(kube::Error::Api(status)) if status.is_forbidden() || status.is_invalid() => {
            tracing::warn!(service = name, message = status.message, "the release cannot be kept");
            Ok(String::new())
        }
        written => written.map(|_| digest),
    }
}

/// The last good release, if the one that is asked for did not come up and was not changed since.
///
/// # Errors
/// What the API server answers.
pub async fn former(
    secrets: &Api<Secret>,
    service: &DockerService,
    recorded: &Recorded,
    asked: &Deployment,
    owner: &Owner,
) -> Result<Option<(Arc<Project>, Deployment)>, kube::Error> {
    let Recorded { good: Some(good), lost_release: Some(lost), .. } = recorded else { return Ok(None) };
    let Lost { release, restart, reason: _ } = lost;
    if *release != asked.release || *restart != asked.restart || *release == good.release {
        return Ok(None);
    }
    let found = match secrets.get_opt(&name(service)).await {
        Err(kube::Error::Api(status)) if status.is_forbidden() => None,
        found => found?,
    };
    let Some(project) = found.and_then(|secret| unpack(&secret, good)) else { return Ok(None) };
    let Ok(deployment) = deploy::deployment(&project, &Delivery::default(), owner, asked.state, None) else {
        return Ok(None);
    };
    // Of what images were built from nothing is kept: the images themselves are.
    let deployment = Deployment { release: good.release.clone(), ..deployment }.in_place_of(asked);
    Ok(Some((Arc::new(project), deployment)))
}

/// Gives the images of a good release tags of ours, in place of those of the one before, so that nobody clears them away while they may
/// be needed again.
///
/// # Errors
/// See [`engine::Error`].
pub async fn hold(engine: &Engine, owner: &Owner, good: &Good) -> engine::Result<()> {
    let repository = repository(owner);
    for (service, image) in good.images.iter().filter(|(_, image)| !image.is_empty()) {
        engine.tag_image(image, &repository, service).await?;
    }
    let wanted: Vec<String> = good.images.keys().map(|service| format!("{repository}:{service}")).collect();
    remove_tags(engine, &repository, &wanted).await
}

/// Takes the tags away that hold a service's images.
///
/// # Errors
/// See [`engine::Error`].
pub async fn let_go(engine: &Engine, owner: &Owner) -> engine::Result<()> {
    remove_tags(engine, &repository(owner), &[]).await
}

async fn remove_tags(engine: &Engine, repository: &str, but: &[String]) -> engine::Result<()> {
    let held = engine.list_images(&[repository]).await?;
    let ours = format!("{repository}:");
    for tag in held.into_iter().flat_map(|image| image.repo_tags) {
        if tag.starts_with(&ours) && !but.contains(&tag) {
            engine.remove_image(&tag).await?;
        }
    }
    Ok(())
}

/// What the images of a service are called that are held.
fn repository(owner: &Owner) -> String {
    format!("cloudfaster.app/held/{}", deploy::project_name(owner))
}

fn pack(project: &Project) -> std::io::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&serde_json::to_vec(project)?)?;
    packed.finish()
}

fn unpack(secret: &Secret, good: &Good) -> Option<Project> {
    let data = secret.data.as_ref()?;
    if data.get(RELEASE)?.0 != good.release.as_bytes() {
        return None;
    }
    let packed = &data.get(MODEL)?.0;
    if hex::encode(Sha256::digest(packed)) != good.model {
        tracing::warn!(secret = secret.name_any(), "somebody changed the last good release, which is not deployed");
        return None;
    }
    let mut model = Vec::new();
    GzDecoder::new(packed.as_slice()).take(LARGEST).read_to_end(&mut model).ok()?;
    serde_json::from_slice(&model).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::docker::{compose, desired::State};

    #[test]
    fn a_release_comes_back_as_it_was() {
        let text = "services: {web: {image: nginx, environment: {A: b}, configs: [c], volumes: ['data:/data'], healthcheck: {test: [CMD, x]}}}
volumes: {data: {}}
configs: {c: {content: x}}";
        let sources = compose::Sources::inline("compose.yaml", text);
        let (files, variables) = (["compose.yaml".to_owned()], BTreeMap::new());
        let request =
            compose::Request { sources: &sources, files: &files, variables: &variables, profiles: &[], name: "p" };
        let project = compose::load(request).unwrap_or_else(|problems| panic!("{problems}")).project;
        let data = [(RELEASE, b"r1".to_vec()), (MODEL, pack(&project).unwrap())];
        let data = data.map(|(key, value)| (key.to_owned(), ByteString(value)));
        let secret = Secret { data: Some(data.into()), ..Secret::default() };
        let model = hex::encode(Sha256::digest(pack(&project).unwrap()));
        let good =
            |release: &str, model: &str| Good { release: release.into(), model: model.into(), ..Good::default() };
        let read = unpack(&secret, &good("r1", &model)).unwrap();
        assert_eq!(read, project);
        assert_eq!(unpack(&secret, &good("r2", &model)), None, "it is another one");
        assert_eq!(unpack(&secret, &good("r1", "")), None, "nothing was kept");
        let mut tampered = project.clone();
        tampered.services.values_mut().for_each(|service| service.privileged = true);
        let data = [(RELEASE, b"r1".to_vec()), (MODEL, pack(&tampered).unwrap())];
        let data = data.map(|(key, value)| (key.to_owned(), ByteString(value)));
        let secret = Secret { data: Some(data.into()), ..Secret::default() };
        assert_eq!(unpack(&secret, &good("r1", &model)), None, "somebody changed it");
        let owner = Owner {
            installation: "i".into(),
            namespace: "shop".into(),
            name: "web".into(),
            uid: "1".into(),
            formerly: Default::default(),
        };
        let deployment = |project: &Project| {
            deploy::deployment(project, &Delivery::default(), &owner, State::Running, None).unwrap()
        };
        assert_eq!(deployment(&read).services, deployment(&project).services, "its containers are what they were");
    }
}
