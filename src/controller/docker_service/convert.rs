//! Between the words of the resource and the words of the plan.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    api::docker_service as api,
    controller::status::to_second,
    docker::{
        desired::{Deployment, Removal, Slot, State},
        recorded::{Failed, Fetched, Good, Lost, Made, Recorded, Restarting},
    },
    reason::Reason,
};

/// What the status records.
pub fn recorded(status: &api::DockerServiceStatus) -> Recorded {
    let api::ServiceRecord {
        containers,
        images,
        completed,
        halted,
        hooks,
        failed,
        good,
        lost_release,
        delivering,
        delivered,
        surveyed,
        dropped,
        restarting,
    } = status.record.clone().unwrap_or_default();
    Recorded {
        lost: false,
        containers: containers.into_iter().map(made).collect(),
        fetched: images.into_iter().map(fetched).collect(),
        completed: completed
            .into_iter()
            .map(|api::CompletedContainer { service, number, release }| (slot(&service, number), release))
            .collect(),
        halted: halted.into_iter().map(started).collect(),
        hooks: hooks.into_iter().collect(),
        failed: failed.into_iter().map(failure).collect(),
        good: good.map(|good| Good {
            release: good.release,
            completed: good.completed.into_iter().map(|place| slot(&place.service, place.number)).collect(),
            images: good.images,
            contents: good.contents.into_iter().collect(),
            model: good.model,
        }),
        lost_release: lost_release.map(|lost| Lost {
            release: lost.release,
            restart: lost.restart,
            reason: Reason::new(&lost.reason, lost.message),
        }),
        delivering: times(delivering),
        delivered: times(delivered),
        surveyed,
        dropped,
        restarted: status.restarted_at.clone(),
        restarting: restarting.map(|api::Restarting { value, before }| Restarting {
            value,
            before: before.into_iter().map(started).collect(),
        }),
    }
}

/// Writes what is recorded into a status.
pub fn write(recorded: &Recorded, status: &mut api::DockerServiceStatus) {
    let Recorded {
        lost: _,
        containers,
        fetched,
        completed,
        halted,
        hooks,
        failed,
        good,
        lost_release,
        delivering,
        delivered,
        surveyed,
        dropped,
        restarted,
        restarting,
    } = recorded.clone();
    let record = api::ServiceRecord {
        containers: containers.into_iter().map(write_made).collect(),
        images: fetched.into_iter().map(write_fetched).collect(),
        completed: completed
            .into_iter()
            .map(|(Slot { service, number }, release)| api::CompletedContainer {
                service,
                number: i64::from(number),
                release,
            })
            .collect(),
        halted: halted.into_iter().map(write_started).collect(),
        hooks: hooks.into_iter().collect(),
        failed: failed.into_iter().map(write_failure).collect(),
        good: good.map(|Good { release, completed, images, contents, model }| api::GoodRelease {
            release,
            completed: completed
                .into_iter()
                .map(|Slot { service, number }| api::ContainerPlace { service, number: i64::from(number) })
                .collect(),
            images,
            contents: contents.into_iter().collect(),
            model,
        }),
        lost_release: lost_release.map(|Lost { release, restart, reason: Reason { word, message } }| {
            api::LostRelease { release, restart, reason: word, message }
        }),
        delivering: write_times(delivering),
        delivered: write_times(delivered),
        surveyed,
        dropped,
        restarting: restarting.map(|Restarting { value, before }| api::Restarting {
            value,
            before: before.into_iter().map(write_started).collect(),
        }),
    };
    status.record = (record != api::ServiceRecord::default()).then_some(record);
    status.restarted_at = restarted;
}

fn times(of: BTreeMap<String, String>) -> BTreeMap<String, Timestamp> {
    of.into_iter().filter_map(|(name, at)| Some((name, at.parse().ok()?))).collect()
}

fn write_times(of: BTreeMap<String, Timestamp>) -> BTreeMap<String, String> {
    of.into_iter().map(|(name, at)| (name, at.to_string())).collect()
}

fn slot(service: &str, number: i64) -> Slot {
    Slot::new(service, u32::try_from(number).unwrap_or_default())
}

fn started(started: api::StartedContainer) -> (String, Option<Timestamp>) {
    let api::StartedContainer { id, started_at } = started;
    (id, started_at.and_then(|at| at.parse().ok()))
}

fn write_started((id, at): (String, Option<Timestamp>)) -> api::StartedContainer {
    api::StartedContainer { id, started_at: at.map(|at| at.to_string()) }
}

fn made(made: api::MadeContainer) -> (String, Made) {
    let api::MadeContainer { id, service, number, settings } = made;
    (id, Made { slot: slot(&service, number), settings })
}

fn write_made((id, made): (String, Made)) -> api::MadeContainer {
    let Made { slot: Slot { service, number }, settings } = made;
    api::MadeContainer { id, service, number: i64::from(number), settings }
}

fn fetched(fetched: api::FetchedImage) -> (String, Fetched) {
    let api::FetchedImage { reference, image, at, cause } = fetched;
    (reference, Fetched { image, at: at.0, cause })
}

fn write_fetched((reference, fetched): (String, Fetched)) -> api::FetchedImage {
    let Fetched { image, at, cause } = fetched;
    api::FetchedImage { reference, image, at: to_second(at), cause }
}

fn failure(failed: api::FailedContainer) -> (Slot, Failed) {
    let api::FailedContainer { service, number, config, image, restart, reason, message } = failed;
    (slot(&service, number), Failed { config, image, restart, reason: Reason::new(&reason, message) })
}

fn write_failure((Slot { service, number }, failed): (Slot, Failed)) -> api::FailedContainer {
    let Failed { config, image, restart, reason: Reason { word, message } } = failed;
    api::FailedContainer { service, number: i64::from(number), config, image, restart, reason: word, message }
}

/// Whether the service is to run.
pub fn state(state: api::ServiceState) -> State {
    match state {
        api::ServiceState::Running => State::Running,
        api::ServiceState::Stopped => State::Stopped,
    }
}

/// What the spec says of the way from one release to the next.
pub fn rollout(rollout: Option<&api::Rollout>, deployment: Deployment) -> Deployment {
    let Some(api::Rollout { health_deadline, rollback }) = rollout else { return deployment };
    let deadline = health_deadline.and_then(|deadline| std::time::Duration::from(deadline).try_into().ok());
    let rollback = match rollback {
        api::Rollback::Always => true,
        api::Rollback::Never => false,
    };
    Deployment { health_deadline: deadline.unwrap_or(deployment.health_deadline), rollback, ..deployment }
}

/// What its deletion takes along.
pub fn removal(policy: api::DeletionPolicy) -> Removal {
    match policy {
        api::DeletionPolicy::KeepVolumes => Removal::KeepVolumes,
        api::DeletionPolicy::DeleteVolumes => Removal::WithVolumes,
        api::DeletionPolicy::Orphan => Removal::Orphan,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn what_is_recorded_survives_being_written_and_read() {
        let at = Timestamp::from_second(1_000).unwrap();
        // As an engine has them.
        let started = Timestamp::from_nanosecond(1_000_123_456_789).unwrap();
        let slot = Slot::new("web", 2);
        let recorded = Recorded {
            lost: false,
            containers: BTreeMap::from([("1a".into(), Made { slot: slot.clone(), settings: "s".into() })]),
            fetched: BTreeMap::from([("nginx:1".into(), Fetched { image: "sha256:1".into(), at, cause: "r".into() })]),
            completed: BTreeMap::from([(slot.clone(), "r".into())]),
            halted: BTreeMap::from([("1a".into(), Some(started))]),
            hooks: BTreeSet::from(["1b".into()]),
            failed: BTreeMap::from([(
                slot,
                Failed {
                    config: "c".into(),
                    image: "sha256:1".into(),
                    restart: Some("monday".into()),
                    reason: Reason::new("Unhealthy", "it is not healthy"),
                },
            )]),
            good: Some(Good {
                release: "r0".into(),
                completed: BTreeSet::from([Slot::new("migrate", 1)]),
                images: BTreeMap::from([("web".into(), "sha256:1".into())]),
                contents: BTreeSet::from(["p_content-1".into()]),
                model: "m".into(),
            }),
            lost_release: Some(Lost {
                release: "r".into(),
                restart: None,
                reason: Reason::new("Unhealthy", "it is not healthy"),
            }),
            delivering: BTreeMap::from([("p_content-2".into(), started)]),
            delivered: BTreeMap::from([("p_content-1".into(), started)]),
            surveyed: BTreeMap::from([("p_content-0".into(), String::new())]),
            dropped: Some("something is gone".into()),
            restarted: Some("monday".into()),
            restarting: Some(Restarting {
                value: "tuesday".into(),
                before: BTreeMap::from([("1a".into(), Some(started)), ("1b".into(), None)]),
            }),
        };
        let mut status = api::DockerServiceStatus::default();
        write(&recorded, &mut status);
        let written = serde_json::to_value(&status).unwrap();
        let read: api::DockerServiceStatus = serde_json::from_value(written).unwrap();
        assert_eq!(super::recorded(&read), recorded);
        write(&Recorded::default(), &mut status);
        assert_eq!(status, api::DockerServiceStatus::default());
    }
}
