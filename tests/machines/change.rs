//! A changed spec reaches the machine: at once where that can be, at its next boot where not, and never what nobody asked for.

use cloudfaster::{
    api::{conditions::READY, proxmox_vm::PendingChange},
    simulator::{Effect, Fault, RequestRecord, Scenario, VmView},
};
use serde_json::{Value, json};

use crate::support::{Lab, is_ready, reason, small};

fn booted(nodes: u32) -> Scenario {
    Scenario { boot_seconds: 0, ..small(nodes) }
}

async fn running(spec: Value) -> Lab {
    let lab = Lab::new(booted(1)).await;
    lab.machine("one", spec).await;
    lab.until_ready(&["one"]).await;
    lab.simulator.forget_requests();
    lab
}

fn vm(lab: &Lab) -> VmView {
    lab.vm_of("one").unwrap_or_else(|| panic!("it has no machine\n{}", lab.describe()))
}

fn pending(lab: &Lab) -> Vec<PendingChange> {
    lab.get("one").and_then(|vm| vm.status).unwrap_or_default().pending_changes
}

fn reboot_required(lab: &Lab) -> bool {
    let conditions = lab.get("one").and_then(|vm| vm.status).unwrap_or_default().conditions;
    conditions.iter().any(|condition| condition.type_ == "RebootRequired" && condition.status == "True")
}

/// The changes of the config since the requests were forgotten.
fn config_changes(lab: &Lab) -> Vec<RequestRecord> {
    let is_change = |request: &RequestRecord| request.method == "PUT" && request.path.ends_with("/config");
    lab.simulator.requests().into_iter().filter(is_change).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_change_while_it_runs_does_and_nothing_is_sent_twice() {
    let lab = running(json!({})).await;
    let before = vm(&lab);
    lab.change(
        "one",
        json!({
            "description": "# Web shop\nask Alice",
            "tags": ["web", "prod"],
            "onBoot": true,
            "protection": true,
            "disk": {"size": "3Gi"},
        }),
    )
    .await;
    let after = vm(&lab);
    assert!(after.config["description"].starts_with("# Web shop\nask Alice\n\n`cloudfaster.app/mark:v1 "), "{after:?}");
    assert_eq!(after.config["tags"], "cloudfaster;prod;template;web");
    assert_eq!((after.config["onboot"].as_str(), after.config["protection"].as_str()), ("1", "1"));
    assert!(after.config["scsi0"].contains("size=3G"), "{after:?}");
    assert!(after.running && after.pending.is_empty() && !reboot_required(&lab), "{after:?}");
    assert_eq!(after.config["smbios1"], before.config["smbios1"]);
    let changes = config_changes(&lab);
    assert_eq!(changes.len(), 2, "one for the config and one for the tags: {changes:#?}");
    assert!(changes[0].params["digest"] == before.digest && !changes[0].params.contains_key("tags"), "{changes:#?}");
    assert_eq!(changes[1].params.keys().collect::<Vec<_>>(), ["tags"]);
    for kept in ["cores", "memory", "ciuser", "smbios1"] {
        assert!(changes.iter().all(|change| !change.params.contains_key(kept)), "{kept} was sent again: {changes:#?}");
    }
    lab.change("one", json!({"tags": ["web"], "protection": false, "description": null})).await;
    let last = vm(&lab);
    assert_eq!(last.config["tags"], "cloudfaster;template;web");
    assert!(last.config["description"].starts_with("# Web shop"), "notes that nobody asks for are kept: {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_reboot_shows_as_pending_and_comes_with_the_next_one() {
    let lab = running(json!({})).await;
    lab.change("one", json!({"cores": 3, "memory": "3Gi", "cpuType": "host", "sockets": 2})).await;
    assert!(reboot_required(&lab), "{}", lab.describe());
    let told: Vec<_> = pending(&lab).into_iter().map(|change| (change.key, change.current, change.next)).collect();
    let text = |text: &str| Some(text.to_owned());
    assert!(told.contains(&("memory".to_owned(), text("2048"), text("3072"))), "{told:?}");
    assert_eq!(told.len(), 4, "{told:?}");
    let still = vm(&lab);
    assert_eq!((still.config["cores"].as_str(), still.config["memory"].as_str()), ("2", "2048"));
    assert_eq!(lab.tasks_of("qmshutdown"), 0, "it never restarts by itself\n{}", lab.describe());
    let (word, message) = reason(&lab.get("one").unwrap().status.unwrap().conditions);
    assert!(word == "Running" && message.contains("memory") && message.contains("next reboot"), "{READY}: {message}");

    lab.patch("one", json!({"metadata": {"annotations": {"cloudfaster.app/restartedAt": "now"}}})).await;
    lab.until("nothing waits any more", |lab| pending(lab).is_empty() && is_ready(&lab.get("one").unwrap())).await;
    let restarted = vm(&lab);
    assert_eq!((restarted.config["cores"].as_str(), restarted.config["cpu"].as_str()), ("3", "host"));
    assert!(!reboot_required(&lab), "{}", lab.describe());
    assert_eq!(config_changes(&lab).len(), 3, "the change, and twice the notes\n{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_reboot_gets_one_where_the_policy_says_so() {
    let lab = running(json!({"rebootPolicy": "WhenNeeded"})).await;
    lab.change("one", json!({"memory": "3Gi"})).await;
    lab.until("it has its memory", |lab| vm(lab).config["memory"] == "3072" && is_ready(&lab.get("one").unwrap()))
        .await;
    assert_eq!((lab.tasks_of("qmshutdown"), lab.tasks_of("qmstart")), (1, 2), "{}", lab.describe());
    assert!(!reboot_required(&lab) && pending(&lab).is_empty(), "{}", lab.describe());
    lab.until("the restart is forgotten", |lab| lab.get("one").unwrap().status.unwrap().reboot.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_hand_in_between_is_looked_at_before_it_is_written_over() {
    let lab = running(json!({})).await;
    let digest = "checksum mismatch (file change by other user?)".to_owned();
    let fault = Fault::new(Effect::Status { code: 500, reason: digest }).request("PUT", "/config$").times(1);
    lab.simulator.fault(fault).unwrap();
    lab.change("one", json!({"onBoot": true})).await;
    assert_eq!(vm(&lab).config["onboot"], "1");
    assert_eq!(config_changes(&lab).len(), 2, "{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_by_its_field_and_leaves_nothing_behind() {
    let lab = running(json!({})).await;
    lab.patch("one", json!({"spec": {"memory": "3Gi", "cpuType": "nosuch"}})).await;
    lab.until("the refusal", |lab| reason(&lab.get("one").unwrap().status.unwrap().conditions).1.contains("nosuch"))
        .await;
    assert!(vm(&lab).pending.is_empty(), "{}", lab.describe());
    lab.change("one", json!({"cpuType": "host"})).await;
    assert!(reboot_required(&lab), "{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_machine_outlives_the_deletion_of_its_object_until_the_spec_lets_it_go() {
    let lab = running(json!({"protection": true})).await;
    assert_eq!(vm(&lab).config["protection"], "1");
    lab.delete("one").await;
    lab.until("it is kept", |lab| reason(&lab.get("one").unwrap().status.unwrap().conditions).0 == "Protected").await;
    assert!(vm(&lab).running, "{}", lab.describe());
    lab.patch("one", json!({"spec": {"protection": false}})).await;
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("its protection was lifted");
}
