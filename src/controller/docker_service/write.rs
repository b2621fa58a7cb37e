//! What a reconcile writes to Kubernetes: the status, the events that follow from it, and the finalizer.

use std::time::Duration;

use jiff::Timestamp;
use kube::{
    Api,
    runtime::{
        events::{Event, EventType},
        reflector::ObjectRef,
    },
};

use super::{
    ServiceReconciler, Walk, berth,
    report::{self, Report},
    resolve::{self, Told, World},
    variables::Variables,
};
use crate::{
    api::{
        DockerService,
        conditions::READY,
        docker_service::{DockerServiceStatus, ServicePhase},
    },
    controller::{
        events::{self, event},
        finalizer,
        run::{Error, Kind, Next},
        status,
    },
    docker::{desired::Desired, observed::Observed, plan::Step},
};

impl ServiceReconciler {
    /// Something that the object refers to is not there, or it is refused: the status says so.
    pub(super) async fn held_up(&self, service: &DockerService, step: Step, pause: Duration) -> Result<Next, Error> {
        let recorded = resolve::recorded(service, finalizer::is_held(service));
        let report = Report {
            recorded: &recorded,
            step: &step,
            observed: None,
            deployment: None,
            url: None,
            variables: &Variables::default(),
            supplied: None,
            told: &Told::default(),
        };
        self.write(service, report::status(service, &report, Timestamp::now())).await?;
        Ok(Next::After(pause))
    }

    /// Says in the status where the object stands; whether there was news.
    pub(super) async fn report(
        &self,
        walk: &mut Walk,
        step: &Step,
        observed: Option<&Observed>,
    ) -> Result<bool, Error> {
        let World { desired, project, recorded, public_address, variables, supplied, told, .. } = &walk.world;
        let deployment = match desired {
            Desired::Present(deployment) => Some(&**deployment),
            Desired::Gone(_) => None,
        };
        let url = project.as_ref().zip(public_address.as_ref());
        let url = url.and_then(|(project, address)| report::url(project, address));
        let report = Report { recorded, step, observed, deployment, url, variables, supplied: supplied.as_ref(), told };
        let status = report::status(&walk.service, &report, Timestamp::now());
        let written = self.write(&walk.service, status).await?;
        let news = written.is_some();
        if let Some(written) = written {
            walk.service = written;
        }
        Ok(news)
    }

    /// Writes the status in any case before something outside is changed: a controller that was replaced without knowing
    /// it, or whose object is gone, ends here.
    pub(super) async fn fence(&self, walk: &mut Walk, step: &Step, observed: &Observed) -> Result<(), Error> {
        if !self.report(walk, step, Some(observed)).await? {
            walk.service = status::write(&self.api(&walk.service), &walk.service).await?;
        }
        Ok(())
    }

    async fn write(
        &self,
        service: &DockerService,
        status: DockerServiceStatus,
    ) -> Result<Option<DockerService>, Error> {
        let api = self.api(service);
        let after = DockerService { status: Some(status), ..service.clone() };
        let written = status::report(&api, &self.shared.services, service, &after).await?;
        if let Some(written) = &written {
            self.tell(service, written).await;
        }
        Ok(written)
    }

    /// An event for each change of state that a person would want to know of.
    async fn tell(&self, before: &DockerService, after: &DockerService) {
        let old = before.status.as_ref().and_then(|status| status.phase);
        let Some(new) = &after.status else { return };
        let revision = |status: &DockerServiceStatus| status.source.clone().map(|source| source.revision);
        if let Some(revision) =
            revision(new).filter(|new| before.status.as_ref().and_then(revision).as_ref() != Some(new))
        {
            let note = format!("the source is at {revision}");
            self.publish(after, &event(EventType::Normal, "Fetched", "Fetch", note)).await;
        }
        let Some(phase) = new.phase.filter(|phase| Some(*phase) != old) else { return };
        let ready = new.conditions.iter().find(|condition| condition.type_ == READY);
        // What stands still because it is to, or because we asked it to, is no trouble.
        let meant = old == Some(ServicePhase::Stopping) || ready.is_some_and(|ready| ready.status == "True");
        let type_ = if phase.is_trouble() && !meant { EventType::Warning } else { EventType::Normal };
        let reason = ready.map_or_else(|| format!("{phase:?}"), |ready| ready.reason.clone());
        let note = new.message.clone().unwrap_or_default();
        self.publish(after, &event(type_, &reason, format!("{phase:?}"), note)).await;
    }

    async fn publish(&self, service: &DockerService, event: &Event) {
        events::publish(&self.shared.recorder, service, event).await;
    }

    /// From here on there may be something outside: the object is held until nothing of it is left.
    pub(super) async fn hold(&self, walk: &mut Walk) -> Result<(), Error> {
        if let Some(held) = finalizer::hold(&self.api(&walk.service), &walk.service).await? {
            walk.service = held;
            self.shared.berths.note(&walk.world.owner.uid, berth(&walk.service));
            // It shows how many it has.
            self.shared.hosts.wake(ObjectRef::new(&walk.world.dock.name));
        }
        Ok(())
    }

    /// Nothing is left: the finalizer goes.
    pub(super) async fn release(&self, service: &DockerService) -> Result<(), Error> {
        Ok(finalizer::release(&self.api(service), service).await?)
    }

    /// The finalizer goes, and whatever there is on the host stays.
    pub(super) async fn orphan(&self, service: &DockerService) -> Result<Next, Error> {
        let status = service.status.clone().unwrap_or_default();
        let project = status.project.unwrap_or_default();
        let host = &service.spec.host_ref.name;
        let note =
            format!("the compose project {project} stays on DockerHost {host} as it is, and nobody keeps it any more");
        self.publish(service, &event(EventType::Warning, "Orphaned", "Orphan", note)).await;
        self.release(service).await?;
        Ok(Next::Event)
    }

    fn api(&self, service: &DockerService) -> Api<DockerService> {
        DockerService::api(&self.shared.client, service)
    }
}
