//! Disks beside the one that a machine boots from: made, added, grown, detached, attached again, and removed only on request.

use cloudfaster::{
    api::disks::DiskStatus,
    simulator::{Effect, Fault, GuestSpec, Scenario, StorageKind, StorageSpec, VmView},
};
use serde_json::{Value, json};

use crate::support::{Call, Crash, Lab, is_ready, reason, small};

/// Small nodes with a second storage.
fn roomy(nodes: u32) -> Scenario {
    let mut scenario = Scenario { boot_seconds: 0, ..small(nodes) };
    scenario.storages.push(StorageSpec::new("slow", StorageKind::Dir, 100));
    scenario
}

/// A lab whose tenants may name the second storage.
async fn lab(scenario: Scenario) -> Lab {
    let mut lab = Lab::bare(scenario).await;
    lab.connect().await;
    let tenants = json!([{
        "namespaceSelector": {"matchLabels": {"cloudfaster.app/tenant": "true"}},
        "allow": {"storages": ["slow"]},
        "limits": {"disks": 3, "diskSize": "20Gi"},
    }]);
    lab.patch_cluster(json!({"spec": {"tenants": tenants}})).await;
    lab.start();
    lab
}

fn data(size: &str) -> Value {
    json!({"name": "data", "size": size})
}

fn vm(lab: &Lab) -> VmView {
    lab.vm_of("one").unwrap_or_else(|| panic!("it has no machine\n{}", lab.describe()))
}

fn disks(lab: &Lab) -> Vec<DiskStatus> {
    lab.get("one").and_then(|vm| vm.status).unwrap_or_default().disks
}

fn told(lab: &Lab) -> (String, String) {
    reason(&lab.get("one").and_then(|vm| vm.status).unwrap_or_default().conditions)
}

/// Ids of the volumes that were made, less those of cloud-init.
fn volumes(lab: &Lab) -> Vec<String> {
    let made = lab.volumes_made().into_iter().map(|volume| volume.volid);
    made.filter(|volume| !volume.contains("cloudinit")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn disks_are_made_before_the_first_boot_and_added_and_grown_while_the_machine_runs() {
    let lab = lab(roomy(1)).await;
    lab.machine("one", json!({"disks": [data("1Gi")]})).await;
    lab.until_ready(&["one"]).await;
    lab.assert_exactly(&["one"], "with a second disk");
    let made = vm(&lab);
    assert!(made.config["scsi1"].contains("serial=data,size=1G"), "{made:?}");
    let tasks = lab.simulator.tasks();
    let order: Vec<&str> = tasks.iter().map(|task| task.kind.as_str()).filter(|kind| kind.starts_with("qm")).collect();
    assert_eq!(order, ["qmclone", "qmconfig", "qmstart"], "{}", lab.describe());

    let logs =
        json!({"name": "logs", "size": "512Mi", "storage": "slow", "ssd": true, "discard": true, "backup": false});
    lab.change("one", json!({"disks": [data("3Gi"), logs]})).await;
    let after = vm(&lab);
    assert!(after.config["scsi1"].contains("size=3G"), "{after:?}");
    let line = &after.config["scsi2"];
    assert!(line.starts_with("slow:") && line.contains("size=512M"), "{line}");
    for option in ["serial=logs", "ssd=1", "discard=on", "backup=0"] {
        assert!(line.contains(option), "{option} is not in {line}");
    }
    assert!(after.running && after.pending.is_empty(), "{after:?}");
    assert_eq!((lab.tasks_of("qmshutdown"), lab.tasks_of("qmstart")), (0, 1), "{}", lab.describe());
    let known: Vec<_> = disks(&lab).into_iter().map(|disk| (disk.name, disk.key.unwrap())).collect();
    assert_eq!(known, [("data".to_owned(), "scsi1".to_owned()), ("logs".to_owned(), "scsi2".to_owned())]);

    lab.change(
        "one",
        json!({"disks": [data("3Gi"), {"name": "logs", "size": "512Mi", "storage": "slow", "ssd": false}]}),
    )
    .await;
    let pending = lab.get("one").unwrap().status.unwrap().pending_changes;
    assert_eq!(pending.iter().map(|change| change.key.as_str()).collect::<Vec<_>>(), ["scsi2"], "{}", lab.describe());
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("with disks on two storages");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_named_no_more_keeps_its_data_unless_the_spec_said_otherwise() {
    let lab = lab(roomy(1)).await;
    let scratch = json!({"name": "scratch", "size": "1Gi", "removalPolicy": "Delete"});
    lab.machine("one", json!({"disks": [data("1Gi"), scratch]})).await;
    lab.until_ready(&["one"]).await;
    let [data_volume, scratch_volume] = [0, 1].map(|index| disks(&lab)[index].volume.clone().unwrap());
    lab.change("one", json!({"disks": null})).await;
    let after = vm(&lab);
    assert_eq!(after.config["unused0"], data_volume);
    assert!(!after.config.contains_key("scsi1") && !after.config.contains_key("scsi2"), "{after:?}");
    assert!(!volumes(&lab).contains(&scratch_volume), "{}", lab.describe());
    let (_, message) = told(&lab);
    assert!(message.contains(&format!("disk data is detached and kept as {data_volume}")), "{message}");
    assert_eq!(disks(&lab).iter().map(|disk| (disk.name.as_str(), &disk.key)).collect::<Vec<_>>(), [("data", &None)]);

    // Named again, it is back with its data.
    lab.change("one", json!({"disks": [data("2Gi")]})).await;
    let back = vm(&lab);
    assert!(back.config["scsi1"].starts_with(&data_volume) && back.config["scsi1"].contains("size=2G"), "{back:?}");
    assert!(!back.config.contains_key("unused0"), "{back:?}");
    assert_eq!(volumes(&lab).len(), 2, "{}", lab.describe());

    lab.change("one", json!({"protection": true})).await;
    lab.patch("one", json!({"spec": {"disks": null}})).await;
    lab.until("a protected machine keeps its disk", |lab| told(lab).0 == "Protected").await;
    assert!(vm(&lab).config.contains_key("scsi1"), "{}", lab.describe());
    lab.change("one", json!({"protection": false})).await;
    assert_eq!(vm(&lab).config["unused0"], data_volume);
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("with a detached disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_boots_from_sata_gets_its_disk_at_the_next_boot() {
    let mut scenario = roomy(1);
    let template: &mut GuestSpec = &mut scenario.templates[0];
    let disk = "local-lvm:base-9001-disk-0,size=1G";
    for (key, value) in [("scsi0", ""), ("sata0", disk), ("boot", "order=sata0")] {
        template.config.insert(key.to_owned(), value.to_owned());
    }
    let lab = lab(scenario).await;
    lab.machine("one", json!({"disk": {"size": "1Gi"}})).await;
    lab.until_ready(&["one"]).await;
    lab.change("one", json!({"disks": [data("1Gi")]})).await;
    let waits = vm(&lab);
    assert!(waits.pending.contains_key("sata1") && !waits.config.contains_key("sata1"), "{waits:?}");
    let pending = lab.get("one").unwrap().status.unwrap().pending_changes;
    assert_eq!(pending.iter().map(|change| change.key.as_str()).collect::<Vec<_>>(), ["sata1"]);
    lab.change("one", json!({"rebootPolicy": "WhenNeeded"})).await;
    assert!(vm(&lab).config["sata1"].contains("serial=data"), "{}", lab.describe());
    assert_eq!(lab.tasks_of("qmshutdown"), 1, "{}", lab.describe());
    lab.change("one", json!({"disks": null})).await;
    assert!(vm(&lab).config.contains_key("unused0"), "{}", lab.describe());
    assert_eq!(volumes(&lab).len(), 2, "{}", lab.describe());
}

/// A disk is added to a machine that runs while something happens to the calls.
async fn added_in_spite_of(fault: Fault) {
    let lab = lab(roomy(1)).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    let id = lab.simulator.fault(fault.clone()).unwrap();
    lab.change("one", json!({"disks": [data("1Gi")]})).await;
    let hits = lab.simulator.faults().into_iter().find(|(number, ..)| *number == id).map(|(_, _, hits)| hits);
    assert_eq!(hits, Some(1), "{fault:?} never hit");
    assert_eq!(volumes(&lab).len(), 2, "{fault:?}: not one volume\n{}", lab.describe());
    assert!(vm(&lab).config.keys().all(|key| !key.starts_with("unused")), "{fault:?}\n{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_second_volume_is_made_when_a_reply_is_lost_or_a_call_fails() {
    let locked = "can't lock file '/var/lock/qemu-server/lock-1000.conf' - got timeout".to_owned();
    let effects = [Effect::ReplyLost, Effect::RequestLost, Effect::Status { code: 500, reason: locked }];
    let faults = effects.map(|effect| Fault::new(effect).request("POST", "/config$").times(1));
    futures::future::join_all(faults.map(added_in_spite_of)).await;
}

/// A machine with a disk is made; the controller is killed once around the call that makes it, or the status is lost.
async fn made_in_spite_of(crash: Crash, wiped: bool) {
    let mut lab = lab(roomy(1)).await;
    lab.kill();
    lab.machine("one", json!({"disks": [data("1Gi")]})).await;
    lab.start_until(Some(crash));
    let ready = |lab: &Lab| lab.get("one").is_some_and(|vm| is_ready(&vm));
    assert!(lab.crash(&format!("{crash:?}"), ready).await, "never came to {crash:?}");
    if wiped {
        lab.wipe("one").await;
        lab.until("the status is wiped", |lab| {
            lab.get("one").is_some_and(|vm| vm.status.is_none_or(|status| status.vmid.is_none()))
        })
        .await;
    }
    lab.start();
    lab.until_ready(&["one"]).await;
    lab.assert_exactly(&["one"], &format!("{crash:?}, status lost: {wiped}"));
    assert_eq!(volumes(&lab).len(), 2, "{crash:?}\n{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_second_volume_is_made_when_the_controller_is_killed_or_the_status_lost() {
    let moments = [Crash::BeforeCall(Call::DISK, 0), Crash::AfterCall(Call::DISK, 0)];
    let journeys = moments.into_iter().flat_map(|crash| [false, true].map(|wiped| made_in_spite_of(crash, wiped)));
    futures::future::join_all(journeys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_waits_for_room_and_what_the_policy_forbids_is_refused() {
    let lab = lab(roomy(1)).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    let full = lab.simulator.fault(Fault::new(Effect::StorageFull { storage: "slow".into() })).unwrap();
    let on_slow = json!({"name": "data", "size": "1Gi", "storage": "slow"});
    lab.patch("one", json!({"spec": {"disks": [on_slow.clone()]}})).await;
    lab.until("it waits for room", |lab| told(lab).0 == "NotEnoughStorage").await;
    assert_eq!(volumes(&lab).len(), 1, "{}", lab.describe());
    lab.simulator.clear_fault(full);
    lab.until_ready(&["one"]).await;
    assert!(vm(&lab).config["scsi1"].starts_with("slow:"), "{}", lab.describe());

    let extra = |name: &str, size: &str, storage: &str| json!({"name": name, "size": size, "storage": storage});
    for (disks, told_of) in [
        (json!([on_slow, extra("big", "21Gi", "slow")]), "spec.disks[big].size: 21Gi is asked for"),
        (
            json!([on_slow, extra("else", "1Gi", "local-lvm")]),
            "spec.disks[else].storage: \"local-lvm\" may not be used",
        ),
        (json!([on_slow, extra("b", "1Gi", "slow"), extra("c", "1Gi", "slow")]), "spec.disks: 4 disks in all"),
    ] {
        lab.patch("one", json!({"spec": {"disks": disks}})).await;
        lab.until(told_of, |lab| told(lab).0 == "NotAllowed" && told(lab).1.contains(told_of)).await;
    }
    assert_eq!(volumes(&lab).len(), 2, "{}", lab.describe());
}
