use super::*;
use crate::proxmox::{
    plan::{Claim, Cloning, Owner},
    wire::Addresses,
};

fn owner(uid: &str) -> Owner {
    Owner { installation: "i".into(), namespace: "a".into(), name: "vm".into(), uid: uid.into() }
}

fn entry(vmid: Vmid) -> Entry {
    let machine = Claim {
        place: Place { node: "sv1".into(), vmid },
        memory: 1,
        disks: Vec::new(),
        cores: 1,
        group: Some("web".into()),
        addresses: Addresses::default(),
    };
    Entry {
        object: Object {
            cluster: "main".into(),
            reference: ObjectRef::new(&format!("vm-{vmid}")).within("a"),
            task: None,
            known_by: BTreeSet::from([vmid]),
        },
        holding: Holding {
            namespace: "a".into(),
            machine: Some(machine),
            leftovers: vec![Place { node: "sv2".into(), vmid: vmid + 100 }],
            clone: None,
            candidate: None,
        },
    }
}

fn with(mut entry: Entry, change: impl FnOnce(&mut Entry)) -> Entry {
    change(&mut entry);
    entry
}

const NOTHING: [Vmid; 0] = [];

/// Which of these VMIDs others hold in a cluster.
fn taken<const N: usize>(ledger: &Ledger, cluster: &str, uid: &str, vmids: [Vmid; N]) -> Vec<Vmid> {
    let (reading, owner) = (ledger.read(), owner(uid));
    let Some(claims) = reading.claims(cluster) else { return Vec::new() };
    vmids.into_iter().filter(|vmid| claims.but(&owner).have_vmid(*vmid)).collect()
}

#[test]
fn a_choice_made_before_anothers_is_outdated() {
    let ledger = Ledger::default();
    let version = ledger.read().version();
    assert_eq!(ledger.claim("a", entry(100), version), Ok(()));
    assert_eq!(ledger.claim("b", entry(100), version), Err(Outdated));
    assert_eq!(taken(&ledger, "main", "b", [100, 101, 200, 201]), [100, 200]);
    let version = ledger.read().version();
    assert_eq!(ledger.read().claims("main").unwrap().but(&owner("b")).placed_in_namespace(), 1);
    assert_eq!(ledger.claim("b", entry(101), version), Ok(()));
}

#[test]
fn what_takes_nothing_outdates_no_choice() {
    let ledger = Ledger::default();
    ledger.note("a", entry(100));
    let version = ledger.read().version();
    for (what, change) in [
        ("a task", (|entry| entry.object.task = Some("UPID:1".into())) as fn(&mut Entry)),
        ("a clone", |entry| entry.holding.clone = Some(CloneState::Waiting(turn(100, 1)))),
        ("cores that the load shows now", |entry| entry.holding.machine.as_mut().unwrap().cores = 0),
    ] {
        ledger.note("a", with(entry(100), change));
        assert_eq!(ledger.read().version().places, version.places, "{what}");
    }
    assert!(ledger.consider("a", 300));
    assert_eq!(ledger.claim("b", entry(101), version), Ok(()), "nothing of it is of concern");
    for (what, change) in [
        ("a place", (|entry| entry.holding.machine.as_mut().unwrap().place.vmid = 105) as fn(&mut Entry)),
        ("memory", |entry| entry.holding.machine.as_mut().unwrap().memory = 2),
        ("a leftover", |entry| entry.holding.leftovers.push(Place { node: "sv3".into(), vmid: 400 })),
        ("a VMID that clients know", |entry| entry.object.known_by.extend([7])),
    ] {
        let version = ledger.read().version();
        ledger.note("a", with(entry(100), change));
        assert_eq!(ledger.claim("c", entry(102), version), Err(Outdated), "{what}");
        ledger.note("a", entry(100));
    }
}

#[test]
fn a_vmid_is_considered_by_one_at_a_time() {
    let ledger = Ledger::default();
    for uid in ["a", "b"] {
        ledger.note(uid, with(entry(if uid == "a" { 100 } else { 101 }), |entry| entry.holding = Holding::default()));
    }
    assert!(ledger.consider("a", 300) && ledger.consider("a", 300), "its own stands in nobody's way");
    assert!(!ledger.consider("b", 300));
    assert_eq!(taken(&ledger, "main", "b", [300, 301]), [300], "so it chooses another");
    assert!(ledger.consider("b", 301));
    ledger.withdraw("a");
    assert!(ledger.consider("b", 300), "the first has not taken it");
    assert_eq!(taken(&ledger, "main", "a", [300, 301]), [300], "nobody considers two");
}

#[test]
fn an_object_does_not_stand_in_its_own_way_nor_in_another_clusters() {
    let ledger = Ledger::default();
    ledger.note("a", entry(100));
    assert_eq!(taken(&ledger, "main", "a", [100, 200]), NOTHING);
    assert_eq!(taken(&ledger, "other", "b", [100, 200]), NOTHING);
    assert_eq!(ledger.objects("main", |place| place.is_some_and(|place| place.vmid == 200)).len(), 1);
    assert_eq!(ledger.forget(&ObjectRef::new("vm-100").within("a")), ["main"]);
    assert_eq!(taken(&ledger, "main", "b", [100, 200]), NOTHING);
}

#[test]
fn an_object_that_moves_to_another_cluster_leaves_nothing_in_the_first() {
    let ledger = Ledger::default();
    ledger.note("a", entry(100));
    ledger.note("a", with(entry(100), |entry| entry.object.cluster = "other".into()));
    assert_eq!(taken(&ledger, "main", "b", [100, 200]), NOTHING);
    assert_eq!(taken(&ledger, "other", "b", [100, 200]), [100, 200]);
}

#[test]
fn what_clients_know_another_machine_by_is_given_to_none_of_theirs_in_any_cluster() {
    let ledger = Ledger::default();
    let now = Timestamp::from_second(1000).unwrap();
    ledger.note("a", entry(100));
    let elsewhere = |entry: &mut Entry| {
        entry.object.cluster = "other".into();
        entry.object.known_by.insert(201);
    };
    ledger.note("b", with(entry(200), elsewhere));
    ledger.note("by hand", with(entry(300), |entry| entry.object.known_by.clear()));
    for (vmid, owner) in [(400, "ana"), (401, "eva")] {
        ledger.rest(vmid, Rest { cluster: "main".into(), owner: owner.into(), released: now });
    }
    let withheld = |uid: &str, user: &str| {
        let all = [100, 200, 201, 300, 400, 401].into_iter();
        all.filter(|vmid| ledger.read().is_withheld(*vmid, uid, user, now)).collect::<Vec<_>>()
    };
    assert_eq!(withheld("new", "ana"), [100, 200, 201, 401]);
    assert_eq!(withheld("a", "eva"), [200, 201, 400], "its own are its own");
    assert_eq!(ledger.resting("other", now).len(), 0);
}

#[test]
fn a_choice_made_before_a_release_is_outdated() {
    let ledger = Ledger::default();
    let version = ledger.read().version();
    let released = Timestamp::from_second(1000).unwrap();
    ledger.rest(100, Rest { cluster: "main".into(), owner: "ana".into(), released });
    assert_eq!(ledger.claim("a", entry(100), version), Err(Outdated));
}

fn turn(vmid: Vmid, second: i64) -> Turn {
    let since = jiff::Timestamp::from_second(second).unwrap();
    Turn { since, uid: vmid.to_string(), node: "sv1".into(), template: 9000 }
}

#[test]
fn the_first_of_those_that_wait_are_woken() {
    let ledger = Ledger::default();
    for vmid in 100..110 {
        ledger.note(&vmid.to_string(), entry(vmid));
        ledger.wait(&vmid.to_string(), Some(turn(vmid, 1000 - i64::from(vmid))));
    }
    let names: Vec<_> = ledger.next_turns("main").into_iter().map(|object| object.name).collect();
    assert_eq!(names, ["vm-109", "vm-108", "vm-107", "vm-106"]);
    let waiting = || ledger.read().claims("main").unwrap().but(&owner("100")).waiting().count();
    assert_eq!(waiting(), 9);
    ledger.wait("109", None);
    assert_eq!(waiting(), 8);
    assert!(ledger.next_turns("other").is_empty());
}

#[test]
fn a_clone_counts_until_it_has_ended_or_was_not_begun() {
    let ledger = Ledger::default();
    let begun = |upid: Option<&str>| {
        let cloning = Cloning { node: "sv1".into(), template: 9000, upid: upid.map(str::to_owned) };
        with(entry(100), |entry| entry.holding.clone = Some(CloneState::Begun(cloning)))
    };
    let running = || ledger.read().claims("main").unwrap().but(&owner("other")).cloning().count();
    assert!(!ledger.note("a", begun(Some("UPID:1"))));
    ledger.settle("a");
    ledger.wait("a", Some(turn(100, 1)));
    assert_eq!(running(), 1);
    assert!(ledger.note("a", entry(100)), "it has ended");
    assert_eq!(running(), 0);
    let version = ledger.read().version();
    assert_eq!(ledger.begin("a", begun(None), version), Ok(()));
    assert_eq!(running(), 1);
    assert_eq!(ledger.begin("b", begun(None), version), Err(Outdated), "the last slot may be gone");
    ledger.settle("a");
    assert_eq!(running(), 0);
}

#[test]
fn an_object_that_takes_the_name_of_another_takes_nothing_of_what_that_held() {
    let ledger = Ledger::default();
    ledger.note("a", entry(100));
    assert!(!ledger.introduce("a", || entry(101)), "it is known already");
    assert_eq!(taken(&ledger, "main", "z", [100, 101]), [100]);
    let homeless = || with(entry(100), |entry| entry.holding = Holding::default());
    assert!(ledger.introduce("b", homeless), "it was made again");
    assert_eq!(taken(&ledger, "main", "z", [100, 200]), NOTHING);
    assert!(!ledger.introduce("c", || entry(102)), "another name");
    ledger.note("late", entry(102));
    assert_eq!(ledger.forget(&ObjectRef::new("vm-102").within("a")).len(), 2, "one of them was on its way out");
    assert_eq!(taken(&ledger, "main", "z", [102, 202]), NOTHING);
}

#[test]
fn a_group_is_its_namespaces_own() {
    let ledger = Ledger::default();
    ledger.note("a", entry(100));
    let of_group = |namespace: &str, node: &str| {
        let owner = Owner { namespace: namespace.into(), ..owner("b") };
        ledger.read().claims("main").unwrap().but(&owner).of_group(Some("web"), node)
    };
    assert_eq!((of_group("a", "sv1"), of_group("a", "sv2"), of_group("b", "sv1")), (1, 0, 0));
}
