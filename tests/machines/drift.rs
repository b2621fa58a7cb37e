//! What people do to a machine behind the operator's back is noticed by the inventory and brought back.

use cloudfaster::simulator::{Scenario, VmView};
use serde_json::json;

use crate::support::{Lab, open_tenants, small};

/// Two nodes with a machine that runs.
async fn running() -> Lab {
    let lab = Lab::new(Scenario { boot_seconds: 0, ..small(2) }).await;
    lab.patch_cluster(json!({"spec": {"tenants": open_tenants()}})).await;
    let nic = json!([{"name": "net0", "bridge": "vmbr0", "vlan": 7}]);
    lab.machine("one", json!({"cores": 2, "description": "for Bob", "nics": nic, "onBoot": true})).await;
    lab.until_ready(&["one"]).await;
    lab
}

fn vm(lab: &Lab) -> VmView {
    lab.vm_of("one").unwrap_or_else(|| panic!("it has no machine\n{}", lab.describe()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_spec_names_is_brought_back_and_what_it_does_not_name_stays_as_people_made_it() {
    let lab = running().await;
    let before = vm(&lab);
    let card = before.config["net0"].replace("tag=7", "tag=9");
    for (key, value) in
        [("onboot", Some("0")), ("net0", Some(card.as_str())), ("balloon", Some("0")), ("hotplug", Some("disk"))]
    {
        lab.simulator.set_option(before.vmid, key, value).unwrap();
    }
    lab.simulator.edit_description(before.vmid, "for nobody").unwrap();
    let is_back = |lab: &Lab| {
        let config = vm(lab).config;
        config["net0"] == before.config["net0"]
            && config["onboot"] == "1"
            && config["description"] == before.config["description"]
    };
    lab.until("it is as the spec says", is_back).await;
    lab.until_ready(&["one"]).await;
    let after = vm(&lab).config;
    assert_eq!((after["balloon"].as_str(), after["hotplug"].as_str()), ("0", "disk"));
    lab.assert_exactly(&["one"], "it was changed by hand");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_stopped_is_started() {
    let lab = running().await;
    lab.simulator.set_running(vm(&lab).vmid, false).unwrap();
    lab.until("it runs again", |lab| vm(lab).running).await;
    lab.until_ready(&["one"]).await;
    lab.assert_exactly(&["one"], "it was stopped by hand");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_moved_to_another_node_is_followed_changed_and_removed_there() {
    let lab = running().await;
    let before = vm(&lab);
    let made = lab.tasks_of("qmclone");
    lab.simulator.move_vm(before.vmid, "pve2").unwrap();
    let node = |lab: &Lab| lab.get("one").and_then(|vm| vm.status).and_then(|status| status.node);
    lab.until("it is followed", |lab| node(lab).as_deref() == Some("pve2")).await;
    lab.until_ready(&["one"]).await;
    lab.change("one", json!({"description": "for Alice"})).await;
    let after = vm(&lab);
    assert_eq!((after.vmid, after.node.as_str(), after.running), (before.vmid, "pve2", true));
    assert!(after.config["description"].starts_with("for Alice"), "{after:?}");
    assert_eq!(lab.tasks_of("qmclone"), made, "nothing was cloned for it");
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("it was moved by hand");
}
