//! Tasks, and what changed.

use super::*;

#[test]
fn tasks_run_end_and_are_remembered() {
    let one = first(json!([]), json!([running(CLONE)]));
    assert_eq!(one.tasks[&upid(CLONE)], TaskState::Running);
    assert!(one.is_busy());
    let snapshot = Snapshot::new(vec![Arc::new(one.clone())]);
    assert_eq!(snapshot.running_clones_of("sv1", 9000), 1);
    assert_eq!(snapshot.running_clones_of("sv2", 9000), 0);
    assert_eq!(snapshot.running_clones_of("sv1", 9001), 0);

    let two = then(&one, json!([]), json!([ended(CLONE, "clone failed: no space")]));
    let failed = TaskState::Ended { ok: false, text: "clone failed: no space".to_owned() };
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
        (Some(TaskState::ended("WARNINGS: 1")), Some(TaskState::Ended { ok: true, text: "WARNINGS: 1".to_owned() })),
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
    let before = read(&first(json!([vm(600, "pve1"), vm(601, "pve1")]), json!([running(CLONE)])), 600, "");
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
    assert!(changes.nodes.is_empty() && changes.marks && !changes.state);

    let marked = read(&before, 600, &mark(600).line());
    assert_eq!(between(&marked).vms, BTreeSet::from([600]));

    let mut failed = before.clone();
    failed.fail(SiteError::Unreachable("gone".to_owned()));
    let changes = between(&failed);
    assert_eq!(changes.nodes.len(), 2);
    assert!(changes.state && changes.vms.is_empty() && changes.tasks.is_empty());
}
