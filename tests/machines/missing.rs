//! A machine that was Ready and is gone from Proxmox.

use cloudfaster::api::proxmox_vm::AttemptOutcome;
use serde_json::json;

use crate::support::{Lab, reason, small};

fn word(lab: &Lab, name: &str) -> String {
    reason(&lab.get(name).and_then(|vm| vm.status).unwrap_or_default().conditions).0
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_missing_is_waited_for_and_goes_on_when_it_is_restored_at_its_place() {
    let lab = Lab::new(small(2)).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    let before = lab.vm_of("one").unwrap();
    // What a backup holds.
    lab.simulator.restore_copy(before.vmid, 1500).unwrap();
    lab.simulator.remove_vm(before.vmid).unwrap();
    lab.until("it is missed", |lab| word(lab, "one") == "Missing").await;
    let status = lab.get("one").unwrap().status.unwrap();
    assert!(status.message.unwrap().contains("Restore it from a backup under this VMID"));
    assert!(status.conditions.iter().any(|it| it.type_ == "Stalled" && it.status == "True"));
    let made = lab.tasks_of("qmclone");
    lab.simulator.restore_copy(1500, before.vmid).unwrap();
    lab.simulator.remove_vm(1500).unwrap();
    // On whichever node.
    lab.simulator.move_vm(before.vmid, "pve2").unwrap();
    lab.until_ready(&["one"]).await;
    let after = lab.vm_of("one").unwrap();
    assert_eq!((after.vmid, after.node.as_str(), after.running), (before.vmid, "pve2", true));
    assert_eq!(lab.tasks_of("qmclone"), made, "nothing was cloned for it");
    let events = lab.events("one").await;
    assert!(events.iter().any(|event| event.warning && event.reason == "Missing"), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_missing_is_made_anew_if_it_is_to_be() {
    let lab = Lab::new(small(2)).await;
    lab.machine("one", json!({"whenMissing": "Recreate"})).await;
    lab.until_ready(&["one"]).await;
    lab.simulator.remove_vm(1000).unwrap();
    lab.until("a new one is made", |lab| lab.get("one").is_some_and(|vm| vm.status.unwrap().vmid == Some(1001))).await;
    lab.until_ready(&["one"]).await;
    lab.assert_exactly(&["one"], "it was made anew");
    let attempts = lab.get("one").unwrap().status.unwrap().attempts;
    let outcomes: Vec<_> = attempts.iter().map(|attempt| (attempt.outcome, attempt.vmid)).collect();
    let (succeeded, lost) = (AttemptOutcome::Succeeded, AttemptOutcome::Lost);
    assert_eq!(outcomes, [(succeeded, Some(1000)), (lost, Some(1000)), (succeeded, Some(1001))]);
    let events = lab.events("one").await;
    let told = events.iter().find(|event| event.reason == "Missing").unwrap_or_else(|| panic!("{events:?}"));
    assert!(told.warning && told.note.contains("VM 1000 on pve1 is gone with its data"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_made_anew_while_a_node_that_may_have_it_is_down() {
    let lab = Lab::new(small(3)).await;
    lab.machine("one", json!({"whenMissing": "Recreate"})).await;
    lab.until_ready(&["one"]).await;
    lab.simulator.switch_node("pve1", false).unwrap();
    lab.until("it is out of sight", |lab| word(lab, "one") == "NodeUnreachable").await;
    let made = lab.tasks_of("qmclone");
    // Another one shows that time passes.
    lab.machine("two", json!({"placement": {"nodes": ["pve2"]}})).await;
    lab.until_ready(&["two"]).await;
    assert_eq!(lab.tasks_of("qmclone"), made + 1, "{}", lab.describe());
    lab.simulator.switch_node("pve1", true).unwrap();
    lab.until_ready(&["one", "two"]).await;
    assert_eq!(lab.vm_of("one").unwrap().vmid, 1000);
    let events = lab.events("one").await;
    assert!(events.iter().any(|event| event.warning && event.reason == "NodeUnreachable"), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_changes_their_mind_while_it_is_missing_gets_a_new_one() {
    let lab = Lab::new(small(1)).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    lab.simulator.remove_vm(1000).unwrap();
    lab.until("it is missed", |lab| word(lab, "one") == "Missing").await;
    lab.change("one", json!({"whenMissing": "Recreate"})).await;
    lab.assert_exactly(&["one"], "it was made anew");
}
