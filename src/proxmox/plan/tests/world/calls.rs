//! What the model of Proxmox does when it is asked for a change, and when a task ends.

use std::collections::BTreeMap;

use super::{super::build::*, ADOPTEE, Fault, Guest, Job, Running, World, site_of, template_of};
use crate::proxmox::{
    client::{ApiError, Error},
    plan::*,
    wire::{Drive, Upid, Vmid},
};

impl World {
    /// Makes a change that the plan asks for. `strict` is a controller that knows the latest record.
    pub fn act(&mut self, action: &Action, fault: Fault, strict: bool) -> Result<Option<Task>, Error> {
        let lost = || Error::ReplyLost { request: format!("{action:?}"), reason: "reset".into() };
        match fault {
            Fault::LostBefore => return Err(lost()),
            Fault::Busy => return Err(refusal(503, "busy")),
            Fault::None | Fault::LostAfter => {}
        }
        let done = self.change(action, strict);
        if fault == Fault::LostAfter { Err(lost()) } else { done }
    }

    fn change(&mut self, action: &Action, strict: bool) -> Result<Option<Task>, Error> {
        let place = match action {
            Action::Clone { place, .. }
            | Action::Configure { place, .. }
            | Action::Tag { place, .. }
            | Action::Resize { place, .. }
            | Action::Disk { place, .. }
            | Action::Pool { place, .. }
            | Action::FreeVolume { place, .. } => place.clone(),
            Action::Start(place)
            | Action::Stop(place)
            | Action::Shutdown { place, .. }
            | Action::Suspend(place)
            | Action::Resume(place)
            | Action::Destroy(place) => place.clone(),
            Action::StopTask(task) => place(&task.node, 0),
        };
        let node = Self::name(&place.node);
        let (key, vmid) = ((site_of(node), place.vmid), place.vmid);
        if self.offline.contains(node) {
            return Err(refusal(595, "No route to host"));
        }
        self.adopt(key, action);
        if !matches!(action, Action::Clone { .. } | Action::StopTask(_) | Action::FreeVolume { .. })
            && let Some(guest) = self.guest_at(&place)
        {
            let raced = key == ADOPTEE && guest.config().description() == Self::their_mark();
            assert!(guest.mine || !strict || raced, "{action:?} changes what is foreign: {guest:?}");
            // Between the look and the call somebody else may have taken the VMID: that is beyond a plan.
            if !guest.mine {
                return Err(refusal(500, "checksum mismatch (file change by other user?)"));
            }
        }
        match action {
            Action::Pool { pool, .. } => {
                let guest =
                    self.guests.get_mut(&key).filter(|guest| guest.node == node).ok_or_else(|| missing(vmid))?;
                if guest.pool.as_ref() == Some(pool) {
                    return Err(refusal(500, &format!("update pools failed: VM {vmid} is already a pool member")));
                }
                guest.pool = Some(pool.clone());
                Ok(None)
            }
            Action::Clone { template, description, pool, .. } => {
                assert_eq!(*template, template_of(node), "the template is another node's");
                if strict {
                    // One at that very VMID makes Proxmox refuse the clone.
                    for (key, guest) in self.mine().filter(|(other, _)| **other != key) {
                        assert!(guest.ran.is_none(), "{action:?} while {key:?} may run: {guest:?}");
                    }
                }
                let clash = match self.guests.get(&key) {
                    Some(guest) if guest.node == node => {
                        let text = format!("unable to create VM {vmid}: config file already exists");
                        return Err(refusal(500, &text));
                    }
                    Some(_) => true,
                    None => false,
                };
                if !clash {
                    let stub = BTreeMap::from([
                        ("lock".to_owned(), "clone".to_owned()),
                        ("description".to_owned(), "qmclone temporary file".to_owned()),
                    ]);
                    // No process of an earlier machine under this VMID comes after those of this one.
                    let process = (self.tasks_begun + 1) * 1000;
                    let guest = Guest { config: stub, mine: true, process, ..Guest::new(node) };
                    self.guests.insert(key, guest);
                    self.volumes.insert((node, vmid, true));
                }
                let job = Job::Clone { vmid, description: description.clone(), pool: pool.clone(), clash };
                Ok(Some(self.begin(node, TaskAction::Clone, "qmclone", *template, job)))
            }
            Action::Configure { set, delete, password, .. } => {
                let guest = self.unlocked(&place)?;
                for (key, value) in &set.0 {
                    guest.change(key, value);
                }
                if let Some(password) = password {
                    guest.change("cipassword", &password.password.text);
                }
                for key in delete {
                    guest.config.remove(key);
                    guest.pending.remove(key);
                }
                Ok(None)
            }
            Action::Tag { tags, .. } => {
                self.unlocked(&place)?.config.insert("tags".into(), tags.clone());
                Ok(None)
            }
            Action::Disk { change, digest, .. } => {
                let guest = self.unlocked(&place)?;
                if digest.as_ref() != Some(&guest.digest()) {
                    return Err(refusal(500, "checksum mismatch (file change by other user?)"));
                }
                let job = Job::Disk { vmid, change: change.clone(), digest: digest.clone() };
                Ok(Some(self.begin(node, TaskAction::Disk, "qmconfig", vmid, job)))
            }
            Action::Resize { disk, bytes, .. } => {
                let job = Job::Resize { vmid, disk: disk.clone(), bytes: *bytes };
                Ok(Some(self.begin(node, TaskAction::Resize, "resize", vmid, job)))
            }
            Action::Start(_) => Ok(Some(self.begin(node, TaskAction::Start, "qmstart", vmid, Job::Start(vmid)))),
            Action::Stop(_) => Ok(Some(self.begin(node, TaskAction::Stop, "qmstop", vmid, Job::Stop(vmid)))),
            Action::Shutdown { .. } => {
                if self.guest_at(&place).is_some_and(|guest| guest.power == Power::Paused) {
                    return Err(refusal(500, "VM is paused - cannot shutdown"));
                }
                let job = Job::Shutdown(vmid);
                Ok(Some(self.begin(node, TaskAction::Shutdown, "qmshutdown", vmid, job)))
            }
            Action::Suspend(_) | Action::Resume(_) => {
                if self.guest_at(&place).is_none_or(|guest| guest.power == Power::Stopped) {
                    return Err(refusal(500, &format!("VM {vmid} not running")));
                }
                let (action, kind, job) = match action {
                    Action::Suspend(_) => (TaskAction::Suspend, "qmpause", Job::Suspend(vmid)),
                    _ => (TaskAction::Resume, "qmresume", Job::Resume(vmid)),
                };
                Ok(Some(self.begin(node, action, kind, vmid, job)))
            }
            Action::Destroy(_) => {
                match self.guest_at(&place) {
                    None => return Err(missing(vmid)),
                    Some(guest) if guest.power != Power::Stopped => {
                        return Err(refusal(500, &format!("VM {vmid} is running - destroy failed")));
                    }
                    Some(_) => {}
                }
                Ok(Some(self.begin(node, TaskAction::Destroy, "qmdestroy", vmid, Job::Destroy(vmid))))
            }
            Action::FreeVolume { volume, .. } => {
                assert!(volume.ends_with("true"), "{action:?} removes what is foreign");
                self.volumes.remove(&(node, vmid, true));
                Ok(None)
            }
            Action::StopTask(task) => {
                self.end(task.upid.as_str(), false);
                Ok(Some(task.clone()))
            }
        }
    }

    fn unlocked(&mut self, place: &Place) -> Result<&mut Guest, Error> {
        if self.guest_at(place).is_none() {
            return Err(missing(place.vmid));
        }
        let guest = self.guests.get_mut(&(site_of(&place.node), place.vmid)).unwrap();
        match guest.lock() {
            Some(lock) => Err(refusal(500, &format!("VM is locked ({lock})"))),
            None => Ok(guest),
        }
    }

    fn begin(&mut self, node: &'static str, action: TaskAction, kind: &str, id: Vmid, job: Job) -> Task {
        self.tasks_begun += 1;
        let upid: Upid = upid(node, self.tasks_begun, kind, id);
        self.running.insert(upid.to_string(), Running { node, job });
        Task { upid, node: node.to_owned(), action }
    }

    /// Ends a task, well or not.
    pub fn end(&mut self, upid: &str, well: bool) {
        let Some(Running { node, job }) = self.running.remove(upid) else { return };
        let end = self.carry_out(node, &job, well);
        self.ended.insert(upid.to_owned(), (node, end));
    }

    /// Workers die without a word; a clone's target stays locked.
    pub fn kill(&mut self, which: impl Fn(&Running) -> bool) {
        let killed: Vec<_> =
            self.running.iter().filter(|(_, task)| which(task)).map(|(upid, _)| upid.clone()).collect();
        for upid in killed {
            let Running { node, .. } = self.running.remove(&upid).unwrap();
            self.ended.insert(upid, (node, Err("unexpected status".into())));
        }
    }

    pub fn some_of_mine(&mut self, which: impl Fn(&Guest) -> bool) -> Option<&mut Guest> {
        self.guests.values_mut().find(|guest| guest.mine && which(guest))
    }

    fn carry_out(&mut self, node: &'static str, job: &Job, well: bool) -> Result<(), String> {
        let (Job::Clone { vmid, .. }
        | Job::Resize { vmid, .. }
        | Job::Disk { vmid, .. }
        | Job::Start(vmid)
        | Job::Stop(vmid)
        | Job::Shutdown(vmid)
        | Job::Suspend(vmid)
        | Job::Resume(vmid)
        | Job::Destroy(vmid)) = *job;
        let key = (site_of(node), vmid);
        let here = place(node, vmid);
        if let Job::Clone { description, pool, clash, .. } = job {
            if *clash {
                return Err(format!("unable to create VM {vmid}: File exists"));
            }
            if !well {
                self.guests.remove(&key);
                if !std::mem::take(&mut self.sticky_volumes) {
                    self.volumes.remove(&(node, vmid, true));
                }
                return Err("clone failed: copy failed".into());
            }
            let guest = self.guests.get_mut(&key).unwrap();
            guest.pool.clone_from(pool);
            guest.set(&changed(&template_config(), &[("template", ""), ("description", description)]));
            return Ok(());
        }
        if self.guest_at(&here).is_none() {
            return match job {
                Job::Stop(_) | Job::Shutdown(_) => Ok(()),
                _ => Err(format!("Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")),
            };
        }
        let (seconds, tasks_begun) = (self.seconds, self.tasks_begun);
        let guest = self.guests.get_mut(&key).unwrap();
        if let Some(lock) = guest.lock() {
            return Err(format!("VM is locked ({lock})"));
        }
        match job {
            Job::Shutdown(_) if !well => return Err("VM quit/powerdown failed - got timeout".into()),
            _ if !well => return Err("command failed: exit code 1".into()),
            Job::Clone { .. } => {}
            Job::Resize { disk, bytes, .. } => {
                let Some(line) = guest.config.get_mut(disk) else {
                    return Err(format!("disk '{disk}' does not exist"));
                };
                let mut drive = Drive::parse(line);
                drive.options.insert("size".into(), format!("{}G", bytes >> 30));
                *line = drive.to_string();
            }
            Job::Disk { digest, .. } if digest.as_ref() != Some(&guest.digest()) => {
                return Err("checksum mismatch (file change by other user?)".into());
            }
            Job::Disk { change, .. } => {
                return guest.change_disk(vmid, change, tasks_begun % 3 != 0, tasks_begun);
            }
            Job::Start(_) if guest.power != Power::Stopped => return Err(format!("VM {vmid} already running")),
            Job::Start(_) => {
                guest.switch(true);
                guest.ran = Some(seconds);
            }
            Job::Stop(_) => guest.switch(false),
            Job::Shutdown(_) if guest.power == Power::Stopped => {}
            Job::Shutdown(_) => guest.switch(false),
            Job::Suspend(_) | Job::Resume(_) if guest.power == Power::Stopped => {
                return Err(format!("VM {vmid} not running"));
            }
            Job::Suspend(_) => guest.power = Power::Paused,
            Job::Resume(_) => guest.power = Power::Running,
            Job::Destroy(_) if guest.power != Power::Stopped => {
                return Err(format!("VM {vmid} is running - destroy failed"));
            }
            Job::Destroy(_) => {
                self.guests.remove(&key);
                if !std::mem::take(&mut self.sticky_volumes) {
                    self.volumes.remove(&(node, vmid, true));
                }
            }
        }
        Ok(())
    }
}

fn refusal(status: u16, text: &str) -> Error {
    Error::from(Box::new(ApiError {
        request: "POST /x".into(),
        status,
        text: text.into(),
        fields: BTreeMap::default(),
    }))
}

fn missing(vmid: Vmid) -> Error {
    refusal(500, &format!("Configuration file 'nodes/x/qemu-server/{vmid}.conf' does not exist"))
}
