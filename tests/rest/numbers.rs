//! The numbers by which clients know machines: one machine's over all clusters, and not a stranger's soon after.

use cloudfaster::{api::ProxmoxCluster, simulator::Simulator};
use kube::{Api, api::PostParams};
use serde_json::json;

use crate::{
    laboratory::{lab::LISTEN, small},
    support::{Client, Site, machine, until},
};

/// Makes a machine; its number.
async fn made(client: &Client, form: &str) -> String {
    let answer = client.form("/vm", form).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.body["vm_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_number_is_given_to_its_last_owner_and_to_no_other() {
    let mut site = Site::new().await;
    let admin = site.admin();
    assert_eq!(made(&admin, &machine("1", "web")).await, "1000");
    assert_eq!(admin.post("/control-vm/1000/delete").await.status, 200);
    site.lab.until("it is gone", |lab| lab.seen().is_empty()).await;
    let resting = site.lab.cluster().unwrap().status.unwrap().resting_vmids;
    assert!(resting.len() == 1 && resting[0].vmid == 1000, "{resting:?}");

    // What rests outlasts the controller.
    site.lab.kill();
    site.lab.start();
    assert_eq!(made(&admin, &machine("2", "web")).await, "1001");
    assert_eq!(made(&admin, &machine("1", "db")).await, "1000");
    // Those who write manifests know machines by their names.
    site.lab.machine("by-hand", json!({})).await;
    site.lab.until_ready(&["by-hand"]).await;
    assert_eq!(site.lab.get("by-hand").unwrap().status.unwrap().vmid, Some(1002));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_one_machines_over_all_clusters() {
    let site = Site::new().await;
    let other = Simulator::new(small(1)).serve(LISTEN).await.unwrap();
    let mut cluster = site.lab.cluster_object();
    cluster.metadata.name = Some("other".to_owned());
    cluster.spec.endpoints = vec![other.url()];
    cluster.spec.tls = Some(serde_json::from_value(json!({"fingerprints": [other.fingerprint()]})).unwrap());
    cluster.spec.templates = serde_json::from_value(json!([{"os": "FEDORA", "name": "debian12"}])).unwrap();
    cluster.spec.vmid_ranges = serde_json::from_value(json!([{"os": "FEDORA", "from": 1000, "to": 1999}])).unwrap();
    Api::<ProxmoxCluster>::all(site.lab.client.clone()).create(&PostParams::default(), &cluster).await.unwrap();
    let admin = site.admin();
    until(async || admin.form("/vm", "userid=1&vm_name=x&os=NONE").await.body.to_string().contains("FEDORA")).await;
    assert_eq!(made(&admin, &machine("1", "web")).await, "1000");
    assert_eq!(made(&admin, &machine("1", "db").replace("DEBIAN12", "FEDORA")).await, "1001");
    assert_eq!(made(&admin, &machine("2", "web")).await, "1002");
}
