//! A machine that was there before its object: looked at, compared with the spec, marked, and kept from then on.

use super::{
    Action, Attempt, AttemptOutcome, CloudInit, ConfigValues, Context, Difference, Fleet, Intent, Machine, MachineSpec,
    Place, Planned, Power, Reason, Seen, Stage, Step, change, config, disks, notes,
    place::unknown_source,
    whose::{Whose, whose},
};
use crate::proxmox::{identity::Mark, inventory::GuestKind, wire::VmConfig};

/// The word for a machine that may not be adopted.
const REFUSED: &str = "AdoptionRefused";

impl<'a> Context<'a> {
    /// The next step of an object that wants a machine of others'. What it is to be named for is written down before it is
    /// marked, so that nobody else marks it.
    pub(super) fn adopt(&self, spec: &MachineSpec, fleet: &Fleet, wanted: &Place, dry_run: bool) -> Planned {
        if let Some(unknown) = unknown_source(&spec.source, fleet) {
            return Ok(Step::Stall(unknown));
        }
        let (place, machine) = self.find_adoptee(wanted)?;
        if let Some(refused) = self.refuses_adoption(&place, machine) {
            return Ok(Step::Stall(refused));
        }
        let problem = problem(spec, &place, &machine.config);
        if dry_run {
            let mut differences = differences(spec, machine);
            differences.extend(self.other_pool(spec, &place));
            differences.sort_by(|one, other| one.field.cmp(&other.field));
            return Ok(Step::Preview { place, differences, problem });
        }
        if let Some(blocked) = problem.map(Step::Stall).or_else(|| self.blocked(&place, machine)) {
            return Ok(blocked);
        }
        let intent = Intent {
            place,
            template: None,
            template_node: None,
            storage: None,
            attempt: self.recorded.attempts_total.saturating_add(1),
            stage: Stage::Adopting,
            reason: None,
            retries: 0,
            since: self.now,
        };
        Ok(self.record(|recorded| {
            recorded.attempts_total = intent.attempt;
            recorded.intent = Some(intent);
        }))
    }

    /// The next step of a machine that is named for adoption and has no mark yet.
    pub(super) fn take_into_care(&self, spec: &MachineSpec, intent: &Intent) -> Planned {
        let place = &intent.place;
        let machine = match self.sight(place)? {
            Seen::Present(machine) => machine,
            Seen::Absent => return Ok(self.record(|recorded| recorded.intent = None)),
            Seen::Unknown(why) => return Ok(unreachable(place, why)),
        };
        if self.bears_our_mark(place, machine) {
            return Ok(self.adoption_done(intent));
        }
        // Somebody was faster, or it has changed: all of it is looked at anew.
        let refused = self.refuses_adoption(place, machine).or_else(|| problem(spec, place, &machine.config));
        if refused.is_some() {
            return Ok(self.record(|recorded| recorded.intent = None));
        }
        if let Some(blocked) = self.blocked(place, machine) {
            return Ok(blocked);
        }
        let notes = notes::marked(&machine.config, &self.owner.mark(place.vmid));
        Ok(Step::Act(Action::Configure {
            place: place.clone(),
            set: ConfigValues(vec![("description".to_owned(), notes)]),
            delete: Vec::new(),
            password: None,
            // Another one that adopts it at the same time is refused.
            digest: machine.config.digest().map(str::to_owned),
        }))
    }

    /// The object ends while its machine is being adopted: it is ours from the moment that it bears our mark.
    pub(super) fn end_adoption(&self, intent: &Intent) -> Planned {
        let place = &intent.place;
        Ok(match self.sight(place)? {
            Seen::Unknown(why) => unreachable(place, why),
            Seen::Present(machine) if self.bears_our_mark(place, machine) => self.adoption_done(intent),
            Seen::Present(_) | Seen::Absent => self.record(|recorded| recorded.intent = None),
        })
    }

    /// The pool that the machine would be moved to. Only the list tells pools.
    fn other_pool(&self, spec: &MachineSpec, place: &Place) -> Option<Difference> {
        let (wanted, listed) = (spec.pool.as_ref()?, self.snapshot().vm(&place.node, place.vmid)?);
        (listed.pool.as_ref() != Some(wanted)).then(|| Difference {
            field: "pool".to_owned(),
            present: listed.pool.clone(),
            desired: Some(wanted.clone()),
        })
    }

    fn bears_our_mark(&self, place: &Place, machine: &Machine) -> bool {
        whose(self.owner, place, &machine.config) == Whose::Ours
    }

    fn adoption_done(&self, intent: &Intent) -> Step {
        let Place { node, vmid } = &intent.place;
        self.record(|recorded| {
            if let Some(intent) = &mut recorded.intent {
                intent.stage = Stage::Established;
                intent.retries = 0;
            }
            recorded.push_attempt(Attempt {
                node: node.clone(),
                vmid: Some(*vmid),
                outcome: AttemptOutcome::Succeeded,
                reason: Reason::new("Adopted", format!("VM {vmid} on {node} was adopted")),
                time: self.now,
            });
        })
    }

    /// The machine that is meant, on whichever node of its cluster it is; or what has to happen first.
    fn find_adoptee(&self, wanted: &Place) -> Planned<(Place, &'a Machine)> {
        let Place { node, vmid } = wanted;
        let listed = self.snapshot().vm(node, *vmid);
        if listed.is_some_and(|entry| entry.kind == GuestKind::Lxc) {
            return Err(Step::Stall(refusal(wanted, "is a container; only virtual machines can be adopted")));
        }
        let elsewhere = listed.and_then(|entry| entry.node.clone()).map(|node| Place { node, vmid: *vmid });
        for place in std::iter::once(wanted.clone()).chain(elsewhere.filter(|place| place != wanted)) {
            match self.sight(&place)? {
                Seen::Present(machine) => return Ok((place, machine)),
                Seen::Unknown(why) => return Err(unreachable(&place, why)),
                Seen::Absent => {}
            }
        }
        let message = format!("spec.adopt: there is no VM {vmid} on {node}; waiting until there is one");
        Err(Step::Wait(Reason::new("DependencyNotFound", message)))
    }

    /// Why the machine may not become this object's. A mark of this object's name with another uid is that of an earlier
    /// one, as in a namespace that was restored: it is named on purpose, and nobody else can have that name.
    fn refuses_adoption(&self, place: &Place, machine: &Machine) -> Option<Reason> {
        let config = &machine.config;
        if config.is_template() {
            return Some(refusal(place, "is a template; name it in spec.template to make a machine of it"));
        }
        let here = |other: &Place| other.vmid == place.vmid && self.is_same_site(&other.node, &place.node);
        if self.others().hold(place.vmid, here) {
            return Some(refusal(place, "is another ProxmoxVM's"));
        }
        // A copy bears the mark of what it was made from, with another VMID.
        let found = Mark::find(config.description());
        let foreign = found.all().iter().filter(|mark| mark.vmid == place.vmid).any(|mark| {
            let Mark { installation, namespace, name, uid: _, vmid: _ } = mark;
            (installation, namespace, name) != (&self.owner.installation, &self.owner.namespace, &self.owner.name)
        });
        foreign.then(|| {
            refusal(
                place,
                "bears the mark of another object; if nobody has that any more, take the line with cloudfaster.app/mark out \
                 of its notes",
            )
        })
    }
}

fn refusal(Place { node, vmid }: &Place, why: &str) -> Reason {
    Reason::new(REFUSED, format!("spec.adopt: VM {vmid} on {node} {why}"))
}

fn unreachable(Place { node, vmid }: &Place, why: &str) -> Step {
    Step::Wait(Reason::new("NodeUnreachable", format!("{node} cannot be asked about VM {vmid}: {why}")))
}

/// What of the spec the machine can never be.
fn problem(spec: &MachineSpec, place: &Place, config: &VmConfig) -> Option<Reason> {
    let Place { node, vmid } = place;
    if let Some((present, asked)) = config.boot_disk_size().zip(spec.disk_bytes)
        && present > asked
    {
        let message = format!(
            "spec.disk.size: the disk of VM {vmid} on {node} has {}, more than {}, and never shrinks; give at least its \
             present size, or leave disk out",
            size(present),
            size(asked)
        );
        return Some(Reason::new("DiskTooSmall", message));
    }
    let login = spec.cloud_init.as_ref().is_some_and(|init| init.password.is_some());
    let prepares =
        || config::differences(spec, Stage::Established, config).iter().any(|(key, _)| change::is_cloud_init(key));
    (config.cloudinit_drive().is_none() && (login || prepares())).then(|| change::no_cloud_init_drive(place))
}

/// What the spec names, with other values than the machine has.
fn differences(spec: &MachineSpec, machine: &Machine) -> Vec<Difference> {
    let config = &machine.config;
    let difference = |field: &str, present: Option<String>, desired: Option<String>| Difference {
        field: field.to_owned(),
        present,
        desired,
    };
    let mut found: Vec<_> = config::differences(spec, Stage::Established, config)
        .iter()
        .map(|(key, value)| named(key, config, value))
        .collect();
    if spec.cloud_init.as_ref().is_some_and(|CloudInit { password, .. }| password.is_some()) {
        found.push(difference("cloudInit.passwordSecretRef", None, None));
    }
    if let Some((present, asked)) = config.boot_disk_size().zip(spec.disk_bytes)
        && present != asked
    {
        found.push(difference("disk.size", Some(size(present)), Some(size(asked))));
    }
    for (name, present, wanted) in disks::unlike(spec, config) {
        found.push(difference(&format!("disks[{name}]"), present, Some(wanted)));
    }
    if let Some((present, asked)) = notes::other_text(spec, config) {
        found.push(difference("description", Some(present), Some(asked)));
    }
    let tags = config.tags();
    let missing: Vec<_> = spec.tags.iter().filter(|tag| !tags.contains(tag)).cloned().collect();
    if !missing.is_empty() {
        let all = tags.iter().cloned().chain(missing).collect::<Vec<_>>();
        found.push(difference("tags", Some(tags.join(", ")), Some(all.join(", "))));
    }
    if let Some(state) = spec.power.state.filter(|state| *state != machine.power) {
        found.push(difference("powerState", Some(power(machine.power)), Some(power(state))));
    }
    found
}

/// A key of the config, in the words of the spec.
fn named(key: &str, config: &VmConfig, value: &str) -> Difference {
    let present = config.get(key).map(str::to_owned);
    let flag = |on: bool| Some(on.to_string());
    let wanted = || flag(value == "1");
    let mebibytes = |text: &str| text.parse::<u64>().ok().map(|mib| size(mib.saturating_mul(1 << 20)));
    let (field, present, desired) = match key {
        "cores" => (key.to_owned(), Some(config.cores().to_string()), Some(value.to_owned())),
        "sockets" => (key.to_owned(), Some(config.sockets().to_string()), Some(value.to_owned())),
        "memory" => (key.to_owned(), Some(size(config.memory_mib().saturating_mul(1 << 20))), mebibytes(value)),
        "cpu" => {
            let model = |line: &str| config::cpu_model(line).map(str::to_owned);
            ("cpuType".to_owned(), present.as_deref().and_then(model), model(value))
        }
        "onboot" => ("onBoot".to_owned(), flag(config.is_on_boot()), wanted()),
        "protection" => (key.to_owned(), flag(config.is_protected()), wanted()),
        "ciuser" => ("cloudInit.user".to_owned(), present, Some(value.to_owned())),
        "sshkeys" => ("cloudInit.sshKeys".to_owned(), None, None),
        "nameserver" => ("cloudInit.dnsServers".to_owned(), present, Some(value.to_owned())),
        "searchdomain" => ("cloudInit.searchDomain".to_owned(), present, Some(value.to_owned())),
        key if key.starts_with("ipconfig") => {
            (format!("cloudInit.addresses[{}]", key.replacen("ipconfig", "net", 1)), present, Some(value.to_owned()))
        }
        key => (format!("nics[{key}]"), present, Some(value.to_owned())),
    };
    Difference { field, present, desired }
}

fn power(power: Power) -> String {
    match power {
        Power::Running => "Running",
        Power::Paused => "Paused",
        Power::Stopped => "Stopped",
    }
    .to_owned()
}

/// A size as the spec has it, where it can be written so.
fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes % (1 << 30) == 0 => format!("{}Gi", bytes >> 30),
        bytes if bytes % (1 << 20) == 0 => format!("{}Mi", bytes >> 20),
        bytes => format!("{bytes} bytes"),
    }
}
