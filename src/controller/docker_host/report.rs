//! What the status of a host says: a pure function of the spec and what the engine answered.

use jiff::Timestamp;

use crate::{
    api::{
        DockerHost,
        conditions::{self, Verdict},
        docker_host::{ContainerCount, DockerHostStatus, EngineStatus},
    },
    controller::{docker_policy, hold, secret::Problem},
    docker::engine::{
        Capacity, Error,
        outcome::{self, Class},
    },
    reason::Reason,
};

/// False when anybody could stand between the operator and the engine.
const TLS_VERIFIED: &str = "TLSVerified";

/// What there is to report of a host.
pub struct Seen<'a> {
    /// Services that have, or may have, something on it.
    pub services: usize,
    /// Those of them that hold it, if it is being deleted.
    pub users: &'a [String],
}

/// The status of a host that nobody looked at yet.
pub fn unobserved() -> DockerHostStatus {
    DockerHostStatus { observed_generation: -1, ..DockerHostStatus::default() }
}

/// The status of a host that cannot be connected to.
pub fn refused(host: &DockerHost, problem: &Problem, seen: &Seen<'_>, now: Timestamp) -> DockerHostStatus {
    let mut status = host.status.clone().unwrap_or_default();
    finish(host, &mut status, problem.judged(), seen, now);
    status
}

/// Why a host cannot be used whose engine did not answer.
pub fn unanswered(error: &Error) -> Problem {
    let failure = outcome::of(error);
    let reason = Reason::new(failure.word, failure.message);
    match failure.class {
        Class::Stalled => Problem::Stall(reason),
        Class::LookAgain | Class::Retry | Class::Wait => Problem::Wait(reason),
    }
}

/// Why a host cannot be used whose engine answered.
pub fn unusable(host: &DockerHost, capacity: &Capacity, services: usize) -> Option<Problem> {
    if let Err(error) = docker_policy::validate(&host.spec) {
        return Some(Problem::Stall(Reason::new("InvalidSpec", error)));
    }
    if capacity.os != "linux" {
        let message = format!("the engine runs containers of {}, and only those of linux are known here", capacity.os);
        return Some(Problem::Stall(Reason::new("WrongSystem", message)));
    }
    let known = host.status.as_ref().and_then(|status| status.engine.as_ref()).and_then(|engine| engine.id.as_ref());
    let (expected, remedy) = match (&host.spec.engine_id, known) {
        (Some(expected), _) => (expected, "spec.engineId names another"),
        // What the services had stays with the engine that was there.
        (None, Some(known)) if services > 0 => {
            (known, "name its id in spec.engineId to have the services made anew there")
        }
        (None, _) => return None,
    };
    (*expected != capacity.id).then(|| {
        let message = format!(
            "the engine {} answers at {}, and {expected} is expected; {remedy}",
            capacity.id, host.spec.endpoint
        );
        Problem::Stall(Reason::new("AnotherEngine", message))
    })
}

/// The status of a host whose engine answered, and can be used.
pub fn status(host: &DockerHost, capacity: &Capacity, seen: &Seen<'_>, now: Timestamp) -> DockerHostStatus {
    let mut status = host.status.clone().unwrap_or_default();
    status.engine = Some(EngineStatus {
        id: Some(capacity.id.clone()),
        version: Some(capacity.version.clone()),
        api_version: Some(capacity.api.to_string()),
        host: Some(capacity.name.clone()),
        operating_system: Some(format!("{}, {}", capacity.distribution, capacity.architecture)),
    });
    status.cpus = Some(i64::from(capacity.cpus));
    status.memory = Some(memory(capacity.memory));
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    status.containers = Some(ContainerCount { total: count(capacity.containers), running: count(capacity.running) });
    let message = format!("Docker {} on {} answers", capacity.version, capacity.name);
    finish(host, &mut status, (Verdict::Ready, Reason::new("Available", message)), seen, now);
    status
}

fn memory(bytes: u64) -> String {
    match bytes >> 30 {
        0..8 => format!("{}Mi", bytes >> 20),
        gibibytes => format!("{gibibytes}Gi"),
    }
}

/// A host that is being deleted stays while services are on it.
fn in_use(users: &[String]) -> Option<(Verdict, Reason)> {
    let what = if users.len() == 1 { "DockerService that is on it goes" } else { "DockerServices that are on it go" };
    let message = format!("it is deleted when the {} {what}: {}", users.len(), hold::some(users));
    (!users.is_empty()).then(|| (Verdict::Reconciling, Reason::new("InUse", message)))
}

fn finish(
    host: &DockerHost,
    status: &mut DockerHostStatus,
    judged: (Verdict, Reason),
    seen: &Seen<'_>,
    now: Timestamp,
) {
    let Seen { services, users } = seen;
    let (verdict, reason) = in_use(users).unwrap_or(judged);
    let generation = host.metadata.generation.unwrap_or_default();
    status.observed_generation = generation;
    status.services = i64::try_from(*services).ok();
    conditions::set_verdict(&mut status.conditions, &verdict, &reason.word, &reason.message, generation, now);
    let insecure = (host.spec.insecure_plaintext == Some(true)).then(|| {
        let message =
            "insecurePlaintext asks for no proof: whoever reaches the engine's port, or is on the network path, is root there";
        Reason::new("InsecurePlaintext", message)
    });
    conditions::set_while_false(
        &mut status.conditions,
        TLS_VERIFIED,
        insecure.map(|it| (it.word, it.message)),
        generation,
        now,
    );
}
