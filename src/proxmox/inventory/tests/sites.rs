//! Nodes, clusters, quorum.

use super::*;

#[test]
fn nodes_show_their_load_and_storages() {
    let state = first(json!([vm(600, "pve1"), vm(601, "pve1"), with(vm(9000, "pve1"), "template", 1)]), json!([]));
    let node = &state.nodes["sv1"];
    assert_eq!(node.reach, Reach::Online);
    assert_eq!((node.max_memory, node.used_memory, node.cpus), (1000, 100, 8));
    assert_eq!((node.guest_memory, node.free_memory()), (600, 400));
    assert_eq!((node.storages[0].avail, node.storages[0].active), (30, true));
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
            answers.resources.push(serde_json::from_value(entry).unwrap());
        }
        let nodes = nodes();
        let site = configured(&nodes);
        SiteState::unknown(site).after(site, answers).nodes["sv1"].reach.clone()
    };
    assert_eq!(online(1, Some("online")), Reach::Online);
    assert_eq!(online(0, Some("online")), Reach::Offline);
    assert_eq!(online(1, Some("offline")), Reach::Offline);
    assert!(matches!(online(1, Some("unknown")), Reach::Unknown(_)));
    assert!(matches!(online(1, None), Reach::Unknown(_)));
}

#[test]
fn a_node_that_the_cluster_does_not_have_is_said_so() {
    let nodes = vec![Node { name: "sv9".to_owned(), proxmox_name: "pve9".to_owned() }];
    let site = configured(&nodes);
    let state = SiteState::unknown(site).after(site, answers(json!([vm(600, "pve1")]), json!([])));
    let error = state.nodes["sv9"].last_error.clone().unwrap();
    assert_eq!(error, "the cluster \"lab\" (pve1, pve2) has no node \"pve9\"");
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
fn the_same_cluster_twice_is_an_error_of_the_second() {
    let one = Arc::new(first(json!([vm(600, "pve1")]), json!([])));
    let snapshot = Snapshot::new(vec![one.clone(), one.clone()]);
    assert!(snapshot.site(SiteId(0)).unwrap().error.is_none());
    let error = snapshot.site(SiteId(1)).unwrap().error.clone().unwrap();
    assert!(error.to_string().contains("\"lab\" (pve1, pve2) is given twice"), "{error}");
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
        let site = Configured { stand_alone: true, ..configured(&nodes) };
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
    let site = Configured { stand_alone: true, ..configured(&nodes) };
    let state = SiteState::unknown(site).after(site, answers(json!([]), json!([])));
    assert!(matches!(state.error, Some(SiteError::Mismatch(_))));
}
