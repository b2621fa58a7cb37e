//! What is seen of a service on its host: what the inventory knows, and what the plan asks to look at.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bollard::models::{
    self, ContainerInspectResponse, ContainerState as State, ContainerStateStatusEnum as Status, HealthStatusEnum,
    HostConfig, RestartPolicyNameEnum,
};
use jiff::Timestamp;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::{
    docker::{
        engine::{
            Engine, Result,
            inventory::{self, Reach, Snapshot},
        },
        identity::{self, Owner},
        observed::{Container, ContainerState, Health, Image, Network, Observed, Stranger, Volume},
        plan::Look,
        recorded::Recorded,
    },
    reason::Reason,
};

/// So much of a log is shown in a condition.
const LOG_LINES: u32 = 5;
const LOG_BYTES: usize = 1024;

/// The marks of images, by id: an image never changes.
#[derive(Default)]
pub struct ImageMarks(Mutex<HashMap<String, Option<String>>>);

impl ImageMarks {
    /// Looks at the images of containers that were not looked at yet.
    ///
    /// # Errors
    /// See [`Error`](crate::docker::engine::Error).
    pub async fn learn(&self, engine: &Engine, containers: &[Arc<inventory::Container>]) -> Result<()> {
        for image in containers.iter().filter_map(|container| container.inspected.image.clone()) {
            if self.0.lock().contains_key(&image) {
                continue;
            }
            // One that was removed under its container says nothing any more.
            let found = engine.find_image(&image).await?;
            let mark = found.and_then(|found| found.config?.labels?.remove(identity::MARK));
            self.0.lock().insert(image, mark);
        }
        Ok(())
    }

    fn of(&self, image: Option<&String>) -> Option<String> {
        self.0.lock().get(image?).cloned().flatten()
    }
}

/// The containers that bear the object's namespace and name, whatever their uid, and those that are recorded.
pub fn containers(snapshot: &Snapshot, owner: &Owner, recorded: &Recorded) -> Vec<Arc<inventory::Container>> {
    let mut found: BTreeMap<&str, &Arc<inventory::Container>> = BTreeMap::new();
    for namesake in namesakes(snapshot, owner) {
        found.extend(snapshot.containers_of(namesake).map(|container| (container.id(), container)));
    }
    let recorded = recorded.containers.keys().filter_map(|id| snapshot.container(id));
    found.extend(recorded.map(|container| (container.id(), container)));
    found.into_values().cloned().collect()
}

fn namesakes<'a>(snapshot: &'a Snapshot, owner: &'a Owner) -> impl Iterator<Item = &'a inventory::Owner> {
    snapshot.owners().filter(|known| known.namespace == owner.namespace && known.name == owner.name)
}

/// What the inventory knows.
pub fn observed(
    snapshot: &Snapshot,
    containers: &[Arc<inventory::Container>],
    marks: &ImageMarks,
    owner: &Owner,
) -> Observed {
    let networks = namesakes(snapshot, owner).flat_map(|namesake| snapshot.networks_of(namesake));
    let volumes = namesakes(snapshot, owner).flat_map(|namesake| snapshot.volumes_of(namesake));
    Observed {
        unknown: unknown(snapshot),
        containers: containers
            .iter()
            .map(|known| {
                let mark = marks.of(known.inspected.image.as_ref());
                (known.id().to_owned(), container(&known.inspected, mark))
            })
            .collect(),
        networks: networks.map(|known| network(&known.listed)).map(|network| (network.id.clone(), network)).collect(),
        volumes: volumes.map(|known| volume(&known.listed)).map(|volume| (volume.name.clone(), volume)).collect(),
        ..Observed::default()
    }
}

/// Why nothing is known, if that is so.
fn unknown(snapshot: &Snapshot) -> Option<Reason> {
    match &snapshot.reach {
        Reach::Reached if snapshot.is_current() => None,
        Reach::Reached | Reach::Unknown => {
            Some(Reason::new("HostNotReady", "the engine is being asked for what it has"))
        }
        Reach::Lost { failure, since } => {
            let since = since.strftime("%FT%TZ");
            Some(Reason::new(failure.word, format!("the host is out of reach since {since}: {}", failure.message)))
        }
    }
}

fn sorted(labels: Option<&HashMap<String, String>>) -> BTreeMap<String, String> {
    labels.cloned().unwrap_or_default().into_iter().collect()
}

/// The engine writes the year 1 for never.
fn time(text: Option<&String>) -> Option<Timestamp> {
    text.and_then(|text| text.parse::<Timestamp>().ok()).filter(|at| *at > Timestamp::UNIX_EPOCH)
}

fn container(inspected: &ContainerInspectResponse, image_mark: Option<String>) -> Container {
    let state = inspected.state.clone().unwrap_or_default();
    let host = inspected.host_config.clone().unwrap_or_default();
    let networks = inspected.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let name = inspected.name.clone().unwrap_or_default();
    Container {
        id: inspected.id.clone().unwrap_or_default(),
        name: name.strip_prefix('/').unwrap_or(&name).to_owned(),
        labels: sorted(inspected.config.as_ref().and_then(|config| config.labels.as_ref())),
        image_mark,
        state: state_of(&state),
        health: state.health.as_ref().and_then(|health| match health.status {
            Some(HealthStatusEnum::STARTING) => Some(Health::Starting),
            Some(HealthStatusEnum::HEALTHY) => Some(Health::Healthy),
            Some(HealthStatusEnum::UNHEALTHY) => Some(Health::Unhealthy),
            Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => None,
        }),
        exit_code: state.exit_code.unwrap_or_default(),
        oom_killed: state.oom_killed.unwrap_or_default(),
        error: state.error.clone().unwrap_or_default(),
        started_at: time(state.started_at.as_ref()),
        finished_at: time(state.finished_at.as_ref()),
        restarts: inspected.restart_count.unwrap_or_default(),
        always_restarts: host.restart_policy.as_ref().is_some_and(|policy| match policy.name {
            Some(RestartPolicyNameEnum::ALWAYS | RestartPolicyNameEnum::UNLESS_STOPPED) => true,
            Some(RestartPolicyNameEnum::NO | RestartPolicyNameEnum::ON_FAILURE | RestartPolicyNameEnum::EMPTY)
            | None => false,
        }),
        settings: settings(&host),
        networks: networks
            .into_iter()
            .flatten()
            .filter_map(|(_, endpoint)| endpoint.network_id.clone().filter(|id| !id.is_empty()))
            .collect::<BTreeSet<_>>(),
    }
}

fn state_of(state: &State) -> ContainerState {
    match state.status {
        Some(Status::RUNNING | Status::STOPPING) => ContainerState::Running,
        Some(Status::PAUSED) => ContainerState::Paused,
        Some(Status::RESTARTING) => ContainerState::Restarting,
        Some(Status::REMOVING) => ContainerState::Removing,
        Some(Status::EXITED) => ContainerState::Exited,
        Some(Status::DEAD) => ContainerState::Dead,
        Some(Status::CREATED | Status::EMPTY) | None => ContainerState::Created,
    }
}

/// A hash of what `docker update` changes.
fn settings(host: &HostConfig) -> String {
    let HostConfig {
        blkio_weight,
        cpu_period,
        cpu_quota,
        cpu_realtime_period,
        cpu_realtime_runtime,
        cpu_shares,
        cpuset_cpus,
        cpuset_mems,
        memory,
        memory_reservation,
        memory_swap,
        nano_cpus,
        pids_limit,
        restart_policy,
        ..
    } = host;
    let numbers = [
        blkio_weight.map(i64::from),
        *cpu_period,
        *cpu_quota,
        *cpu_realtime_period,
        *cpu_realtime_runtime,
        *cpu_shares,
        *memory,
        *memory_reservation,
        *memory_swap,
        *nano_cpus,
        *pids_limit,
    ];
    let told = serde_json::to_vec(&(numbers, cpuset_cpus, cpuset_mems, restart_policy)).unwrap_or_default();
    hex::encode(Sha256::digest(told)).get(..16).unwrap_or_default().to_owned()
}

fn network(listed: &models::Network) -> Network {
    Network {
        id: listed.id.clone().unwrap_or_default(),
        name: listed.name.clone().unwrap_or_default(),
        labels: sorted(listed.labels.as_ref()),
        created: listed.created.clone().unwrap_or_default(),
    }
}

fn volume(listed: &models::Volume) -> Volume {
    Volume { name: listed.name.clone(), labels: sorted(Some(&listed.labels)) }
}

/// Looks at what the plan asks for, and adds it to what is observed.
///
/// # Errors
/// See [`Error`](crate::docker::engine::Error).
pub async fn look(engine: &Engine, looks: Vec<Look>, observed: &mut Observed) -> Result<()> {
    for look in looks {
        match look {
            Look::ContainerName(name) => {
                let found = engine.find_container(&name).await?.map(|found| Stranger {
                    id: found.id.unwrap_or_default(),
                    labels: sorted(found.config.as_ref().and_then(|config| config.labels.as_ref())),
                });
                observed.names.insert(name, found);
            }
            Look::NetworkName(name) => {
                let found = engine.networks_named(&name).await?;
                let strangers = found.iter().map(network).filter(|found| !observed.networks.contains_key(&found.id));
                let strangers = strangers.map(|Network { id, labels, .. }| Stranger { id, labels }).collect();
                observed.network_names.insert(name, strangers);
            }
            Look::Proxy(name) => {
                let networks = engine.find_container(&name).await?.map(|found| {
                    let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
                    networks.into_values().filter_map(|endpoint| endpoint.network_id).collect()
                });
                observed.proxies.insert(name, networks);
            }
            Look::VolumeName(name) => {
                let found = engine.find_volume(&name).await?.map(|found| volume(&found));
                observed.volume_names.insert(name, found);
            }
            Look::Image(reference) => {
                let found = engine.find_image(&reference).await?.map(|found| Image {
                    id: found.id.clone().unwrap_or_default(),
                    build: found.config.and_then(|config| config.labels?.remove(identity::BUILD)),
                });
                observed.images.insert(reference, found);
            }
            Look::Log(id) => {
                let tail = engine.log_tail(&id, LOG_LINES, LOG_BYTES).await?;
                observed.logs.insert(id, tail);
            }
        }
    }
    Ok(())
}
