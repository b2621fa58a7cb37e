//! What a reconcile writes to Kubernetes: the status, the events that follow from it, and the finalizer.

use std::time::Duration;

use jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    runtime::{
        events::{Event, EventType},
        reflector::ObjectRef,
    },
};

use super::{
    Error, MachineReconciler, Walk, convert,
    report::{self, Report},
    resolve,
};
use crate::{
    api::{
        ProxmoxVM,
        conditions::READY,
        proxmox_vm::{Phase, ProxmoxVMStatus},
    },
    controller::{
        describe, finalizer,
        run::{Kind, Next},
        status,
    },
    proxmox::plan::{Recorded, Step},
};

impl MachineReconciler {
    /// Something that the object refers to is not there, or it is refused: the status says so.
    pub(super) async fn held_up(&self, vm: &ProxmoxVM, step: Step, pause: Duration) -> Result<Next, Error> {
        // What cannot be read is as good as lost; and what was lost stays so until the machine was searched.
        let recorded = convert::recorded(&vm.status.clone().unwrap_or_default());
        let lost = recorded.is_err() || resolve::is_lost(vm, finalizer::is_held(vm));
        let recorded = Recorded { lost, ..recorded.unwrap_or_default() };
        self.shared.ledger.wait(&vm.uid().unwrap_or_default(), None);
        let report = Report { recorded: &recorded, step: &step, cloned: None, addresses: None, power: None };
        self.write(vm, report::status(vm, &report, Timestamp::now())).await?;
        Ok(Next::After(pause))
    }

    /// Says in the status where the object stands; whether there was news.
    pub(super) async fn report(
        &self,
        walk: &mut Walk,
        step: &Step,
        addresses: Option<Vec<String>>,
    ) -> Result<bool, Error> {
        let recorded = &walk.world.recorded;
        let place = recorded.intent.as_ref().map(|intent| &intent.place);
        let power = place.and_then(|place| walk.sightings.power(place));
        let report = Report { recorded, step, cloned: walk.sightings.cloned(), addresses, power };
        let status = report::status(&walk.vm, &report, Timestamp::now());
        let written = self.write(&walk.vm, status).await?;
        let news = written.is_some();
        if let Some(written) = written {
            walk.vm = written;
        }
        Ok(news)
    }

    /// Writes the status in any case before something outside is changed: a controller that was replaced without knowing
    /// it, or whose object is gone, ends here.
    pub(super) async fn fence(&self, walk: &mut Walk, step: &Step) -> Result<(), Error> {
        if !self.report(walk, step, None).await? {
            walk.vm = status::write(&self.api(&walk.vm), &walk.vm).await?;
        }
        Ok(())
    }

    async fn write(&self, vm: &ProxmoxVM, status: ProxmoxVMStatus) -> Result<Option<ProxmoxVM>, Error> {
        let api = self.api(vm);
        let after = ProxmoxVM { status: Some(status), ..vm.clone() };
        let written = status::replace(&api, vm, &after).await?;
        if let Some(written) = &written {
            self.tell(vm, written).await;
        }
        let version = written.as_ref().unwrap_or(vm).resource_version().unwrap_or_default();
        self.shared.machines.wrote(&ObjectRef::from_obj(vm), &version);
        Ok(written)
    }

    /// An event for each change of state that a person would want to know of.
    async fn tell(&self, before: &ProxmoxVM, after: &ProxmoxVM) {
        let (Some(old), Some(new)) = (&before.status, &after.status) else { return };
        if old.phase == new.phase {
            return;
        }
        let Some(phase) = new.phase else { return };
        let ready = new.conditions.iter().find(|condition| condition.type_ == READY);
        // What stands still because it is to, or because we asked it to, is no trouble.
        let meant = old.phase == Some(Phase::Stopping) || ready.is_some_and(|ready| ready.status == "True");
        let event = Event {
            type_: if phase.is_trouble() && !meant { EventType::Warning } else { EventType::Normal },
            reason: ready.map_or_else(|| format!("{phase:?}"), |ready| ready.reason.clone()),
            note: new.message.clone(),
            action: format!("{phase:?}"),
            secondary: None,
        };
        if let Err(error) = self.shared.recorder.publish(&event, &after.object_ref(&())).await {
            tracing::debug!(error = describe(&error), "an event was not recorded");
        }
    }

    /// From here on there may be something outside: the object is held until nothing of it is left.
    pub(super) async fn hold(&self, walk: &mut Walk) -> Result<(), Error> {
        if let Some(held) = finalizer::hold(&self.api(&walk.vm), &walk.vm).await? {
            walk.vm = held;
        }
        Ok(())
    }

    /// Nothing is left: the finalizer goes.
    pub(super) async fn release(&self, vm: &ProxmoxVM) -> Result<(), Error> {
        Ok(finalizer::release(&self.api(vm), vm).await?)
    }

    fn api(&self, vm: &ProxmoxVM) -> Api<ProxmoxVM> {
        ProxmoxVM::api(&self.shared.client, vm)
    }
}
