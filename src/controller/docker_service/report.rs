//! What the status says of a step: a pure function of what was there, what is recorded, seen and decided.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{convert, resolve::Told, source::Supplied, variables::Variables};
use crate::{
    api::{
        conditions::{self, Verdict},
        docker_service::{ContainerStatus, DockerService, DockerServiceStatus, ServicePhase},
    },
    controller::status::to_second,
    docker::{
        compose::model::{Port, Project, Protocol},
        desired::{Deployment, Slot, State},
        labels::compose,
        observed::{Container, ContainerState, Health, Observed, TaskSight},
        plan::{Action, Step},
        recorded::Recorded,
    },
    reason::Reason,
};

/// So many containers are told one by one.
const TOLD: usize = 200;

/// True while something runs that is not as it should be, and is not in the way of the rest.
pub const WARNING: &str = "Warning";

/// What there is to report.
pub struct Report<'a> {
    /// What is recorded now.
    pub recorded: &'a Recorded,
    /// What was decided.
    pub step: &'a Step,
    /// What was seen, if the host was asked.
    pub observed: Option<&'a Observed>,
    /// What is desired, if it is to be there.
    pub deployment: Option<&'a Deployment>,
    /// Where it is reached.
    pub url: Option<String>,
    /// What nobody is to see.
    pub variables: &'a Variables,
    /// Where its files come from.
    pub supplied: Option<&'a Supplied>,
    /// What was resolved besides.
    pub told: &'a Told,
}

/// The status after a step.
pub fn status(service: &DockerService, report: &Report<'_>, now: Timestamp) -> DockerServiceStatus {
    let Report { recorded, step: _, observed, deployment, url, variables, supplied, told } = report;
    let generation = service.metadata.generation.unwrap_or_default();
    let deleting = service.metadata.deletion_timestamp.is_some();
    let before = service.status.clone().unwrap_or_default();
    let mut status = before.clone();
    status.observed_generation = generation;
    convert::write(recorded, &mut status);
    if let Some(deployment) = deployment {
        status.project = Some(deployment.project.clone());
        status.release = Some(deployment.release.clone());
        let Told { urls, types, credentials } = told;
        let by_name = urls.as_ref().and_then(|urls| urls.main.clone());
        status.url = by_name.or_else(|| url.clone());
        status.urls.clone_from(urls);
        status.types.clone_from(types);
        status.credentials.clone_from(credentials);
        status.source = supplied.map(|supplied| supplied.status.clone());
    }
    let mut ready = 0;
    if let Some(observed) = observed.filter(|observed| observed.unknown.is_none()) {
        let mine = mine(recorded, observed);
        ready = deployment.map_or(0, |deployment| ready_places(deployment, recorded, &mine));
        status.containers = mine.iter().take(TOLD).map(|(slot, seen)| container(slot, seen)).collect();
        status.containers.sort_by(|one, other| one.name.cmp(&other.name));
        status.containers_ready = deployment.map(|deployment| format!("{ready}/{}", wanted(deployment)));
    }
    let phase = phase(&before, report, deleting);
    status.phase = (!recorded.lost).then_some(phase);
    let same = before.release == status.release && before.observed_generation == generation;
    let known = if same || deleting { before.progress.unwrap_or(0) } else { 0 };
    status.progress = Some(if deleting { known } else { progress(report, phase, ready).max(known) });
    let (verdict, reason) = verdict(&before, report);
    let reason = variables.redacted(reason);
    status.message = Some(reason.message.clone());
    conditions::set_verdict(&mut status.conditions, &verdict, &reason.word, &reason.message, generation, now);
    warn(&mut status, report, generation, now);
    status
}

/// The object's containers and where each belongs.
fn mine<'a>(recorded: &Recorded, observed: &'a Observed) -> Vec<(Slot, &'a Container)> {
    let slot = |seen: &Container| match recorded.containers.get(&seen.id) {
        Some(made) => Some(made.slot.clone()),
        None => {
            let number = seen.labels.get(compose::CONTAINER_NUMBER)?.parse().ok()?;
            Some(Slot::new(seen.labels.get(compose::SERVICE)?, number))
        }
    };
    let ours = observed.containers.values().filter(|seen| recorded.containers.contains_key(&seen.id));
    ours.filter_map(|seen| Some((slot(seen)?, seen))).collect()
}

fn wanted(deployment: &Deployment) -> u32 {
    deployment.services.values().map(|service| service.replicas).fold(0, u32::saturating_add)
}

/// How many places have a container that is as it should be.
fn ready_places(deployment: &Deployment, recorded: &Recorded, mine: &[(Slot, &Container)]) -> u32 {
    let mut places: BTreeMap<Slot, bool> = BTreeMap::new();
    for (slot, seen) in mine {
        let of_place = deployment.services.get(&slot.service).is_some_and(|service| slot.number <= service.replicas);
        if of_place {
            let entry = places.entry(slot.clone()).or_default();
            *entry = *entry || is_ready(deployment, recorded, slot, seen);
        }
    }
    u32::try_from(places.values().filter(|ready| **ready).count()).unwrap_or(u32::MAX)
}

fn is_ready(deployment: &Deployment, recorded: &Recorded, slot: &Slot, seen: &Container) -> bool {
    let done = recorded.completed.get(slot) == Some(&deployment.release) && seen.exit_code == 0;
    match deployment.state {
        State::Stopped => !seen.state.is_up(),
        State::Running if done && !seen.state.is_up() => true,
        State::Running => seen.state == ContainerState::Running && matches!(seen.health, None | Some(Health::Healthy)),
    }
}

fn container(slot: &Slot, seen: &Container) -> ContainerStatus {
    let ended = !seen.state.is_up() && seen.started_at.is_some();
    ContainerStatus {
        name: seen.name.clone(),
        service: slot.service.clone(),
        number: i64::from(slot.number),
        state: Some(seen.state.word().to_owned()),
        health: seen.health.map(|health| {
            match health {
                Health::Starting => "starting",
                Health::Healthy => "healthy",
                Health::Unhealthy => "unhealthy",
            }
            .to_owned()
        }),
        exit_code: ended.then_some(seen.exit_code),
        restarts: (seen.restarts > 0).then_some(seen.restarts),
        started_at: seen.started_at.map(to_second),
    }
}

/// What is being done now.
fn doing<'a>(report: &'a Report<'_>) -> Option<Doing<'a>> {
    if let Step::Act(actions) = report.step {
        return actions.iter().map(of_action).min();
    }
    let tasks = report.observed.iter().flat_map(|observed| &observed.tasks);
    let running = tasks.filter(|(_, sight)| matches!(sight, TaskSight::Running(_)));
    running.map(|(key, _)| of_key(key)).min()
}

/// What is being done, the earliest part of a release first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doing<'a> {
    Pull(&'a str),
    Build(&'a str),
    Deliver,
    Make,
    Start,
    Stop,
}

fn of_action(action: &Action) -> Doing<'_> {
    match action {
        Action::Pull { image, .. } => Doing::Pull(image),
        Action::Build { image, .. } => Doing::Build(image),
        Action::Deliver { .. } => Doing::Deliver,
        Action::CreateNetwork { .. }
        | Action::ConnectProxy { .. }
        | Action::Survey { .. }
        | Action::RemoveNetwork { .. }
        | Action::CreateVolume { .. }
        | Action::RemoveVolume { .. }
        | Action::Create(_)
        | Action::Rename { .. }
        | Action::Remove { .. } => Doing::Make,
        Action::Start { .. } | Action::Unpause { .. } | Action::AfterStart { .. } => Doing::Start,
        Action::Stop { .. } => Doing::Stop,
    }
}

/// The same, by the key that an action is remembered by.
fn of_key(key: &str) -> Doing<'_> {
    let target = key.split(' ').nth(1).unwrap_or_default();
    match key.split(' ').next().unwrap_or_default() {
        "pull" => Doing::Pull(target),
        "build" => Doing::Build(target),
        "deliver" => Doing::Deliver,
        "start" | "unpause" | "after" => Doing::Start,
        "stop" => Doing::Stop,
        _ => Doing::Make,
    }
}

fn phase(before: &DockerServiceStatus, report: &Report<'_>, deleting: bool) -> ServicePhase {
    let stops = report.deployment.is_some_and(|deployment| deployment.state == State::Stopped);
    match report.step {
        Step::Stall(_) => ServicePhase::Stalled,
        _ if deleting => ServicePhase::Deleting,
        Step::Rest { .. } if stops => ServicePhase::Stopped,
        Step::Rest { .. } => ServicePhase::Running,
        Step::Release => before.phase.unwrap_or(ServicePhase::Deleting),
        Step::Look(_) | Step::Record(_) | Step::Act(_) | Step::Wait(..) => match doing(report) {
            Some(Doing::Pull(_)) => ServicePhase::Pulling,
            Some(Doing::Build(_)) => ServicePhase::Building,
            Some(Doing::Deliver) => ServicePhase::Delivering,
            Some(_) if stops => ServicePhase::Stopping,
            Some(Doing::Make | Doing::Stop) => ServicePhase::Creating,
            Some(Doing::Start) => ServicePhase::Starting,
            None => match (report.step, before.phase) {
                (Step::Wait(reason, _), Some(known)) if is_trouble(reason) && known != ServicePhase::Pending => {
                    ServicePhase::Degraded
                }
                (Step::Wait(..), Some(ServicePhase::Creating)) => ServicePhase::Starting,
                (_, Some(ServicePhase::Stalled | ServicePhase::Degraded)) if matches!(report.step, Step::Wait(..)) => {
                    ServicePhase::Starting
                }
                (_, known) => known.unwrap_or(ServicePhase::Pending),
            },
        },
    }
}

/// Whether something is wrong that a person would want to know of.
fn is_trouble(reason: &Reason) -> bool {
    !["Working", "Starting", "WaitingForHealth", "Stopping", "Removing", "HostNotReady"].contains(&reason.word.as_str())
}

/// In tens: pulls up to 40, what is made up to 60, what is ready up to 90.
fn progress(report: &Report<'_>, phase: ServicePhase, ready: u32) -> i64 {
    let share = |done: u64, all: u64, tens: i64| {
        let part = i64::try_from(done.saturating_mul(10) / all.max(1)).unwrap_or(10);
        part.saturating_mul(tens) / 10
    };
    match phase {
        ServicePhase::Running | ServicePhase::Stopped => 100,
        ServicePhase::Pending => 0,
        ServicePhase::Pulling | ServicePhase::Building => {
            let (mut bytes, mut all) = (0_u64, 0_u64);
            for progress in pulls(report) {
                let (done, whole) = match progress.bytes_total {
                    0 => (u64::from(progress.parts), u64::from(progress.parts_total)),
                    whole => (progress.bytes, whole),
                };
                bytes = bytes.saturating_add(done);
                all = all.saturating_add(whole);
            }
            share(bytes, all, 3).saturating_add(1).saturating_mul(10)
        }
        ServicePhase::Delivering => 40,
        ServicePhase::Creating => 50,
        ServicePhase::Starting
        | ServicePhase::Degraded
        | ServicePhase::Stopping
        | ServicePhase::Deleting
        | ServicePhase::Stalled => {
            let wanted = report.deployment.map_or(0, wanted);
            if ready == 0 && phase == ServicePhase::Stalled {
                return 0;
            }
            share(u64::from(ready), u64::from(wanted), 3).saturating_add(6).saturating_mul(10).min(90)
        }
    }
}

fn pulls<'a>(report: &'a Report<'_>) -> impl Iterator<Item = &'a crate::docker::observed::Progress> {
    let tasks = report.observed.iter().flat_map(|observed| &observed.tasks);
    tasks.filter_map(|(key, sight)| match (of_key(key), sight) {
        (Doing::Pull(_) | Doing::Build(_), TaskSight::Running(progress)) => Some(progress),
        _ => None,
    })
}

fn verdict(before: &DockerServiceStatus, report: &Report<'_>) -> (Verdict, Reason) {
    match report.step {
        Step::Rest { .. } => {
            let wanted = report.deployment.map_or(0, wanted);
            let state = report.deployment.map_or(State::Running, |deployment| deployment.state);
            let (word, what) = match state {
                State::Running => ("Running", "as the compose file says"),
                State::Stopped => ("Stopped", "stopped"),
            };
            let (noun, verb) = if wanted == 1 { ("container", "is") } else { ("containers", "are") };
            (Verdict::Ready, Reason::new(word, format!("{wanted} {noun} {verb} {what}")))
        }
        Step::Stall(reason) => (Verdict::Stalled, reason.clone()),
        Step::Wait(reason, _) => match loading(report) {
            // What is being loaded, and how far, is more than that something is under way.
            Some(loading) if reason.word == "Working" => (Verdict::Reconciling, loading),
            _ => (Verdict::Reconciling, reason.clone()),
        },
        Step::Act(actions) => (Verdict::Reconciling, begun(actions)),
        Step::Look(_) | Step::Record(_) | Step::Release => {
            let known = before.conditions.iter().find(|condition| condition.type_ == conditions::RECONCILING);
            let reason = known.map(|known| Reason::new(&known.reason, &known.message));
            (Verdict::Reconciling, reason.unwrap_or_else(|| Reason::new("Begun", "begun")))
        }
    }
}

/// How far pulls and builds are.
fn loading(report: &Report<'_>) -> Option<Reason> {
    let tasks = report.observed.iter().flat_map(|observed| &observed.tasks);
    let mut told = Vec::new();
    let mut word = "Pulling";
    for (key, sight) in tasks {
        let TaskSight::Running(progress) = sight else { continue };
        let megabytes = |bytes: u64| bytes / 1_000_000;
        match of_key(key) {
            Doing::Pull(image) if progress.parts_total > 0 => told.push(format!(
                "pulling {image}: {} of {} layers, {} of {} MB",
                progress.parts,
                progress.parts_total,
                megabytes(progress.bytes),
                megabytes(progress.bytes_total)
            )),
            Doing::Pull(image) => told.push(format!("pulling {image}")),
            Doing::Build(image) => {
                word = "Building";
                told.push(format!(
                    "building {image}: {} of {} {}",
                    progress.parts, progress.parts_total, progress.doing
                ));
            }
            Doing::Deliver => {
                word = "Delivering";
                told.push(format!(
                    "delivering content: {} of {} MB",
                    megabytes(progress.bytes),
                    megabytes(progress.bytes_total)
                ));
            }
            Doing::Make | Doing::Start | Doing::Stop => {}
        }
    }
    (!told.is_empty()).then(|| Reason::new(word, told.join("; ")))
}

fn begun(actions: &[Action]) -> Reason {
    let first = actions.first();
    let more = match actions.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let (word, what) = match first {
        Some(Action::Pull { image, .. }) => ("Pulling", format!("pulling {image}")),
        Some(Action::Build { image, .. }) => ("Building", format!("building {image}")),
        Some(Action::CreateNetwork { key }) => ("Creating", format!("making network {key}")),
        Some(Action::ConnectProxy { proxy, .. }) => ("Creating", format!("connecting the proxy {proxy}")),
        Some(Action::RemoveNetwork { name, .. }) => ("Removing", format!("removing network {name}")),
        Some(Action::CreateVolume { key }) => ("Creating", format!("making volume {key}")),
        Some(Action::Deliver { volume, .. }) => ("Delivering", format!("delivering content into volume {volume}")),
        Some(Action::Survey { volume }) => ("Removing", format!("looking what was written into volume {volume}")),
        Some(Action::RemoveVolume { name }) => ("Removing", format!("removing volume {name}")),
        Some(Action::Create(creation)) => ("Creating", format!("making container {}", creation.name)),
        Some(Action::Rename { name, .. }) => ("Creating", format!("renaming a container to {name}")),
        Some(Action::Start { slot, .. }) => ("Starting", format!("starting {} {}", slot.service, slot.number)),
        Some(Action::Unpause { .. }) => ("Starting", "letting a container go on".to_owned()),
        Some(Action::AfterStart { slot, .. }) => {
            ("Starting", format!("running what follows the start of {} {}", slot.service, slot.number))
        }
        Some(Action::Stop { slot, .. }) => ("Stopping", format!("stopping {} {}", slot.service, slot.number)),
        Some(Action::Remove { .. }) => ("Removing", "removing a container".to_owned()),
        None => ("Begun", "begun".to_owned()),
    };
    Reason::new(word, what + &more)
}

/// What is worth a warning while all is as desired.
fn warn(status: &mut DockerServiceStatus, report: &Report<'_>, generation: i64, now: Timestamp) {
    let Step::Rest { warnings, .. } = report.step else { return };
    let trouble = report.supplied.and_then(|supplied| supplied.trouble.clone());
    let warnings: Vec<_> = warnings.iter().cloned().chain(trouble).collect();
    let Some(first) = warnings.first() else {
        conditions::remove_condition(&mut status.conditions, WARNING);
        return;
    };
    let told: Vec<_> = warnings.iter().map(|warning| report.variables.redact(&warning.message)).collect();
    let condition = conditions::condition(WARNING, "True", &first.word, &told.join("; "), generation, now);
    conditions::set_condition(&mut status.conditions, condition);
}

/// Where the project's first published port is reached, by the order of the file.
pub fn url(project: &Project, address: &str) -> Option<String> {
    let ports = project.services.values().flat_map(|service| &service.ports);
    let fixed = ports.filter_map(|port| {
        let published = port.published.filter(|published| published.first == published.last)?;
        (port.protocol == Protocol::Tcp).then_some((port, published.first))
    });
    let (Port { target, app_protocol, .. }, published) = fixed.min_by_key(|(port, _)| port.at.line)?;
    let secure = app_protocol.as_deref() == Some("https") || [443, 8443].contains(target);
    let (scheme, usual) = if secure { ("https", 443) } else { ("http", 80) };
    Some(if published == usual { format!("{scheme}://{address}") } else { format!("{scheme}://{address}:{published}") })
}
