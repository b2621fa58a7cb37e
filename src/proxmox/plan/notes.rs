//! A machine's notes: the user's text, our mark, and the last restart that was asked for.

use super::{Machine, MachineSpec, Owner, Place, Power, Recorded};
use crate::proxmox::{
    identity::{self, Mark},
    restart::{self, Restart},
    wire::VmConfig,
};

/// The notes that the machine is to have, if it has others.
pub(super) fn difference(
    spec: &MachineSpec,
    owner: &Owner,
    place: &Place,
    recorded: &Recorded,
    machine: &Machine,
) -> Option<String> {
    let old = machine.config.description();
    let mark = owner.mark(place.vmid);
    let restart = restart(spec, recorded, machine);
    let other = other_text(spec, &machine.config).map(|(_, wanted)| wanted);
    let same = other.is_none() && Mark::find(old).one() == Some(&mark) && restart::find(old) == restart;
    (!same).then(|| compose(&other.unwrap_or_else(|| text(&machine.config)), &mark, restart))
}

/// The user's part of the notes, and what it is to be, if that is something else.
pub(super) fn other_text(spec: &MachineSpec, config: &VmConfig) -> Option<(String, String)> {
    let there = text(config);
    // Proxmox keeps no blanks at the ends of lines.
    let wanted = tidy(spec.description.as_ref()?);
    (wanted != tidy(&there)).then_some((there, wanted))
}

/// The notes as they are, with our mark in place of any other. The restart that they speak of happened to this machine.
pub(super) fn marked(config: &VmConfig, mark: &Mark) -> String {
    compose(&text(config), mark, restart::find(config.description()))
}

fn tidy(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned()
}

/// The user's part of the notes, if there is something of ours beside it.
pub(super) fn unmarked(config: &VmConfig) -> Option<String> {
    let notes = config.description();
    (identity::contains_mark(notes) || restart::contains(notes)).then(|| text(config))
}

/// The user's part of the notes.
fn text(config: &VmConfig) -> String {
    identity::strip(&restart::strip(config.description()))
}

fn compose(text: &str, mark: &Mark, restart: Option<Restart>) -> String {
    let notes = identity::compose(text, mark);
    match restart {
        Some(restart) => format!("{notes}\n{restart}"),
        None => notes,
    }
}

/// The restart that the notes are to speak of.
fn restart(spec: &MachineSpec, recorded: &Recorded, machine: &Machine) -> Option<Restart> {
    let noted = restart::find(machine.config.description());
    let Some(value) = &spec.power.restart else { return noted };
    let done = Restart { value: value.clone(), process: None };
    match noted {
        // It was ended for it, and is started before that is noted, for nothing else says that it is to run.
        Some(noted) if spec.power.state.is_none() && is_restarting(spec, machine) => Some(noted),
        // Another process than the one that was to end: somebody ended it.
        Some(noted) if noted.value == *value => match noted.process {
            Some(process) if machine.process == Some(process) => Some(noted),
            Some(_) | None => Some(done),
        },
        // People edit notes; what was carried out is recorded too.
        None if recorded.restarted.as_ref() == Some(value) => Some(done),
        // The next start of one that stands still is as good as a restart.
        Some(_) | None if machine.power == Power::Stopped => Some(done),
        // Without a process nobody could tell whether it happened.
        noted => machine.process.map(|process| Restart { process: Some(process), ..done }).or(noted),
    }
}

/// Whether the machine was ended for a restart, and does not run again yet.
pub(super) fn is_restarting(spec: &MachineSpec, machine: &Machine) -> bool {
    let noted = restart::find(machine.config.description());
    machine.power == Power::Stopped
        && noted.is_some_and(|noted| spec.power.restart.as_ref() == Some(&noted.value) && noted.process.is_some())
}

/// Whether the process that runs is the one that is to end for a restart.
pub(super) fn restart_due(spec: &MachineSpec, machine: &Machine) -> bool {
    let noted = restart::find(machine.config.description());
    noted.is_some_and(|noted| {
        spec.power.restart.as_ref() == Some(&noted.value) && noted.process.is_some() && noted.process == machine.process
    })
}

/// The restart that was carried out, if it is not recorded yet.
pub(super) fn restart_done(spec: &MachineSpec, recorded: &Recorded, machine: &Machine) -> Option<String> {
    let noted = restart::find(machine.config.description())?;
    let done = noted.process.is_none() && spec.power.restart.as_ref() == Some(&noted.value);
    (done && recorded.restarted.as_ref() != Some(&noted.value)).then_some(noted.value)
}
