//! A machine's config, disk and tags: changed where they differ from the spec, one call after the other.

use super::{
    Action, ConfigValues, Context, Intent, Machine, MachineSpec, Pending, Place, Reason, Reboot, Recorded, Stage, Step,
};
use super::{config, notes};

/// What follows from a change that was made: what the machine itself will not tell.
pub fn succeeded(recorded: &Recorded, action: &Action) -> Recorded {
    recorded.with(|recorded| match action {
        Action::Configure { password: Some(password), .. } => {
            recorded.applied.password = Some(password.password.version.clone());
        }
        Action::Tag { named, .. } => recorded.applied.tags.clone_from(named),
        Action::Clone { .. }
        | Action::Configure { .. }
        | Action::Resize { .. }
        | Action::Disk { .. }
        | Action::Pool { .. }
        | Action::Start(_)
        | Action::Stop(_)
        | Action::Shutdown { .. }
        | Action::Suspend(_)
        | Action::Resume(_)
        | Action::Destroy(_)
        | Action::FreeVolume { .. }
        | Action::StopTask(_) => {}
    })
}

impl Context<'_> {
    /// The next change of the machine, if one is due.
    pub(super) fn change(&self, spec: &MachineSpec, intent: &Intent, machine: &Machine) -> Option<Step> {
        self.remember_nics(spec, machine)
            .or_else(|| self.reconfigure(spec, intent, machine))
            .or_else(|| self.grow(spec, intent, machine))
            .or_else(|| self.disks(spec, intent, machine))
            .or_else(|| self.tag(spec, intent, machine))
            .or_else(|| self.pool(spec, intent))
    }

    /// What is added is written down first, so that it can be taken away again; what was taken away is forgotten.
    fn remember_nics(&self, spec: &MachineSpec, machine: &Machine) -> Option<Step> {
        let known = &self.recorded.applied.nics;
        let there = |nic: &str| machine.config.get(nic).is_some() || machine.current.get(nic).is_some();
        let mut nics: Vec<_> = known.iter().filter(|nic| spec.nics.contains_key(*nic) || there(nic)).cloned().collect();
        nics.extend(spec.nics.keys().filter(|nic| !there(nic) && !known.contains(nic)).cloned());
        (nics != *known).then(|| self.record(|recorded| recorded.applied.nics = nics))
    }

    fn reconfigure(&self, spec: &MachineSpec, intent: &Intent, machine: &Machine) -> Option<Step> {
        let place = &intent.place;
        let config = &machine.config;
        let mut set = config::differences(spec, intent.stage, config);
        let password = config::new_password(spec, self.owner, intent, self.recorded, config);
        let prepares = |(key, _): &config::Setting| is_cloud_init(key);
        if config.cloudinit_drive().is_none() && (password.is_some() || set.iter().any(prepares)) {
            return Some(Step::Stall(no_cloud_init_drive(place)));
        }
        // One that was adopted knows itself by its own.
        set.extend(config::second_mark(self.owner, place, config).filter(|_| !self.adopted));
        let notes = notes::difference(spec, self.owner, place, self.recorded, machine);
        set.extend(notes.map(|notes| ("description".to_owned(), notes)));
        let delete = config::unwanted(spec, self.recorded, config);
        if set.is_empty() && delete.is_empty() && password.is_none() {
            return None;
        }
        let (place, digest) = (place.clone(), config.digest().map(str::to_owned));
        Some(Step::Act(Action::Configure { place, set: ConfigValues(set), delete, password, digest }))
    }

    fn grow(&self, spec: &MachineSpec, intent: &Intent, machine: &Machine) -> Option<Step> {
        let config = &machine.config;
        let (disk, size) = config.boot_disk().zip(config.boot_disk_size())?;
        let bytes = spec.disk_bytes.filter(|bytes| size < *bytes)?;
        Some(Step::Act(Action::Resize { place: intent.place.clone(), disk: disk.to_owned(), bytes }))
    }

    fn tag(&self, spec: &MachineSpec, intent: &Intent, machine: &Machine) -> Option<Step> {
        let ours = intent.stage == Stage::Creating && !self.observed.tag_refused;
        let config::Tags { all, ours } = config::tags(spec, self.recorded, &machine.config, ours)?;
        let (place, named) = (intent.place.clone(), spec.tags.clone());
        Some(Step::Act(Action::Tag { place, tags: all, ours, named }))
    }

    /// Whether the machine is to be restarted for what waits for its next boot; a step, if that is to be written down
    /// before. The same changes are worth one restart: if they still wait after it, another one would not help.
    pub(super) fn reboot(&self, spec: &MachineSpec, machine: &Machine, pending: &[Pending]) -> Result<bool, Step> {
        let due: Vec<_> = pending.iter().filter(|change| change.needs_reboot()).collect();
        let known = self.recorded.reboot.as_ref();
        let Some(process) = machine.process.filter(|_| spec.power.reboot && !due.is_empty()) else {
            // One that stands still has nothing that waits, and does not tell whether it helps.
            let helped = machine.process.is_some() && due.is_empty() && known.is_some();
            return if helped { Err(self.record(|recorded| recorded.reboot = None)) } else { Ok(false) };
        };
        let part = |value: &Option<String>| value.clone().unwrap_or_default();
        let changes: Vec<_> = due.iter().map(|change| format!("{}={}", change.key, part(&change.next))).collect();
        let changes = changes.join("\n");
        match known.filter(|known| known.changes == changes) {
            Some(known) => Ok(known.process == process),
            None => Err(self.record(|recorded| recorded.reboot = Some(Reboot { changes, process }))),
        }
    }
}

pub(super) fn no_cloud_init_drive(place: &Place) -> Reason {
    let message = format!(
        "VM {} on {} has no drive for cloud-init, so nothing of spec.cloudInit can reach the guest; add one to it in Proxmox, \
         or take spec.cloudInit away",
        place.vmid, place.node
    );
    Reason::new("NoCloudInitDrive", message)
}

/// Whether a key is one that reaches the guest by its cloud-init drive.
pub(super) fn is_cloud_init(key: &str) -> bool {
    key.starts_with("ipconfig") || matches!(key, "ciuser" | "cipassword" | "sshkeys" | "nameserver" | "searchdomain")
}
