//! Makes the changes that a step of the plan asks for. Each is safe to repeat, whatever of it was done before.

mod archive;
mod build;
mod deliver;
mod survey;

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bollard::models::{ContainerStateStatusEnum, EndpointSettings, ImageConfig, VolumeCreateRequest};
use tokio::sync::watch;

use super::{
    compose::model::{Hook, MountKind, Project, Service},
    convert,
    delivery::Delivery,
    desired::{Deployment, Slot},
    engine::{
        ApiVersion, Command, Credentials, Engine, Error, InvalidReference, PullProgress, Reference, Removal, Result,
        inventory::Look,
    },
    identity::{self, Owner, Thing},
    labels::compose,
    observed::Progress,
    plan::{Action, Creation},
};

/// How long a command after a start or before a stop may take.
const HOOK: Duration = Duration::from_secs(600);
/// How much of what such a command printed is told, in characters.
const PRINTED: usize = 400;
/// Says why no container may be made from an image, if so.
pub type Admission = Arc<dyn Fn(&ImageMarkings) -> Option<String> + Send + Sync>;

/// What an image brings into every container that is made from it, where others on the host see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageMarkings {
    /// Names of its labels.
    pub labels: Vec<String>,
    /// Names of its variables.
    pub variables: Vec<String>,
}

/// A change, and what it takes to make it.
#[derive(Clone)]
pub struct Work {
    /// The host's engine.
    pub engine: Engine,
    /// Whose things are changed.
    pub owner: Owner,
    /// The project that is to be there, and what decisions were made from; of one that is to go, nothing.
    pub present: Option<(Arc<Project>, Arc<Deployment>)>,
    /// What of the project's source goes to the host.
    pub delivery: Arc<Delivery>,
    /// Who we are to the registry of the image that is pulled, or to those of the images that it is built from, by registry.
    pub credentials: BTreeMap<String, Credentials>,
    /// Which images containers may be made from.
    pub admission: Option<Admission>,
    /// The newest API that the engine speaks.
    pub api: ApiVersion,
    /// The change.
    pub action: Action,
}

impl Work {
    /// Makes it, and tells how far it is. What was found, if it was to look for something.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn perform(self, progress: watch::Sender<Progress>) -> Result<Option<String>> {
        if let Action::Survey { volume } = &self.action {
            return self.survey(volume).await;
        }
        self.change(progress).await.map(|()| None)
    }

    async fn change(&self, progress: watch::Sender<Progress>) -> Result<()> {
        let Self { engine, action, .. } = self;
        match action {
            Action::Pull { image, .. } => self.pull(image, &progress).await,
            Action::Build { service, image, cause } => self.build(service, image, cause, &progress).await,
            Action::CreateNetwork { key } => self.create_network(key).await,
            Action::ConnectProxy { network, proxy } => {
                engine.connect_network(network, proxy, EndpointSettings::default()).await
            }
            Action::RemoveNetwork { id, name: _, detach } => {
                for container in detach {
                    self.disconnect(id, container).await?;
                }
                engine.remove_network(id).await
            }
            Action::CreateVolume { key } => self.create_volume(key).await,
            Action::Deliver { key, volume } => self.deliver(key, volume, &progress).await,
            Action::Survey { volume } => self.survey(volume).await.map(drop),
            Action::RemoveVolume { name } => engine.remove_volume(name).await,
            Action::Create(creation) => self.create(creation).await,
            Action::Rename { id, name } => engine.rename_container(id, name).await,
            Action::Start { id, slot } => self.start(id, &slot.service).await,
            Action::Unpause { id } => engine.unpause_container(id).await,
            Action::AfterStart { id, slot, .. } => {
                let hooks = &self.service(&slot.service)?.post_start;
                self.run(id, "post_start", &slot.service, hooks).await
            }
            Action::Stop { id, slot } => {
                let service = self.service(&slot.service).ok();
                let hooks = service.map(|service| service.pre_stop.as_slice()).unwrap_or_default();
                // It is to end in any case.
                if let Err(error) = self.run(id, "pre_stop", &slot.service, hooks).await {
                    tracing::info!(%error, container = id, "a command before the stop failed");
                }
                engine.stop_container(id, service.and_then(|service| service.stop_grace_period)).await
            }
            // Volumes that the engine made by itself for this container go with it.
            Action::Remove { id } => engine.remove_container(id, Removal { force: false, volumes: true }).await,
        }
    }

    fn present(&self) -> Result<(&Project, &Deployment)> {
        let present = self.present.as_ref().map(|(project, deployment)| (&**project, &**deployment));
        present.ok_or_else(|| Error::Invalid("the project is being removed".to_owned()))
    }

    fn service(&self, name: &str) -> Result<&Service> {
        let found = self.present()?.0.services.get(name);
        found.ok_or_else(|| Error::Invalid(format!("the project has no service {name:?} any more")))
    }

    async fn pull(&self, image: &str, progress: &watch::Sender<Progress>) -> Result<()> {
        let reference = reference(image)?;
        let platform = self.present.as_ref().and_then(|(project, deployment)| {
            let (name, _) = deployment.services.iter().find(|(_, service)| service.image == image)?;
            project.services.get(name)?.platform.clone()
        });
        let credentials = self.credentials.get(reference.registry());
        let (told, heard) = watch::channel(PullProgress::default());
        let pull = self.engine.pull(&reference, platform.as_deref(), credentials, &told);
        retell(pull, heard, progress, |pulled: &PullProgress| {
            let PullProgress { layers, layers_done, bytes, bytes_total } = *pulled;
            Progress { bytes, bytes_total, parts: layers_done, parts_total: layers, doing: format!("pulling {image}") }
        })
        .await
    }

    async fn create_network(&self, key: &str) -> Result<()> {
        let (project, deployment) = self.present()?;
        let mut body = convert::network(project, key).map_err(invalid)?;
        let config = deployment.networks.get(key).map(|network| network.config.clone()).unwrap_or_default();
        let all = body.labels.get_or_insert_default();
        all.extend(self.owner.labels(Thing::Network { key, name: &body.name }));
        all.insert(identity::CONFIG.to_owned(), config);
        self.engine.create_network(body).await.map(drop)
    }

    /// Disconnects a container from a network, unless it is not connected: the engine refuses that.
    async fn disconnect(&self, network: &str, container: &str) -> Result<()> {
        let Some(found) = self.engine.find_container(container).await? else { return Ok(()) };
        let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let connected = networks.into_values().any(|endpoint| endpoint.network_id.as_deref() == Some(network));
        if connected { self.engine.disconnect_network(network, container).await } else { Ok(()) }
    }

    async fn create_volume(&self, key: &str) -> Result<()> {
        let (project, deployment) = self.present()?;
        let mut body = convert::volume(project, key).map_err(invalid)?;
        let config = deployment.volumes.get(key).map(|volume| volume.config.clone()).unwrap_or_default();
        let all = body.labels.get_or_insert_default();
        all.extend(self.owner.labels(Thing::Volume { name: body.name.as_deref().unwrap_or_default() }));
        all.insert(identity::CONFIG.to_owned(), config);
        // Whose it is, if there was one already, tells the next look.
        self.engine.create_volume(body).await.map(drop)
    }

    async fn create(&self, creation: &Creation) -> Result<()> {
        let (project, deployment) = self.present()?;
        let Creation { slot, name, proper_name, config, image, networks, shared } = creation;
        let Slot { service, number } = slot;
        let mut all =
            self.owner.labels(Thing::Container { service, number: *number, name: proper_name, config, image });
        let made_for: Vec<_> = networks.iter().map(|(key, id)| format!("{key}={id}")).collect();
        let described = deployment.services.get(service);
        let contents: Vec<_> = described.into_iter().flat_map(|service| deployment.contents_of(service)).collect();
        let contents = contents.join(",");
        for (key, value) in [
            (compose::CONFIG_HASH, config),
            (identity::CONFIG, config),
            (identity::RELEASE, &deployment.release),
            (identity::CONTAINER, proper_name),
            (identity::NETWORKS, &made_for.join(",")),
            (identity::CONTENTS, &contents),
        ] {
            all.insert(key.to_owned(), value.clone());
        }
        if let Some(restart) = &deployment.restart {
            all.insert(identity::RESTART.to_owned(), restart.clone());
        }
        let built_in = self.engine.inspect_image(image).await?.config.unwrap_or_default();
        self.admit(service, &built_in)?;
        let anonymous = self.anonymous_volumes(slot, built_in.volumes.unwrap_or_default()).await?;
        let given = convert::Given { image, networks, shared, anonymous: &anonymous, labels: &all };
        let made = convert::container(project, service, *number, &given, self.api).map_err(invalid)?;
        let convert::Made { platform, body, connect } = made;
        let created = self.engine.create_container(name, platform.as_deref(), body).await?;
        for (network, endpoint) in connect {
            self.engine.connect_network(&network, &created.id, endpoint).await?;
        }
        Ok(())
    }

    /// What an image says of itself counts as if its user said it.
    fn admit(&self, service: &str, image: &ImageConfig) -> Result<()> {
        let Some(admission) = &self.admission else { return Ok(()) };
        let labels = image.labels.iter().flatten().map(|(name, _)| name.clone());
        let names = image.env.iter().flatten().filter_map(|variable| Some(variable.split_once('=')?.0.to_owned()));
        let markings = ImageMarkings { labels: labels.collect(), variables: names.collect() };
        match admission(&markings) {
            Some(why) => Err(Error::NotAllowed(format!("services.{service}.image: {why}; use an image without it"))),
            None => Ok(()),
        }
    }

    /// The volumes that have no name in the file, and those that the image asks for, by target. They are given names of
    /// ours, so that the next container finds them and nothing is left behind.
    async fn anonymous_volumes(&self, slot: &Slot, asked_for: Vec<String>) -> Result<BTreeMap<String, String>> {
        let service = self.service(&slot.service)?;
        let mut targets = BTreeMap::new();
        for mount in &service.volumes {
            if let MountKind::Volume { source: None, labels, .. } = &mount.kind {
                targets.insert(mount.target.clone(), labels.clone());
            }
        }
        if service.volumes_from.is_empty() {
            let mounted = service.volumes.iter().map(|mount| &mount.target);
            let mounted: BTreeSet<_> = mounted.chain(service.tmpfs.iter().map(|tmpfs| &tmpfs.target)).collect();
            for target in asked_for.into_iter().filter(|target| !mounted.contains(target)) {
                targets.entry(target).or_default();
            }
        }
        let mut volumes = BTreeMap::new();
        for (target, given) in targets {
            let volume = self.anonymous_volume(slot, &target, given).await?;
            volumes.insert(target, volume);
        }
        Ok(volumes)
    }

    async fn anonymous_volume(&self, slot: &Slot, target: &str, given: BTreeMap<String, String>) -> Result<String> {
        let Slot { service, number } = slot;
        let hash = identity::hash([service, &number.to_string(), target]);
        let project = &self.present()?.0.name;
        let name = format!("{project}_{service}-{number}-{}", hash.get(..12).unwrap_or_default());
        let mut all: BTreeMap<_, _> = given;
        all.insert(compose::PROJECT.to_owned(), project.clone());
        all.insert(identity::TARGET.to_owned(), target.to_owned());
        all.extend(self.owner.labels(Thing::Volume { name: &name }));
        let body = VolumeCreateRequest {
            name: Some(name.clone()),
            labels: Some(all.into_iter().collect()),
            ..VolumeCreateRequest::default()
        };
        let volume = self.engine.create_volume(body).await?;
        let found = volume.labels.into_iter().collect();
        match self.owner.claim(&found, Thing::Volume { name: &name }) {
            identity::Claim::Ours => Ok(name),
            identity::Claim::Former(_) | identity::Claim::Other(..) | identity::Claim::Nobody => Err(Error::Invalid(
                format!("the volume {name} on the host is not this object's and is not touched: remove it"),
            )),
        }
    }

    /// What never ran gets its files before.
    async fn start(&self, id: &str, service: &str) -> Result<()> {
        let seen = self.engine.inspect_container(id).await?;
        let never_ran = seen.state.and_then(|state| state.status) == Some(ContainerStateStatusEnum::CREATED);
        if never_ran {
            let made_for = seen.config.and_then(|config| config.labels?.remove(identity::NETWORKS)).unwrap_or_default();
            let wanted = made_for.split(',').filter(|network| !network.is_empty()).count();
            let connected = seen.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
            if connected.len() < wanted {
                // Its making was interrupted: another is made.
                return self.engine.remove_container(id, Removal::default()).await;
            }
            let files = convert::files(self.present()?.0, service).map_err(invalid)?;
            if !files.is_empty() {
                self.engine.upload(id, "/", files.to_tar()?).await?;
            }
        }
        self.engine.start_container(id).await
    }

    async fn run(&self, id: &str, kind: &str, service: &str, hooks: &[Hook]) -> Result<()> {
        for Hook { at: _, command, user, privileged, working_dir, environment } in hooks {
            let set = environment.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
            let command = Command {
                arguments: command.clone(),
                user: user.clone(),
                privileged: *privileged,
                working_dir: working_dir.clone(),
                environment: set.collect(),
            };
            let done = self.engine.exec(id, &command, HOOK).await?;
            if done.exit_code != 0 {
                let printed: String = done.output.trim().chars().take(PRINTED).collect();
                return Err(Error::Invalid(format!(
                    "services.{service}.{kind}: a command ended with exit code {}: {printed}",
                    done.exit_code
                )));
            }
        }
        Ok(())
    }
}

/// What is to be looked at after these changes.
pub fn look(actions: &[Action]) -> Look {
    let mut look = Look::default();
    for action in actions {
        match action {
            Action::Pull { .. } | Action::Build { .. } => look.images = true,
            Action::ConnectProxy { .. } => {}
            Action::CreateNetwork { .. } | Action::RemoveNetwork { .. } => look.networks = true,
            Action::CreateVolume { .. } | Action::RemoveVolume { .. } => look.volumes = true,
            Action::Deliver { volume, .. } => {
                look.containers.insert(identity::delivery_name(volume));
            }
            Action::Survey { volume } => {
                look.containers.insert(identity::survey_name(volume));
            }
            Action::Create(creation) => {
                look.containers.insert(creation.name.clone());
                look.volumes = true;
            }
            Action::Rename { id, .. }
            | Action::Start { id, .. }
            | Action::Unpause { id }
            | Action::AfterStart { id, .. }
            | Action::Stop { id, .. }
            | Action::Remove { id } => {
                look.containers.insert(id.clone());
            }
        }
    }
    look
}

/// An image by its reference.
///
/// # Errors
/// A reference that is none.
pub fn reference(image: &str) -> Result<Reference> {
    image.parse().map_err(|error: InvalidReference| Error::Invalid(error.to_string()))
}

fn invalid(error: convert::Error) -> Error {
    Error::Invalid(error.to_string())
}

/// Waits for something, and tells in other words how far it is.
async fn retell<T, P>(
    work: impl Future<Output = Result<T>>,
    mut heard: watch::Receiver<P>,
    progress: &watch::Sender<Progress>,
    words: impl Fn(&P) -> Progress,
) -> Result<T> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            Ok(()) = heard.changed() => {
                let told = words(&heard.borrow_and_update());
                progress.send_replace(told);
            }
        }
    }
}
