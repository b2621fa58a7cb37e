//! VMs, their configurations, their marks.

use super::*;

#[test]
fn configurations_are_read_when_they_are_new_or_may_differ() {
    let plain = json!([vm(600, "pve1")]);
    let known = read(&first(plain.clone(), json!([])), 600, "");
    let locked = read(&first(json!([with(vm(600, "pve1"), "lock", "backup")]), json!([])), 600, "");
    let temporary =
        read(&first(json!([with(vm(600, "pve1"), "lock", "clone")]), json!([])), 600, " qmclone temporary file");
    let busy = vm(600, "pve1");
    for (name, before, resources, tasks, due, kept) in [
        ("nothing happened", &known, json!([busy]), json!([]), false, true),
        ("it started", &known, json!([with(busy.clone(), "status", "running")]), json!([]), false, true),
        ("a backup began", &known, json!([with(busy.clone(), "lock", "backup")]), json!([]), false, true),
        ("a backup ended", &locked, json!([busy]), json!([]), true, true),
        ("it was renamed", &known, json!([with(busy.clone(), "name", "x")]), json!([]), true, true),
        ("it was tagged", &known, json!([with(busy.clone(), "tags", "a;b")]), json!([]), true, true),
        ("it moved", &known, json!([vm(600, "pve2")]), json!([]), true, true),
        ("it is cloned to again", &known, json!([with(busy.clone(), "lock", "clone")]), json!([]), true, false),
        ("it was destroyed and made again", &known, json!([busy]), json!([ended(DESTROY, "OK")]), true, false),
        ("another was cloned", &known, json!([busy]), json!([running(CLONE)]), false, true),
        ("it is still being made", &temporary, json!([with(busy.clone(), "lock", "clone")]), json!([]), true, true),
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
fn marked_vms_are_read_in_turn_though_nothing_happened_and_any_other_digest_is_a_change() {
    let guests = json!([vm(600, "pve1"), vm(601, "pve1"), vm(602, "pve2"), vm(603, "pve1")]);
    let notes = compose("", &mark(600));
    let state = read(&first(guests, json!([])), 600, &notes);
    let state = read(&read(&state, 601, "somebody's"), 602, &notes);
    let turn = |last| state.turn(last).map(|(vmid, _)| vmid);
    assert_eq!([turn(None), turn(Some(600)), turn(Some(602)), turn(Some(900))], [600, 602, 600, 600].map(Some));
    let mut cut_off = state.clone();
    cut_off.members[1].online = false;
    assert_eq!(cut_off.turn(Some(600)), Some((600, "pve1".to_owned())));
    let again = |digest: &str| {
        let config = VmConfig::from_iter([("description", notes.as_str()), ("digest", digest)]);
        state.with_configs(&[(600, config)])
    };
    let vms = |before: &SiteState, now: &SiteState| Changes::between(SiteId(0), before, now).vms;
    assert!(vms(&again("a"), &again("a")).is_empty());
    assert_eq!(vms(&again("a"), &again("b")), BTreeSet::from([600]));
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
    let state = first(json!([vm(600, "pve1"), vm(601, "pve2"), vm(602, "pve2")]), json!([]));
    let notes = compose("web shop", &mark(600));
    let state = read(&read(&read(&state, 600, &notes), 601, &notes), 602, "");
    let snapshot = Snapshot::new(vec![Arc::new(state)]);
    let claims: Vec<_> =
        snapshot.claims("u1").into_iter().map(|claim| (claim.vmid, claim.mark.vmid, claim.node)).collect();
    assert_eq!(claims, [(600, 600, Some("sv1".to_owned())), (601, 600, Some("sv2".to_owned()))]);
    assert!(snapshot.claims("u2").is_empty());
    assert!(snapshot.marks_complete() && snapshot.is_taken(602) && !snapshot.is_taken(603));
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
