//! Objects with the annotation `cloudfaster.app/paused`.

use cloudfaster::api::{ProxmoxVM, conditions, proxmox_vm::ProxmoxVMStatus};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::support::{Lab, machine, small};

async fn annotate(lab: &Lab, name: &str, value: Value) {
    let patch = json!({"metadata": {"annotations": {"cloudfaster.app/paused": value}}});
    lab.machines().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

fn status(lab: &Lab, name: &str) -> ProxmoxVMStatus {
    lab.get(name).and_then(|vm| vm.status).unwrap_or_default()
}

fn condition(lab: &Lab, name: &str, kind: &str) -> Option<(String, String)> {
    let found = status(lab, name).conditions.into_iter().find(|condition| condition.type_ == kind)?;
    Some((found.status, found.reason))
}

fn is_paused(lab: &Lab, name: &str) -> bool {
    let says = |kind, status: &str| condition(lab, name, kind).is_some_and(|(is, why)| is == status && why == "Paused");
    says(conditions::PAUSED, "True") && says(conditions::READY, "Unknown") && says(conditions::RECONCILING, "True")
}

fn changes(lab: &Lab) -> usize {
    lab.simulator.requests().iter().filter(|request| request.method != "GET").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_object_is_not_touched_and_goes_on_when_the_annotation_goes() {
    let lab = Lab::new(small(1)).await;
    let mut held: ProxmoxVM = machine("held", json!({}));
    held.metadata.annotations = Some([("cloudfaster.app/paused".to_owned(), "true".to_owned())].into());
    lab.machines().create(&PostParams::default(), &held).await.unwrap();
    lab.until("it says that it is paused", |lab| is_paused(lab, "held")).await;
    // Another one goes its way meanwhile, and everything that wakes machines happens.
    lab.machine("free", json!({})).await;
    lab.until_ready(&["free"]).await;
    assert!(is_paused(&lab, "held"));
    assert_eq!(status(&lab, "held").intent, None);
    lab.assert_exactly(&["free"], "the other is paused");
    annotate(&lab, "held", Value::Null).await;
    lab.until_ready(&["held"]).await;
    assert_eq!(condition(&lab, "held", conditions::PAUSED), None);
    lab.assert_exactly(&["free", "held"], "the pause is over");
    let events = Api::<k8s_openapi::api::events::v1::Event>::namespaced(lab.client.clone(), "shop");
    let told = events.list(&ListParams::default()).await.unwrap().items;
    let told: Vec<_> = told.iter().filter_map(|event| event.reason.as_deref()).collect();
    assert!(told.contains(&"Paused") && told.contains(&"Resumed"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_in_the_middle_of_a_clone_holds_whatever_comes_after_it() {
    let mut scenario = small(1);
    scenario.clone_mib_per_second = 5;
    let lab = Lab::new(scenario).await;
    lab.machine("one", json!({})).await;
    lab.until("its clone is recorded", |lab| status(lab, "one").task.is_some()).await;
    annotate(&lab, "one", json!("true")).await;
    lab.until("it says that it is paused", |lab| is_paused(lab, "one")).await;
    let before = changes(&lab);
    lab.simulator.finish_tasks();
    // The inventory sees that the clone has ended, and wakes the machine.
    let polls = |lab: &Lab| lab.simulator.request_counts().get("GET /cluster/tasks").copied().unwrap_or_default();
    let seen = polls(&lab);
    lab.until("Proxmox was asked once more in full", |lab| polls(lab) > seen + 1).await;
    assert_eq!(changes(&lab), before, "{}", lab.describe());
    assert!(is_paused(&lab, "one") && status(&lab, "one").task.is_some(), "{}", lab.describe());
    annotate(&lab, "one", json!("false")).await;
    lab.until_ready(&["one"]).await;
    lab.assert_exactly(&["one"], "after a pause");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_while_it_is_paused_stays_with_its_machine_until_it_goes_on() {
    let lab = Lab::new(small(1)).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    annotate(&lab, "one", json!("true")).await;
    lab.until("it says that it is paused", |lab| is_paused(lab, "one")).await;
    let before = changes(&lab);
    lab.delete("one").await;
    let told =
        |lab: &Lab| status(lab, "one").message.unwrap_or_default().contains("being deleted, and is neither removed");
    lab.until("it says what holds it", |lab| told(lab) && is_paused(lab, "one")).await;
    assert_eq!(changes(&lab), before);
    lab.assert_exactly(&["one"], "deleted and paused");
    annotate(&lab, "one", Value::Null).await;
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("the pause is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_not_understood_pauses_and_says_what_to_do() {
    let lab = Lab::new(small(1)).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    annotate(&lab, "one", json!("yes")).await;
    lab.until("it says that it is paused", |lab| is_paused(lab, "one")).await;
    let message = status(&lab, "one").message.unwrap();
    assert!(message.contains("says \"yes\"") && message.contains("set it to \"false\""), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_cluster_holds_its_machines_and_is_not_asked_anything() {
    let lab = Lab::new(small(1)).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    lab.patch_cluster(json!({"metadata": {"annotations": {"cloudfaster.app/paused": "true"}}})).await;
    let waits = |lab: &Lab, name: &str| {
        condition(lab, name, conditions::READY) == Some(("False".into(), "ClusterPaused".into()))
    };
    lab.until("its machine waits", |lab| waits(lab, "one")).await;
    let before = changes(&lab);
    lab.machine("two", json!({})).await;
    lab.until("a new machine waits too", |lab| waits(lab, "two")).await;
    assert_eq!(changes(&lab), before);
    lab.assert_exactly(&["one"], "the cluster is paused");
    lab.patch_cluster(json!({"metadata": {"annotations": {"cloudfaster.app/paused": null}}})).await;
    lab.until_ready(&["one", "two"]).await;
    lab.assert_exactly(&["one", "two"], "the cluster goes on");
}
