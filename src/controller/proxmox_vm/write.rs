//! What a reconcile writes to Kubernetes: the status, the events that follow from it, and the finalizer.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Api, ResourceExt, runtime::events::Event};

use super::{
    MachineReconciler, Walk, convert,
    report::{self, Report},
    resolve::{self, World},
    tell,
};
use crate::{
    api::{ProxmoxVM, proxmox_vm::ProxmoxVMStatus},
    controller::{
        events, finalizer,
        run::{Error, Kind, Next},
        status,
    },
    proxmox::plan::{Desired, Intent, Recorded, Step},
};

impl MachineReconciler {
    /// Something that the object refers to is not there, or it is refused: the status says so.
    pub(super) async fn held_up(&self, vm: &ProxmoxVM, step: Step, pause: Duration) -> Result<Next, Error> {
        // What cannot be read is as good as lost; and what was lost stays so until the machine was searched.
        let recorded = convert::recorded(&vm.status.clone().unwrap_or_default());
        let lost = recorded.is_err() || resolve::is_lost(vm, finalizer::is_held(vm));
        let recorded = Recorded { lost, ..recorded.unwrap_or_default() };
        self.shared.ledger.wait(&vm.uid().unwrap_or_default(), None);
        let report = Report { recorded: &recorded, step: &step, cloned: None, addresses: None, machine: None };
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
        let machine = place.and_then(|place| walk.sightings.machine(place));
        let report = Report { recorded, step, cloned: walk.sightings.cloned(), addresses, machine };
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
        let written = status::report(&api, &self.shared.machines, vm, &after).await?;
        if let Some(written) = &written {
            self.tell(vm, written).await;
        }
        Ok(written)
    }

    /// Events for what has changed.
    async fn tell(&self, before: &ProxmoxVM, after: &ProxmoxVM) {
        let (Some(old), Some(new)) = (&before.status, &after.status) else { return };
        for event in tell::events(old, new) {
            self.publish(after, &event).await;
        }
    }

    async fn publish(&self, vm: &ProxmoxVM, event: &Event) {
        events::publish(&self.shared.recorder, vm, event).await;
    }

    /// From here on there may be something outside: the object is held until nothing of it is left.
    pub(super) async fn hold(&self, walk: &mut Walk) -> Result<(), Error> {
        if let Some(held) = finalizer::hold(&self.api(&walk.vm), &walk.vm).await? {
            walk.vm = held;
        }
        Ok(())
    }

    /// Nothing is left to do: the finalizer goes. A machine that stays is told of.
    pub(super) async fn release(&self, walk: &Walk) -> Result<(), Error> {
        let World { desired, recorded, .. } = &walk.world;
        if let (Desired::LetGo { .. }, Some(Intent { place, .. })) = (desired, &recorded.intent) {
            self.publish(&walk.vm, &tell::retained(&place.node, i64::from(place.vmid))).await;
        }
        self.put_to_rest(&walk.vm).await?;
        Ok(finalizer::release(&self.api(&walk.vm), &walk.vm).await?)
    }

    /// The finalizer goes, and whatever there is in Proxmox stays.
    pub(super) async fn orphan(&self, vm: &ProxmoxVM) -> Result<Next, Error> {
        self.publish(vm, &tell::orphaned(&vm.status.clone().unwrap_or_default())).await;
        self.put_to_rest(vm).await?;
        finalizer::release(&self.api(vm), vm).await?;
        Ok(Next::Event)
    }

    fn api(&self, vm: &ProxmoxVM) -> Api<ProxmoxVM> {
        ProxmoxVM::api(&self.shared.client, vm)
    }
}
