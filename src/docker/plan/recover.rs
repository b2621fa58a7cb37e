//! When the record is lost: what labels and states tell of it.

use jiff::Timestamp;

use super::{
    super::{
        desired::{Deployment, Slot},
        identity,
        observed::ContainerState,
    },
    Context, Step,
    ours::Mine,
    places::ends,
};

impl Context<'_> {
    /// The step that makes a record anew, if it was lost.
    pub(super) fn recover(&self, deployment: &Deployment) -> Option<Step> {
        if !self.recorded.lost {
            return None;
        }
        let containers = &self.ours.containers;
        // Of a service that others expect to complete an exit code of 0 says that it did. Any other may have been
        // stopped by us: it is better started once more than never.
        let halted = containers.iter().filter(|mine| {
            let ended = mine.seen.state == ContainerState::Exited && mine.seen.exit_code == 0;
            ended
                && deployment.services.get(mine.service).is_some_and(|service| ends(service.restart))
                && !deployment.completes(mine.service)
        });
        let halted = halted.map(|mine| (mine.id().to_owned(), mine.seen.started_at)).collect();
        // No container is made before its content is there; but those by which it is delivered are.
        let users = containers.iter().filter(|mine| mine.service != identity::DELIVERY);
        let delivered = users.flat_map(Mine::contents).map(|volume| (volume.to_owned(), self.now)).collect();
        // A restart that was asked for at a time has happened if everything was started since. Of any other nobody knows,
        // and nothing is restarted for it.
        let asked_at: Option<Timestamp> = deployment.restart.as_ref().and_then(|value| value.parse().ok());
        let due = asked_at.is_some_and(|asked_at| {
            let before = |slot: &Slot| deployment.services.contains_key(&slot.service);
            containers.iter().any(|mine| {
                mine.is_up()
                    && before(&mine.slot())
                    && mine.seen.started_at.is_some_and(|started_at| started_at < asked_at)
                    && mine.restart != deployment.restart.as_deref()
            })
        });
        Some(self.record(|recorded| {
            recorded.lost = false;
            recorded.halted = halted;
            recorded.delivered = delivered;
            recorded.restarted = if due { None } else { deployment.restart.clone() };
        }))
    }
}
