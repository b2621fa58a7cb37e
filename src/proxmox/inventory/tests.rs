//! Tables for what a poll's answers become, and what is said to have changed.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::proxmox::{
    identity::{Mark, compose},
    wire::{ClusterStatus, Upid, VmConfig},
};

use super::{
    merge::{Answers, Configured},
    *,
};

const CLONE: &str = "UPID:pve1:00000193:0008C543:6B03CAC0:qmclone:9000:op@pve!full:";
const DESTROY: &str = "UPID:pve1:00000194:0008C544:6B03CAC1:qmdestroy:600:op@pve!full:";

fn nodes() -> Vec<Node> {
    [("sv1", "pve1"), ("sv2", "pve2")]
        .map(|(name, proxmox_name)| Node {
            name: name.to_owned(),
            proxmox_name: proxmox_name.to_owned(),
        })
        .to_vec()
}

fn configured(nodes: &[Node]) -> Configured<'_> {
    Configured {
        id: SiteId(0),
        nodes,
        stand_alone: false,
    }
}

fn cluster(name: &str, quorate: bool) -> ClusterStatus {
    serde_json::from_value(json!([
        {"type": "cluster", "name": name, "quorate": u8::from(quorate), "nodes": 2, "version": 2},
        {"type": "node", "name": "pve1", "ip": "10.99.0.1", "online": 1, "local": 1},
        {"type": "node", "name": "pve2", "ip": "10.99.0.2", "online": 1, "local": 0},
    ]))
    .unwrap()
}

fn answers(resources: Value, tasks: Value) -> Answers {
    let mut all = vec![
        json!({"type": "node", "node": "pve1", "status": "online", "maxmem": 1000, "mem": 100, "maxcpu": 8}),
        json!({"type": "node", "node": "pve2", "status": "online", "maxmem": 2000, "mem": 900, "maxcpu": 4}),
        json!({"type": "storage", "node": "pve1", "storage": "local", "status": "available",
            "maxdisk": 50, "disk": 20, "shared": 0, "content": "images,iso"}),
    ];
    all.extend(resources.as_array().unwrap().iter().cloned());
    Answers {
        at: Timestamp::from_second(1).unwrap(),
        status: cluster("lab", true),
        resources: serde_json::from_value(json!(all)).unwrap(),
        tasks: serde_json::from_value(tasks).unwrap(),
        version: Some("9.2.11".to_owned()),
        ..Answers::default()
    }
}

fn vm(vmid: u32, node: &str) -> Value {
    json!({"type": "qemu", "vmid": vmid, "node": node, "name": format!("vm{vmid}"), "status": "stopped",
        "maxmem": 300, "maxdisk": 10, "template": 0})
}

fn with(mut vm: Value, key: &str, value: impl Into<Value>) -> Value {
    vm[key] = value.into();
    vm
}

fn running(upid: &str) -> Value {
    json!({"upid": upid, "node": "pve1"})
}

fn ended(upid: &str, status: &str) -> Value {
    json!({"upid": upid, "node": "pve1", "status": status, "endtime": 1_795_410_598})
}

/// The state after a poll, from nothing.
fn first(resources: Value, tasks: Value) -> SiteState {
    let nodes = nodes();
    let site = configured(&nodes);
    SiteState::unknown(site).after(site, answers(resources, tasks))
}

fn then(state: &SiteState, resources: Value, tasks: Value) -> SiteState {
    state.after(configured(&nodes()), answers(resources, tasks))
}

fn mark(vmid: u32) -> Mark {
    Mark {
        installation: "prod".to_owned(),
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        uid: "u1".to_owned(),
        vmid,
    }
}

fn config(description: &str) -> VmConfig {
    VmConfig::from_iter([("description", description), ("memory", "2048")])
}

fn read(state: &SiteState, vmid: u32, description: &str) -> SiteState {
    state.with_configs(&[(vmid, config(description))])
}

fn upid(text: &str) -> Upid {
    text.parse().unwrap()
}

#[test]
fn nodes_show_their_load_and_storages() {
    let state = first(
        json!([
            vm(600, "pve1"),
            vm(601, "pve1"),
            with(vm(9000, "pve1"), "template", 1)
        ]),
        json!([]),
    );
    let node = &state.nodes["sv1"];
    assert_eq!(node.reach, Reach::Online);
    assert_eq!(
        (node.max_memory, node.used_memory, node.cpus),
        (1000, 100, 8)
    );
    assert_eq!((node.guest_memory, node.free_memory()), (600, 400));
    assert_eq!(
        (node.storages[0].avail, node.storages[0].active),
        (30, true)
    );
    assert_eq!(state.nodes["sv2"].free_memory(), 1100);
    assert_eq!(state.vms[&600].node.as_deref(), Some("sv1"));
}

#[test]
fn a_node_is_reachable_only_if_nobody_says_otherwise() {
    let online = |member: u8, load: Option<&str>| {
        let mut answers = answers(json!([]), json!([]));
        answers.status = serde_json::from_value(json!([
            {"type": "cluster", "name": "lab", "quorate": 1},
            {"type": "node", "name": "pve1", "online": member},
        ]))
        .unwrap();
        answers.resources.retain(|entry| entry.node != "pve1");
        if let Some(status) = load {
            let entry = json!({"type": "node", "node": "pve1", "status": status});
            answers
                .resources
                .push(serde_json::from_value(entry).unwrap());
        }
        let nodes = nodes();
        let site = configured(&nodes);
        SiteState::unknown(site).after(site, answers).nodes["sv1"]
            .reach
            .clone()
    };
    assert_eq!(online(1, Some("online")), Reach::Online);
    assert_eq!(online(0, Some("online")), Reach::Offline);
    assert_eq!(online(1, Some("offline")), Reach::Offline);
    assert!(matches!(online(1, Some("unknown")), Reach::Unknown(_)));
    assert!(matches!(online(1, None), Reach::Unknown(_)));
}

#[test]
fn a_node_that_the_cluster_does_not_have_is_said_so() {
    let nodes = vec![Node {
        name: "sv9".to_owned(),
        proxmox_name: "pve9".to_owned(),
    }];
    let site = configured(&nodes);
    let state = SiteState::unknown(site).after(site, answers(json!([vm(600, "pve1")]), json!([])));
    let error = state.nodes["sv9"].last_error.clone().unwrap();
    assert_eq!(
        error,
        "the cluster \"lab\" (pve1, pve2) has no node \"pve9\""
    );
    assert_eq!(state.vms[&600].node, None);
    assert_eq!(state.vms[&600].proxmox_node, "pve1");
}

#[test]
fn lists_without_quorum_are_discarded() {
    let before = read(&first(json!([vm(600, "pve1")]), json!([])), 600, "");
    assert!(before.marks_complete());
    let nodes = nodes();
    let mut cut_off = answers(json!([]), json!([]));
    cut_off.status = cluster("lab", false);
    let state = before.after(configured(&nodes), cut_off);
    assert!(state.vms.contains_key(&600) && state.stale && !state.quorate);
    assert!(!state.marks_complete());
    assert!(matches!(state.nodes["sv1"].reach, Reach::Unknown(_)));
    let back = then(&state, json!([]), json!([]));
    assert!(back.vms.is_empty() && back.is_current());
}

#[test]
fn a_failure_keeps_what_was_known_and_says_why_it_is_old() {
    let mut state = read(&first(json!([vm(600, "pve1")]), json!([])), 600, "");
    state.fail(SiteError::Auth("No ticket".to_owned()));
    assert!(state.vms.contains_key(&600) && !state.is_current() && !state.marks_complete());
    let error = state.nodes["sv1"].last_error.clone().unwrap();
    assert_eq!(error, "the credentials were refused: No ticket");
    assert!(then(&state, json!([]), json!([])).error.is_none());
}

#[test]
fn configurations_are_read_when_they_are_new_or_may_differ() {
    let plain = json!([vm(600, "pve1")]);
    let known = read(&first(plain.clone(), json!([])), 600, "");
    let locked = read(
        &first(json!([with(vm(600, "pve1"), "lock", "backup")]), json!([])),
        600,
        "",
    );
    let temporary = read(
        &first(json!([with(vm(600, "pve1"), "lock", "clone")]), json!([])),
        600,
        " qmclone temporary file",
    );
    let busy = vm(600, "pve1");
    for (name, before, resources, tasks, due, kept) in [
        (
            "nothing happened",
            &known,
            json!([busy]),
            json!([]),
            false,
            true,
        ),
        (
            "it started",
            &known,
            json!([with(busy.clone(), "status", "running")]),
            json!([]),
            false,
            true,
        ),
        (
            "a backup began",
            &known,
            json!([with(busy.clone(), "lock", "backup")]),
            json!([]),
            false,
            true,
        ),
        (
            "a backup ended",
            &locked,
            json!([busy]),
            json!([]),
            true,
            true,
        ),
        (
            "it was renamed",
            &known,
            json!([with(busy.clone(), "name", "x")]),
            json!([]),
            true,
            true,
        ),
        (
            "it was tagged",
            &known,
            json!([with(busy.clone(), "tags", "a;b")]),
            json!([]),
            true,
            true,
        ),
        (
            "it moved",
            &known,
            json!([vm(600, "pve2")]),
            json!([]),
            true,
            true,
        ),
        (
            "it is cloned to again",
            &known,
            json!([with(busy.clone(), "lock", "clone")]),
            json!([]),
            true,
            false,
        ),
        (
            "it was destroyed and made again",
            &known,
            json!([busy]),
            json!([ended(DESTROY, "OK")]),
            true,
            false,
        ),
        (
            "another was cloned",
            &known,
            json!([busy]),
            json!([running(CLONE)]),
            false,
            true,
        ),
        (
            "it is still being made",
            &temporary,
            json!([with(busy.clone(), "lock", "clone")]),
            json!([]),
            true,
            true,
        ),
    ] {
        let state = then(before, resources, tasks);
        assert_eq!(state.vms[&600].details_due, due, "{name}");
        assert_eq!(state.vms[&600].details.is_some(), kept, "{name}");
        assert_eq!(state.due().len(), usize::from(due), "{name}");
    }
}

#[test]
fn a_configuration_that_we_changed_is_read_again() {
    let known = read(&first(json!([vm(600, "pve1")]), json!([])), 600, "");
    let mut told = answers(json!([vm(600, "pve1")]), json!([]));
    told.reread.insert(600);
    let state = known.after(configured(&nodes()), told);
    assert_eq!(state.due(), [(600, "pve1".to_owned())]);
}

#[test]
fn an_offline_node_is_not_asked_and_leaves_the_marks_incomplete() {
    let nodes = nodes();
    let site = configured(&nodes);
    let mut half = answers(json!([vm(600, "pve1"), vm(601, "pve2")]), json!([]));
    half.status.nodes[1].online = false;
    let state = SiteState::unknown(site).after(site, half);
    assert_eq!(state.due(), [(600, "pve1".to_owned())]);
    assert!(!read(&state, 600, "").marks_complete());
}

#[test]
fn marks_are_complete_when_every_vm_was_read_and_none_is_being_made() {
    let lxc = with(vm(700, "pve1"), "type", "lxc");
    let state = first(json!([vm(600, "pve1"), lxc]), json!([]));
    assert!(!state.marks_complete());
    assert!(!read(&state, 600, " qmclone temporary file").marks_complete());
    assert!(read(&state, 600, "anything").marks_complete());
}

#[test]
fn claims_name_copies_too() {
    let state = first(
        json!([vm(600, "pve1"), vm(601, "pve2"), vm(602, "pve2")]),
        json!([]),
    );
    let notes = compose("web shop", &mark(600));
    let state = read(&read(&read(&state, 600, &notes), 601, &notes), 602, "");
    let snapshot = Snapshot::new(vec![Arc::new(state)]);
    let claims: Vec<_> = snapshot
        .claims("u1")
        .into_iter()
        .map(|claim| (claim.vmid, claim.mark.vmid, claim.node))
        .collect();
    assert_eq!(
        claims,
        [
            (600, 600, Some("sv1".to_owned())),
            (601, 600, Some("sv2".to_owned()))
        ]
    );
    assert!(snapshot.claims("u2").is_empty());
    assert!(snapshot.marks_complete() && snapshot.is_taken(602) && !snapshot.is_taken(603));
}

#[test]
fn tasks_run_end_and_are_remembered() {
    let one = first(json!([]), json!([running(CLONE)]));
    assert_eq!(one.tasks[&upid(CLONE)], TaskState::Running);
    assert!(one.is_busy());
    let snapshot = Snapshot::new(vec![Arc::new(one.clone())]);
    assert_eq!(snapshot.running_clones_of("sv1", 9000), 1);
    assert_eq!(snapshot.running_clones_of("sv2", 9000), 0);
    assert_eq!(snapshot.running_clones_of("sv1", 9001), 0);

    let two = then(
        &one,
        json!([]),
        json!([ended(CLONE, "clone failed: no space")]),
    );
    let failed = TaskState::Ended {
        ok: false,
        text: "clone failed: no space".to_owned(),
    };
    assert_eq!(two.tasks[&upid(CLONE)], failed);
    assert!(!two.is_busy());
    let three = then(&two, json!([]), json!([]));
    assert_eq!(three.tasks[&upid(CLONE)], failed);
}

#[test]
fn a_task_that_left_the_list_is_what_it_was_looked_up_to_be() {
    let one = first(json!([]), json!([running(CLONE)]));
    assert_eq!(one.left_list(&[]), [upid(CLONE)]);
    for (looked_up, known) in [
        (
            Some(TaskState::ended("WARNINGS: 1")),
            Some(TaskState::Ended {
                ok: true,
                text: "WARNINGS: 1".to_owned(),
            }),
        ),
        (Some(TaskState::Running), Some(TaskState::Running)),
        (None, None),
    ] {
        let mut after = answers(json!([]), json!([]));
        after.left_list.insert(upid(CLONE), looked_up);
        let state = one.after(configured(&nodes()), after);
        assert_eq!(state.tasks.get(&upid(CLONE)), known.as_ref());
    }
}

#[test]
fn changes_name_what_is_different_and_nothing_else() {
    let before = read(
        &first(
            json!([vm(600, "pve1"), vm(601, "pve1")]),
            json!([running(CLONE)]),
        ),
        600,
        "",
    );
    let before = read(&before, 601, "");
    let same = json!([vm(600, "pve1"), vm(601, "pve1")]);
    let between = |now: &SiteState| Changes::between(SiteId(0), &before, now);

    assert!(between(&then(&before, same.clone(), json!([running(CLONE)]))).is_empty());
    let older = json!([with(vm(600, "pve1"), "uptime", 99), vm(601, "pve1")]);
    assert!(between(&then(&before, older, json!([running(CLONE)]))).is_empty());

    let changes = between(&then(
        &before,
        json!([with(vm(600, "pve1"), "status", "running"), vm(602, "pve1")]),
        json!([ended(CLONE, "OK")]),
    ));
    assert_eq!(changes.vms, BTreeSet::from([600, 601, 602]));
    assert_eq!(changes.tasks, BTreeSet::from([upid(CLONE)]));
    assert!(changes.nodes.is_empty() && changes.state);

    let marked = read(&before, 600, &mark(600).line());
    assert_eq!(between(&marked).vms, BTreeSet::from([600]));

    let mut failed = before.clone();
    failed.fail(SiteError::Unreachable("gone".to_owned()));
    let changes = between(&failed);
    assert_eq!(changes.nodes.len(), 2);
    assert!(changes.state && changes.vms.is_empty() && changes.tasks.is_empty());
}

#[test]
fn the_same_cluster_twice_is_an_error_of_the_second() {
    let one = Arc::new(first(json!([vm(600, "pve1")]), json!([])));
    let snapshot = Snapshot::new(vec![one.clone(), one.clone()]);
    assert!(snapshot.site(SiteId(0)).unwrap().error.is_none());
    let error = snapshot.site(SiteId(1)).unwrap().error.clone().unwrap();
    assert!(
        error
            .to_string()
            .contains("\"lab\" (pve1, pve2) is given twice"),
        "{error}"
    );
    assert!(!snapshot.marks_complete());

    let mut other = SiteState::clone(&one);
    other.members[0].ip = Some("10.99.7.1".to_owned());
    let snapshot = Snapshot::new(vec![one, Arc::new(other)]);
    assert!(snapshot.site(SiteId(1)).unwrap().error.is_none());
}

#[test]
fn stand_alone_hosts_of_one_name_are_told_apart_by_address() {
    let host = |ip: &str| {
        let nodes = vec![nodes().remove(0)];
        let site = Configured {
            stand_alone: true,
            ..configured(&nodes)
        };
        let mut alone = answers(json!([]), json!([]));
        alone.status = serde_json::from_value(json!([
            {"type": "node", "name": "pve1", "ip": ip, "online": 1, "local": 1},
        ]))
        .unwrap();
        Arc::new(SiteState::unknown(site).after(site, alone))
    };
    for (one, other, same) in [
        ("10.0.0.1", "10.0.0.2", false),
        ("10.0.0.1", "10.0.0.1", true),
        // Nothing but how the name resolves there.
        ("127.0.1.1", "127.0.1.1", false),
    ] {
        let snapshot = Snapshot::new(vec![host(one), host(other)]);
        let error = &snapshot.site(SiteId(1)).unwrap().error;
        assert_eq!(error.is_some(), same, "{one} {other}");
        assert!(snapshot.site(SiteId(0)).unwrap().error.is_none());
    }
}

#[test]
fn a_cluster_is_no_stand_alone_host() {
    let nodes = nodes();
    let site = Configured {
        stand_alone: true,
        ..configured(&nodes)
    };
    let state = SiteState::unknown(site).after(site, answers(json!([]), json!([])));
    assert!(matches!(state.error, Some(SiteError::Mismatch(_))));
}

#[test]
fn strange_entries_do_no_harm() {
    let state = first(
        json!([
            {}, {"type": "qemu"}, {"type": "qemu", "vmid": "700", "node": "pve1", "template": "1"},
            {"type": "qemu", "vmid": -1, "node": "pve1"}, {"type": "storage", "node": "pve1"},
            {"type": "sdn", "sdn": "localnetwork"}, {"type": "lxc", "vmid": 701, "maxmem": "nan"},
        ]),
        json!([]),
    );
    assert_eq!(state.vms.keys().copied().collect::<Vec<_>>(), [700, 701]);
    assert!(state.vms[&700].template);
    assert_eq!(state.vms[&701].kind, GuestKind::Lxc);
}
