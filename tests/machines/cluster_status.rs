//! What a ProxmoxCluster says of itself, and what holds it while it is used.

use cloudfaster::{
    api::{
        ProxmoxCluster,
        proxmox_cluster::{FoundTemplate, NodeStatus, OsStatus, ProxmoxClusterStatus},
    },
    simulator::{GuestSpec, Scenario},
};
use futures::TryStreamExt;
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::sync::watch;

use crate::support::{Lab, lab, reason, small};

const NAMESPACE: &str = "cloudfaster-system";

fn status(lab: &Lab) -> ProxmoxClusterStatus {
    lab.cluster().and_then(|cluster| cluster.status).unwrap_or_default()
}

fn node(lab: &Lab, name: &str) -> NodeStatus {
    status(lab).nodes.into_iter().find(|node| node.name == name).unwrap_or_default()
}

fn condition(lab: &Lab, kind: &str) -> Option<Condition> {
    status(lab).conditions.into_iter().find(|condition| condition.type_ == kind)
}

async fn until_connected(lab: &Lab) {
    lab.until("the cluster is connected", |lab| reason(&status(lab).conditions).0 == "Available").await;
}

fn secrets(lab: &Lab) -> Api<Secret> {
    Api::namespaced(lab.client.clone(), NAMESPACE)
}

async fn is_secret_held(lab: &Lab, name: &str) -> bool {
    secrets(lab).get(name).await.unwrap().finalizers().contains(&"cloudfaster.app/finalizer".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_templates_and_what_is_free_are_told() {
    let mut scenario = small(3);
    scenario.templates.push(GuestSpec::new(9050, "fedora", "pve2").disk("local-lvm", 1));
    for node in &mut scenario.nodes {
        (node.memory_mib, node.base_memory_mib, node.cpus) = (64 * 1024, 2048, 12);
    }
    let mut lab = Lab::bare(scenario).await;
    lab.connect().await;
    let templates =
        json!([{"os": "DEBIAN12", "name": "debian12"}, {"os": "FEDORA", "vmid": 9050}, {"os": "BSD", "tag": "bsd"}]);
    lab.patch_cluster(json!({"spec": {"templates": templates}})).await;
    lab.start();
    lab.until("it tells what is not there", |lab| condition(lab, "TemplatesFound").is_some()).await;
    let told = status(&lab);
    let os = |os: &str, nodes| OsStatus { os: os.to_owned(), nodes };
    assert_eq!(told.templates, [os("BSD", 0), os("DEBIAN12", 3), os("FEDORA", 1)]);
    assert_eq!(condition(&lab, "TemplatesFound").unwrap().message, "no node has the template for BSD");
    assert_eq!((told.version.as_deref(), told.nodes_ready.as_deref()), (Some("9.2.11"), Some("3/3")));
    let found = |os: &str, vmid| FoundTemplate { os: os.to_owned(), vmid, node: None };
    let second = node(&lab, "pve2");
    assert_eq!(second.templates, [found("DEBIAN12", 9002), found("FEDORA", 9050)]);
    assert_eq!((second.online, second.version.as_deref(), second.cpus), (true, Some("9.2.11"), Some(12)));
    assert_eq!((second.memory_free.as_deref(), second.memory_total.as_deref()), (Some("62Gi"), Some("64Gi")));
    let storage = &second.storages[0];
    assert_eq!((storage.name.as_str(), storage.active, storage.shared), ("local-lvm", true, false));
    assert_eq!((storage.free.starts_with("49"), storage.total.as_str()), (true, "500Gi"));

    lab.simulator.switch_node("pve1", false).unwrap();
    lab.until("the lost node is told", |lab| !node(lab, "pve1").online && node(lab, "pve1").message.is_some()).await;
    assert_eq!(status(&lab).nodes_ready.as_deref(), Some("2/3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn running_clones_are_told_and_a_cluster_at_rest_writes_nothing() {
    let mut scenario = small(1);
    scenario.clone_mib_per_second = 5;
    scenario.nodes[0].memory_mib = 64 * 1024;
    let lab = Lab::new(scenario).await;
    until_connected(&lab).await;
    lab.machine("one", json!({})).await;
    lab.until("the clone is told", |lab| status(lab).running_clones == Some(1)).await;
    assert_eq!(node(&lab, "pve1").running_clones, Some(1));
    lab.until_ready(&["one"]).await;
    lab.until("it has ended", |lab| status(lab).running_clones == Some(0)).await;

    let (sender, mut versions) = watch::channel(Vec::new());
    let clusters = lab.clusters();
    tokio::spawn(async move {
        let mut objects = Box::pin(watcher(clusters, watcher::Config::default()).default_backoff().applied_objects());
        while let Ok(Some(cluster)) = objects.try_next().await {
            sender.send_modify(|seen| seen.push(cluster.resource_version().unwrap_or_default()));
        }
    });
    versions.wait_for(|seen| !seen.is_empty()).await.unwrap();
    let read = |lab: &Lab, vmid: u32| {
        let path = format!("/qemu/{vmid}/config");
        lab.simulator.requests().iter().any(|request| request.path.ends_with(&path))
    };
    // A small one appears: the cluster is looked at, and there is nothing worth telling.
    lab.simulator.add_vm(&GuestSpec::new(500, "small", "pve1").disk("local-lvm", 1).with("memory", "64"));
    lab.until("it is seen", |lab| read(lab, 500)).await;
    let before = node(&lab, "pve1").memory_free;
    lab.simulator.add_vm(&GuestSpec::new(501, "large", "pve1").disk("local-lvm", 1).with("memory", "32768"));
    lab.until("the large one is told", |lab| node(lab, "pve1").memory_free != before).await;
    let last = lab.cluster().unwrap().resource_version().unwrap();
    let versions = versions.wait_for(|seen| seen.contains(&last)).await.unwrap().clone();
    assert_eq!(versions.len(), 2, "{versions:?}\n{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_are_named_with_the_command_that_gives_them() {
    let scenario = small(1);
    let all: Vec<String> = scenario.roles["CloudFaster"].clone();
    let lacking: Vec<&str> =
        all.iter().map(String::as_str).filter(|right| !["SDN.Use", "VM.Clone"].contains(right)).collect();
    let mut lab = Lab::bare(scenario).await;
    lab.simulator.set_role("CloudFaster", &lacking);
    lab.connect().await;
    lab.start();
    lab.machine("one", json!({})).await;
    lab.until("the rights are told", |lab| condition(lab, "RightsSufficient").is_some()).await;
    let told = condition(&lab, "RightsSufficient").unwrap();
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("False", "RightsMissing"));
    for part in [
        "cloudfaster@pve!operator lacks VM.Clone on /vms; SDN.Use on /sdn/zones",
        "pveum role add CloudFasterNetwork --privs \"SDN.Use\"",
        "pveum acl modify /vms --roles CloudFasterMachines --users 'cloudfaster@pve' --tokens 'cloudfaster@pve!operator'",
    ] {
        assert!(told.message.contains(part), "{part:?} is not in {:?}", told.message);
    }
    let (word, message) = reason(&status(&lab).conditions);
    assert_eq!(
        (word.as_str(), message.contains("VM.Clone on /vms; SDN.Use on /sdn/zones")),
        ("RightsMissing", true),
        "{message}"
    );
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    lab.simulator.set_role("CloudFaster", &all);
    lab.until_ready(&["one"]).await;
    until_connected(&lab).await;
    assert_eq!(condition(&lab, "RightsSufficient"), None);

    // What is taken away later is noticed by the first call that is refused.
    lab.simulator.set_role("CloudFaster", &lacking);
    lab.machine("two", json!({})).await;
    lab.until("the rights are told again", |lab| condition(lab, "RightsSufficient").is_some()).await;
    lab.simulator.set_role("CloudFaster", &all);
    lab.until_ready(&["two"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_machines_use_says_so_and_goes_when_the_last_one_has_gone() {
    let lab = Lab::new(small(1)).await;
    lab.machine("one", json!({})).await;
    lab.machine("two", json!({})).await;
    lab.until_ready(&["one", "two"]).await;
    lab.clusters().delete("main", &DeleteParams::default()).await.unwrap();
    lab.until("it says by whom it is held", |lab| {
        let (word, message) = reason(&status(lab).conditions);
        word == "InUse" && message.contains("the 2 ProxmoxVMs") && message.ends_with("shop/one, shop/two")
    })
    .await;
    // It takes no new machines, and the old ones are kept.
    lab.machine("late", json!({})).await;
    lab.until("the new one is told", |lab| {
        reason(&lab.get("late").and_then(|vm| vm.status).unwrap_or_default().conditions).0 == "ClusterDeleting"
    })
    .await;
    lab.simulator.set_running(1000, false).unwrap();
    lab.until("it is started again", |lab| lab.simulator.vm(1000).is_some_and(|vm| vm.running)).await;
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    lab.until("one holds it still", |lab| reason(&status(lab).conditions).1.ends_with("shop/two")).await;
    assert!(is_secret_held(&lab, "proxmox").await);
    lab.delete("two").await;
    lab.until("it is gone", |lab| lab.cluster().is_none()).await;
    assert!(!is_secret_held(&lab, "proxmox").await);
    assert_eq!(lab.get("late").unwrap().finalizers(), [""; 0]);
    lab.delete("late").await;
    lab.until_gone(&["two", "late"]).await;
    lab.assert_nothing_left("the cluster is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_held_while_a_cluster_uses_it() {
    let lab = Lab::new(small(1)).await;
    until_connected(&lab).await;
    assert_eq!(status(&lab).held_secrets, ["proxmox"]);
    assert!(is_secret_held(&lab, "proxmox").await);
    // Somebody deletes it all the same: the machines go on.
    secrets(&lab).delete("proxmox", &DeleteParams::default()).await.unwrap();
    assert!(secrets(&lab).get("proxmox").await.unwrap().metadata.deletion_timestamp.is_some());
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    // Another one takes its place, and the first goes.
    let mut other = lab::credentials(Scenario::TOKEN_SECRET);
    other["metadata"]["name"] = json!("rotated");
    lab.create_in::<Secret>(NAMESPACE, other).await;
    lab.patch_cluster(json!({"spec": {"credentials": {"secretRef": {"name": "rotated"}}}})).await;
    lab.until("the other one is held", |lab| status(lab).held_secrets == ["rotated"]).await;
    assert!(is_secret_held(&lab, "rotated").await);
    assert_eq!(secrets(&lab).get_opt("proxmox").await.unwrap(), None);
    lab.until_ready(&["one"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_two_clusters_use_goes_with_the_second() {
    let lab = Lab::new(small(1)).await;
    let mut second: ProxmoxCluster = lab.cluster_object();
    second.metadata.name = Some("second".to_owned());
    lab.clusters().create(&PostParams::default(), &second).await.unwrap();
    let held = |name: &'static str| {
        let clusters = lab.clusters();
        async move {
            let connected = |cluster: Option<&ProxmoxCluster>| {
                cluster.and_then(|cluster| cluster.status.as_ref()).is_some_and(|status| status.version.is_some())
            };
            kube::runtime::wait::await_condition(clusters, name, connected).await.unwrap();
        }
    };
    tokio::join!(held("main"), held("second"));
    let gone = |name: &'static str| {
        let clusters = lab.clusters();
        async move {
            let uid = clusters.get(name).await.unwrap().uid().unwrap();
            clusters.delete(name, &DeleteParams::default()).await.unwrap();
            let deleted = kube::runtime::conditions::is_deleted(&uid);
            kube::runtime::wait::await_condition(clusters, name, deleted).await.unwrap();
        }
    };
    gone("main").await;
    assert!(is_secret_held(&lab, "proxmox").await);
    gone("second").await;
    assert!(!is_secret_held(&lab, "proxmox").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_means_nothing_is_told_on_the_cluster() {
    let lab = Lab::new(small(1)).await;
    until_connected(&lab).await;
    let tenant = json!({"namespaceSelector": {}, "allow": {"addresses": ["10.0.0.0/99"]}});
    lab.patch_cluster(json!({"spec": {"tenants": [tenant]}})).await;
    lab.until("the field is told", |lab| {
        let (word, message) = reason(&status(lab).conditions);
        word == "InvalidSpec" && message.starts_with("spec.tenants[0].allow.addresses: \"10.0.0.0/99\"")
    })
    .await;
}
