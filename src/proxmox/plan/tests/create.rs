//! From an intent to a machine that runs.

use std::sync::Arc;

use super::build::*;
use crate::proxmox::{
    inventory::{GuestKind, Reach, TaskState},
    outcome::Outcome,
    plan::*,
    wire::VmConfig,
};

fn creating() -> Scene {
    Scene::at_stage(Stage::Creating)
}

fn here() -> Place {
    place("a", 600)
}

fn stub() -> VmConfig {
    config(&[("lock", "clone"), ("description", " qmclone temporary file")])
}

fn with_clone_running(scene: Scene) -> Scene {
    scene.with(|scene| {
        scene.sites[0].tasks.insert(upid("a", 7, "qmclone", TEMPLATE), TaskState::Running);
    })
}

#[test]
fn the_mark_is_given_in_the_clone_call_itself() {
    let Step::Act(Action::Clone { place, source: _, template, linked: _, storage: _, pool: _, name, description }) =
        creating().settle()
    else {
        panic!()
    };
    assert_eq!((place, template, name.as_str()), (here(), TEMPLATE, "web"));
    assert_eq!(description, owner().mark(600).line());
}

#[test]
fn what_stands_at_the_chosen_place_decides_how_it_goes_on() {
    let foreign = config(&[("name", "theirs")]);
    let at = |config: VmConfig, power| creating().machine(here(), config, power);
    let locked = |lock: &str| changed(&cloned_config(600), &[("lock", lock)]);
    for (scene, expected) in [
        (creating().absent(here()), "clone 9000 to a/600"),
        (at(cloned_config(600), Power::Stopped), "configure a/600 cores,memory,ciuser,sshkeys,smbios1,cipassword"),
        (at(locked("backup"), Power::Stopped), "wait Locked"),
        (at(foreign, Power::Running), "clone 9000 to a/601"),
        (at(cloned_config(601), Power::Stopped), "clone 9000 to a/601"),
        (with_clone_running(at(stub(), Power::Stopped)), "wait Cloning"),
        (with_clone_running(at(locked("clone"), Power::Stopped)), "wait Cloning"),
        (at(changed(&cloned_config(600), &[("template", "1")]), Power::Stopped), "stall BecameTemplate"),
        (at(finished_config(600), Power::Stopped), "start a/600"),
    ] {
        let shown = format!("{:?}", scene.machines);
        assert_eq!(scene.outcome(), expected, "{shown}");
    }
}

#[test]
fn a_node_without_quorum_is_not_believed_that_a_machine_is_absent() {
    let scene = creating().absent(here()).with(|scene| scene.sites[0].quorate = false);
    assert_eq!(scene.outcome(), "wait NodeUnreachable");
}

#[test]
fn the_vmid_taken_by_somebody_else_in_the_cluster_is_given_up() {
    let elsewhere = creating().absent(here()).machine(place("b", 600), config(&[("name", "x")]), Power::Running);
    let mut scene = elsewhere.clone();
    assert_eq!(word(&scene.settle()), "clone 9000 to a/601");
    assert_eq!(scene.recorded.attempts[0].reason.word, "VmidTaken");
    assert_eq!(scene.recorded.attempts_total, 2);
    let container = elsewhere.with(|scene| {
        let entry = scene.sites[0].vms.get_mut(&600).unwrap();
        (entry.kind, entry.details, entry.node) = (GuestKind::Lxc, None, Some("a".into()));
    });
    assert_eq!(container.outcome(), "clone 9000 to a/601");
}

#[test]
fn a_machine_that_was_moved_while_it_was_made_is_followed() {
    let mut scene = creating().absent(here()).machine(place("b", 600), cloned_config(600), Power::Stopped);
    assert_eq!(word(&scene.settle()), "configure b/600 cores,memory,ciuser,sshkeys,smbios1,cipassword");
    let unmarked = changed(&finished_config(600), &[("description", "")]);
    let mut scene = creating().absent(here()).machine(place("b", 600), unmarked, Power::Stopped);
    assert_eq!(word(&scene.settle()), "configure b/600 description");
}

#[test]
fn a_clone_that_was_killed_is_left_behind_with_the_command_that_helps() {
    let mut scene = creating().machine(here(), stub(), Power::Stopped);
    assert_eq!(word(&scene.settle()), "clone 9001 to b/601");
    let left = &scene.recorded.leftovers[0];
    assert_eq!(left.place, here());
    assert_eq!(left.command.as_deref(), Some("qm unlock 600 && qm destroy 600 --purge"));
    assert_eq!(scene.recorded.attempts[0].reason.word, "CloneKilled");
}

#[test]
fn a_killed_clone_that_somebody_unlocked_is_never_started() {
    let half = changed(&cloned_config(600), &[("scsi0", "")]);
    assert_eq!(creating().machine(here(), half, Power::Stopped).outcome(), "destroy a/600");
}

#[test]
fn a_clone_is_not_given_up_on_a_list_that_is_from_before_or_after() {
    let scene = creating().machine(here(), stub(), Power::Stopped);
    let before = scene.clone().with(|scene| {
        scene.sites[0].vms.remove(&600);
    });
    assert_eq!(before.outcome(), "wait Cloning");
    let after = scene.clone().with(|scene| scene.sites[0].vms.get_mut(&600).unwrap().lock = None);
    assert_eq!(after.outcome(), "wait Cloning");
    let stale = scene.with(|scene| scene.sites[0].stale = true);
    assert_eq!(stale.outcome(), "wait Cloning");
}

#[test]
fn only_what_differs_is_changed_and_the_rest_is_kept() {
    for (change, expected) in [
        (("cores", "4"), vec![("cores", "2".to_owned())]),
        (("memory", "512"), vec![("memory", "2048".to_owned())]),
        (("ciuser", "root"), vec![("ciuser", "admin".to_owned())]),
        (("sshkeys", ""), vec![("sshkeys", "ssh-ed25519%20AAAA%20a%40b".to_owned())]),
        (("description", "Ask Alice"), vec![("description", format!("Ask Alice\n\n{}", owner().mark(600).line()))]),
        (
            ("smbios1", "serial=abc,uuid=11111111-2222-3333-4444-555555555555,base64=1"),
            vec![("smbios1", format!("uuid={},serial=abc,base64=1", owner().smbios_uuid(600)))],
        ),
    ] {
        let config = changed(&finished_config(600), &[change]);
        let step = creating().machine(here(), config, Power::Stopped).settle();
        let Step::Act(Action::Configure { set, .. }) = step else { panic!("{change:?} leads to {step:?}") };
        let expected: Vec<_> = expected.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        assert_eq!(set.0, expected, "{change:?}");
    }
}

#[test]
fn the_steps_to_the_first_boot_come_in_order() {
    let uuid = format!("uuid={}", owner().smbios_uuid(600));
    let mut scene = creating().machine(here(), cloned_config(600), Power::Stopped);
    let mut config = cloned_config(600);
    let mut steps = Vec::new();
    for _ in 0..4 {
        steps.push(word(&scene.settle()));
        match scene.settle() {
            Step::Act(Action::Configure { set, password, .. }) => {
                assert!(password.is_some());
                config = changed(&config, &[("cipassword", "**********")]);
                let set: Vec<_> = set.0.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
                config = changed(&config, &set);
            }
            Step::Act(Action::Resize { .. }) => config = changed(&config, &[("scsi0", "local:disk,size=20G")]),
            Step::Act(Action::Tag { tags, .. }) => config = changed(&config, &[("tags", &tags)]),
            _ => {}
        }
        scene.machines.insert(here(), present(config.clone(), Power::Stopped));
    }
    assert_eq!(
        steps,
        [
            "configure a/600 cores,memory,ciuser,sshkeys,smbios1,cipassword",
            "resize a/600 scsi0 20G",
            "tag a/600 cloudfaster",
            "start a/600",
        ]
    );
    assert!(config.get("smbios1").unwrap().contains(&uuid));
    assert_eq!(scene.recorded.intent.unwrap().stage, Stage::Starting);
}

#[test]
fn a_refused_tag_holds_nothing_up_and_a_bigger_disk_stays() {
    let config = changed(&finished_config(600), &[("tags", "theirs"), ("scsi0", "local:disk,size=30G")]);
    let scene = creating().machine(here(), config, Power::Stopped);
    assert_eq!(scene.clone().outcome(), "tag a/600 theirs;cloudfaster");
    assert_eq!(scene.with(|scene| scene.tag_refused = true).outcome(), "start a/600");
}

#[test]
fn the_clones_task_decides() {
    let with = |sight: TaskSight| creating().task("a", TaskAction::Clone, "qmclone", TEMPLATE, sight);
    let failed = |text: &str| with(TaskSight::Failed(text.into()));
    for (scene, expected) in [
        (with(TaskSight::Running(None)), "wait Cloning"),
        (with(TaskSight::Unknown("595".into())), "wait NodeUnreachable"),
        (with(TaskSight::Vanished), "clone 9000 to a/600"),
        (failed("clone failed: copy failed"), "clone 9001 to b/601"),
        (failed("can't lock file '/x' - got timeout"), "retry LockTimeout"),
        (failed("unable to create VM 600: File exists"), "retry VmidTaken"),
        (failed("cluster not ready - no quorum?"), "retry NoQuorum"),
    ] {
        let shown = format!("{:?}", scene.tasks);
        assert_eq!(scene.outcome(), expected, "{shown}");
    }
}

#[test]
fn a_clone_that_is_refused_again_and_again_is_given_up() {
    let clone = Action::Clone {
        place: here(),
        source: "a".into(),
        template: TEMPLATE,
        linked: false,
        storage: None,
        pool: None,
        name: "web".into(),
        description: String::new(),
    };
    for outcome in [
        Outcome::LookAgain(Reason::new("VmidTaken", "already exists")),
        Outcome::RetryHere(Reason::new("LockTimeout", "got timeout")),
    ] {
        let mut recorded = creating().recorded;
        for round in 1..=6 {
            match failed_action(false, &recorded, &clone, outcome.clone(), at(round)) {
                Step::Retry(next, _) if round <= 5 => recorded = *next,
                Step::Record(next) if round == 6 => recorded = *next,
                step => panic!("round {round}: {step:?}"),
            }
        }
        assert_eq!(recorded.intent.unwrap().stage, Stage::Abandoning);
    }
}

#[test]
fn a_node_that_is_gone_loses_the_attempt_and_one_that_is_silent_for_a_moment_does_not() {
    let unknown = creating()
        .task("a", TaskAction::Clone, "qmclone", TEMPLATE, TaskSight::Unknown("no route".into()))
        .with(|scene| {
            scene.machines.insert(here(), Sight::Unknown("no route".into()));
        });
    assert_eq!(unknown.clone().outcome(), "wait NodeUnreachable");
    let offline = |scene: &mut Scene| scene.sites[0].nodes.get_mut("a").unwrap().reach = Reach::Offline;
    let mut lost = unknown.clone().with(offline);
    assert_eq!(word(&lost.settle()), "clone 9001 to b/601");
    assert_eq!(lost.recorded.leftovers[0].place, here());
    assert_eq!(lost.recorded.attempts[0].reason.word, "NodeLost");
    // A stand-alone host belongs to no cluster that could say so: it is silent for a minute.
    let silent = |seconds: i64| {
        unknown.clone().with(|scene| {
            scene.sites = vec![site(0, &["a"]), site(1, &["b"])];
            let mut template = entry("b", &template_config());
            template.details = scene.sites[1].vms[&9000].details.clone();
            scene.sites[1].vms.insert(9001, template);
            scene.sites[0].failing_since = Some(at(0));
            scene.sites[0].stale = true;
            scene.now = at(seconds);
        })
    };
    assert_eq!(silent(60).outcome(), "wait NodeUnreachable");
    assert_eq!(silent(61).outcome(), "clone 9001 to b/601");
}

#[test]
fn a_start_that_fails_for_good_ends_the_attempt_only_if_the_machine_cannot_have_run() {
    let starting = |text: &str| {
        Scene::at_stage(Stage::Starting).machine(here(), finished_config(600), Power::Stopped).task(
            "a",
            TaskAction::Start,
            "qmstart",
            600,
            TaskSight::Failed(text.into()),
        )
    };
    let refused = "start failed: QEMU exited with code 1";
    assert_eq!(starting(refused).outcome(), "destroy a/600");
    assert_eq!(starting("VM is locked (backup)").outcome(), "retry Locked");
    assert_eq!(starting("VM 600 already running").outcome(), "retry AlreadyRunning");
    let runs = |scene: &mut Scene| {
        scene.machines.insert(here(), present(finished_config(600), Power::Running));
    };
    let mut scene = starting(refused).with(runs);
    assert_eq!(word(&scene.settle()), "rest");
    assert_eq!(scene.recorded.intent.unwrap().stage, Stage::Established);
    // Found standing still long after its start was posted, it may have run: it stays where it is.
    let mut late = Scene::at_stage(Stage::Starting).machine(here(), finished_config(600), Power::Stopped);
    late.now = at(61);
    assert_eq!(word(&late.settle()), "start a/600");
    assert_eq!(late.recorded.intent.as_ref().unwrap().stage, Stage::Established);
    let failed = Outcome::NextNode(Reason::new("StartFailed", refused));
    let step = failed_action(false, &late.recorded, &Action::Start(here()), failed, at(62));
    assert_eq!(word(&step), "retry StartFailed");
}

#[test]
fn a_disk_that_cannot_grow_ends_an_attempt_only_before_the_start() {
    let resize = Action::Resize { place: here(), disk: "scsi0".into(), bytes: GIB };
    let failed = Outcome::NextNode(Reason::new("ResizeFailed", "exit code 1"));
    for (stage, expected) in [
        (Stage::Creating, "record"),
        (Stage::Starting, "retry ResizeFailed"),
        (Stage::Established, "retry ResizeFailed"),
    ] {
        let step = failed_action(false, &Scene::at_stage(stage).recorded, &resize, failed.clone(), at(0));
        assert_eq!(word(&step), expected, "{stage:?}");
    }
}

fn lost() -> Scene {
    Scene::new().with(|scene| scene.recorded.lost = true)
}

#[test]
fn after_the_status_was_lost_the_machine_is_found_by_its_marks() {
    let running = lost().machine(place("b", 602), finished_config(602), Power::Running);
    let mut found = running.clone();
    // The same password again changes nothing, and which one it was is known to nobody.
    assert_eq!(word(&found.settle()), "configure b/602 cipassword");
    let intent = found.recorded.intent.unwrap();
    assert_eq!((intent.place, intent.stage), (place("b", 602), Stage::Established));
    assert_eq!(lost().outcome(), "clone 9000 to a/600");
    assert_eq!(lost().deleted().outcome(), "release");
    assert_eq!(running.clone().deleted().outcome(), "stop b/602");
    // A copy's VMID differs from that in its mark.
    let copy = running.clone().machine(place("b", 610), finished_config(602), Power::Stopped);
    assert_eq!(copy.outcome(), "configure b/602 cipassword");
    let two = running.machine(place("a", 601), finished_config(601), Power::Stopped);
    assert_eq!(two.clone().outcome(), "stall SeveralClaimants");
    assert_eq!(two.deleted().outcome(), "stall SeveralClaimants");
    let by_second = changed(&finished_config(602), &[("description", "")]);
    let found = lost().machine(place("b", 602), by_second, Power::Running);
    assert_eq!(found.outcome(), "configure b/602 description,cipassword");
    let unconfigured = lost().machine(place("b", 602), cloned_config(602), Power::Stopped);
    assert!(unconfigured.outcome().contains("cipassword"));
}

#[test]
fn a_search_by_marks_waits_for_every_node() {
    let unread = lost().with(|scene| {
        let mut entry = entry("b", &config(&[]));
        (entry.details, entry.details_due) = (None, true);
        scene.sites[0].vms.insert(500, entry);
    });
    assert_eq!(unread.clone().outcome(), "wait SearchIncomplete");
    assert_eq!(unread.deleted().outcome(), "wait SearchIncomplete");
    let stale = lost().with(|scene| scene.sites[0].stale = true);
    assert_eq!(stale.outcome(), "wait SearchIncomplete");
}

#[test]
fn a_machine_on_a_node_that_is_none_of_ours_is_told_and_not_doubled() {
    let mut scene = lost().machine(place("b", 602), finished_config(602), Power::Running);
    let entry = scene.sites[0].vms.get_mut(&602).unwrap();
    (entry.node, entry.proxmox_node) = (None, "pve-z".into());
    entry.details = Some(Arc::new((&finished_config(602)).into()));
    assert_eq!(scene.clone().outcome(), "stall OutOfReach");
    assert_eq!(scene.deleted().outcome(), "stall OutOfReach");
}
