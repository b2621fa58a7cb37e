//! A machine that runs is kept as it is desired.

use super::build::*;
use crate::proxmox::plan::*;

fn here() -> Place {
    place("a", 600)
}

fn kept(power: Power) -> Scene {
    Scene::at_stage(Stage::Established).machine(here(), finished_config(600), power)
}

fn with_config(changes: &[(&str, &str)], power: Power) -> Scene {
    Scene::at_stage(Stage::Established).machine(here(), changed(&finished_config(600), changes), power)
}

#[test]
fn whatever_somebody_does_to_it_is_answered() {
    let erased = &[("description", "notes"), ("smbios1", "")];
    for (scene, expected) in [
        (kept(Power::Running), "rest"),
        (kept(Power::Stopped), "start a/600"),
        (kept(Power::Paused), "resume a/600"),
        (with_config(&[("description", "notes")], Power::Running), "configure a/600 description"),
        (
            with_config(&[("smbios1", "uuid=11111111-2222-3333-4444-555555555555")], Power::Running),
            "configure a/600 smbios1",
        ),
        (with_config(erased, Power::Running), "stall NotOurs"),
        (with_config(&[("lock", "backup")], Power::Running), "rest"),
        (with_config(&[("lock", "backup")], Power::Stopped), "wait Locked"),
        (with_config(&[("lock", "backup"), ("cores", "1")], Power::Running), "wait Locked"),
        (with_config(&[("template", "1")], Power::Stopped), "stall BecameTemplate"),
        (with_config(&[("cores", "1")], Power::Running), "configure a/600 cores"),
        (with_config(&[("scsi0", "local:disk,size=10G")], Power::Running), "resize a/600 scsi0 20G"),
        (with_config(&[("tags", "")], Power::Running), "rest"),
        (with_config(&[("ciuser", "root")], Power::Running), "configure a/600 ciuser"),
        (
            Scene::at_stage(Stage::Established).machine(here(), config(&[("lock", "destroyed")]), Power::Stopped),
            "wait Locked",
        ),
    ] {
        let shown = format!("{:?}", scene.machines);
        assert_eq!(scene.outcome(), expected, "{shown}");
    }
}

#[test]
fn changes_that_wait_for_a_reboot_are_told() {
    let mut scene = kept(Power::Running);
    let config = finished_config(600);
    let current = changed(&config, &[("memory", "1024")]);
    let machine =
        Machine { config, current, power: Power::Running, process: Some(PROCESS), unprepared: Default::default() };
    scene.machines.insert(here(), Sight::Present(Box::new(machine)));
    assert_eq!(scene.outcome(), "rest, reboot for memory");
}

#[test]
fn a_machine_that_is_missing_is_looked_for_on_every_node_and_never_made_anew() {
    let missing = Scene::at_stage(Stage::Established).absent(here());
    assert_eq!(missing.clone().outcome(), "stall Missing");
    let unknown = missing.clone().with(|scene| {
        scene.machines.insert(place("b", 600), Sight::Unknown("595".into()));
    });
    assert_eq!(unknown.outcome(), "wait NodeUnreachable");
    let mut moved = missing.clone().machine(place("b", 600), finished_config(600), Power::Running);
    assert_eq!(word(&moved.settle()), "rest");
    assert_eq!(moved.recorded.intent.unwrap().place, place("b", 600));
    let foreign = missing.machine(place("b", 600), config(&[("name", "theirs")]), Power::Running);
    assert_eq!(foreign.outcome(), "stall Missing");
}

#[test]
fn a_node_that_cannot_be_asked_is_waited_for() {
    let scene = Scene::at_stage(Stage::Established).with(|scene| {
        scene.machines.insert(here(), Sight::Unknown("595".into()));
        scene.sites[0].failing_since = Some(at(0));
        scene.now = at(3600);
    });
    assert_eq!(scene.clone().outcome(), "wait NodeUnreachable");
    let starting = scene.with(|scene| scene.recorded.intent.as_mut().unwrap().stage = Stage::Starting);
    assert_eq!(starting.outcome(), "wait NodeUnreachable");
}

fn leftover(node: &str, vmid: u32) -> Leftover {
    Leftover { place: place(node, vmid), reason: "lost".into(), command: None, since: at(0) }
}

/// A machine at rest, with something left behind on `b`.
fn with_leftover(now: i64) -> Scene {
    kept(Power::Running).with(|scene| {
        scene.recorded.leftovers = vec![leftover("b", 601)];
        scene.now = at(now);
    })
}

#[test]
fn what_was_left_behind_is_removed_beside_and_holds_up_nothing() {
    let there = |power| with_leftover(60).machine(place("b", 601), cloned_config(601), power);
    assert_eq!(there(Power::Stopped).outcome(), "destroy b/601");
    assert_eq!(there(Power::Running).outcome(), "rest");
    assert_eq!(there(Power::Stopped).with(|scene| scene.now = at(14)).outcome(), "rest");
    assert_eq!(with_leftover(60).stored(place("b", 601), &["local:601/d"]).outcome(), "free b/601 local:601/d");
    let foreign = with_leftover(60).machine(place("b", 601), config(&[("name", "theirs")]), Power::Running);
    for scene in [with_leftover(60), foreign] {
        let mut scene = scene;
        assert_eq!(word(&scene.settle()), "rest");
        assert_eq!(scene.recorded.leftovers, []);
    }
    let mut stuck = with_leftover(60).machine(place("b", 601), config(&[("lock", "clone")]), Power::Stopped);
    assert_eq!(word(&stuck.settle()), "rest");
    assert_eq!(stuck.recorded.leftovers[0].command.as_deref(), Some("qm unlock 601 && qm destroy 601 --purge"));
}

#[test]
fn a_leftover_that_root_has_unlocked_is_removed_at_once() {
    let told = |lock: &[(&str, &str)]| {
        let config = changed(&cloned_config(601), lock);
        with_leftover(1).machine(place("b", 601), config, Power::Stopped).with(|scene| {
            scene.recorded.leftovers[0].command = Some("qm unlock 601 && qm destroy 601 --purge".into());
        })
    };
    assert_eq!(told(&[("lock", "clone")]).outcome(), "rest");
    assert_eq!(told(&[]).outcome(), "destroy b/601");
}

#[test]
fn a_leftover_that_cannot_be_removed_is_tried_again_later_and_the_machine_stays_ready() {
    let task = |text: &str| {
        with_leftover(60).machine(place("b", 601), cloned_config(601), Power::Stopped).task(
            "b",
            TaskAction::Destroy,
            "qmdestroy",
            601,
            TaskSight::Failed(text.into()),
        )
    };
    let mut failed = task("storage is not online");
    assert_eq!(word(&failed.settle()), "rest");
    assert_eq!(failed.recorded.leftovers[0].reason, "storage is not online");
    assert_eq!(failed.recorded.leftovers[0].command.as_deref(), Some("qm destroy 601 --purge"));
    failed.now = at(120);
    assert_eq!(word(&failed.settle()), "destroy b/601");
    let free = Action::FreeVolume { place: place("b", 601), volume: "local:601/d".into() };
    let refused = crate::proxmox::outcome::Outcome::Stalled(Reason::new("Refused", "no"));
    let Step::Record(next) = failed_action(false, &with_leftover(60).recorded, &free, refused, at(60)) else {
        panic!()
    };
    assert_eq!(next.leftovers[0].command.as_deref(), Some("pvesm free local:601/d"));
    assert_eq!(next.intent, kept(Power::Running).recorded.intent);
}

#[test]
fn a_leftover_at_the_machines_own_place_is_forgotten() {
    let mut scene = kept(Power::Running).with(|scene| scene.recorded.leftovers = vec![leftover("a", 600)]);
    assert_eq!(word(&scene.settle()), "rest");
    assert_eq!(scene.recorded.leftovers, []);
}

#[test]
fn a_late_clone_of_a_failed_attempt_is_removed_and_a_copy_is_not() {
    let reason = Reason::new("CloneFailed", "reply lost");
    let attempt = Attempt { node: "b".into(), vmid: Some(601), outcome: AttemptOutcome::Failed, reason, time: at(0) };
    let late = |config| {
        let scene = kept(Power::Running).machine(place("b", 601), config, Power::Stopped);
        scene.with(|scene| scene.now = at(100))
    };
    let mut scene = late(cloned_config(601));
    assert_eq!(word(&scene.settle()), "rest");
    assert_eq!(scene.recorded.leftovers[0].place, place("b", 601));
    scene.now = at(160);
    assert_eq!(word(&scene.settle()), "destroy b/601");
    // With both marks it may be a machine that ran, unless it stands where an attempt failed.
    let mut unknown = late(finished_config(601));
    assert_eq!(word(&unknown.settle()), "rest");
    assert_eq!(unknown.recorded.leftovers, []);
    let mut known = late(finished_config(601)).with(|scene| scene.recorded.attempts.push(attempt));
    known.settle();
    assert_eq!(known.recorded.leftovers[0].place, place("b", 601));
    let copy = late(cloned_config(600));
    assert_eq!(copy.outcome(), "rest");
}

#[test]
fn a_backup_restored_on_another_host_under_the_same_vmid_is_left_alone() {
    let scene = kept(Power::Running).with(|scene| scene.sites.push(site(1, &["c"])));
    let copied = scene.machine(place("c", 600), finished_config(600), Power::Stopped);
    assert_eq!(copied.clone().outcome(), "rest");
    let mut deleted = copied.deleted();
    assert_eq!(word(&deleted.settle()), "stop a/600");
    deleted = deleted.absent(here());
    deleted.sites[0].vms.remove(&600);
    assert_eq!(word(&deleted.settle()), "release");
}
