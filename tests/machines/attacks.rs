//! What a tenant tries that is not for them: each attempt is refused with the reason, and nothing in Proxmox is other than
//! before.

use cloudfaster::simulator::{GuestSpec, Scenario};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::support::{Lab, is_ready, manifests, reason, small};

/// A cluster on which a bank has a machine and a template of its own, and the tenants of `shop` have a policy.
fn scenario() -> Scenario {
    let mut scenario = small(1);
    scenario.templates.push(GuestSpec::new(9100, "bank-base", "pve1").disk("local-lvm", 1));
    scenario.templates.push(GuestSpec::new(9200, "shop-base", "pve1").disk("local-lvm", 1));
    scenario.vms = vec![GuestSpec::new(500, "bank", "pve1").disk("local-lvm", 1)];
    scenario
}

fn policy() -> Value {
    json!({
        "tenants": [{
            "namespaceSelector": {"matchLabels": {"cloudfaster.app/tenant": "true"}},
            "allow": {"templates": {"names": ["shop-*"], "vmids": [{"from": 9200, "to": 9299}]}},
            "limits": {"cores": 4, "memory": "4Gi", "diskSize": "8Gi", "machines": 2},
        }],
    })
}

/// A laboratory with the policy and a controller.
async fn lab() -> Lab {
    let mut lab = Lab::bare(scenario()).await;
    lab.connect().await;
    lab.patch_cluster(json!({"spec": policy()})).await;
    lab.start();
    lab
}

fn told(lab: &Lab, name: &str) -> (String, String) {
    reason(&lab.get(name).and_then(|vm| vm.status).unwrap_or_default().conditions)
}

fn is_stalled(lab: &Lab, name: &str) -> bool {
    let conditions = lab.get(name).and_then(|vm| vm.status).unwrap_or_default().conditions;
    conditions.iter().any(|condition| condition.type_ == "Stalled" && condition.status == "True")
}

async fn change(lab: &Lab, name: &str, spec: Value) {
    let patch = Patch::Merge(json!({"spec": spec}));
    lab.machines().patch(name, &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_policy_does_not_allow_is_refused_with_the_reason_and_nothing_is_made() {
    let attacks = [
        (
            "their-template",
            json!({"os": null, "template": {"vmid": 9100}}),
            "spec.template.vmid: 9100 may not be used; allowed: shop-*, 9200–9299",
        ),
        (
            "their-template-by-name",
            json!({"os": null, "template": {"name": "bank-base"}}),
            "spec.template.name: \"bank-base\" may not be used; allowed: shop-*, 9200–9299",
        ),
        (
            "their-machine-as-template",
            json!({"os": null, "template": {"vmid": 500}}),
            "spec.template.vmid: 500 may not be used",
        ),
        ("cores", json!({"cores": 5}), "spec.cores: 5 in all are asked for, and at most 4 are allowed"),
        ("memory", json!({"memory": "5Gi"}), "spec.memory: 5Gi is asked for, and at most 4Gi is allowed"),
        ("disk", json!({"disk": {"size": "9Gi"}}), "spec.disk.size: 9Gi is asked for, and at most 8Gi is allowed"),
    ];
    let lab = lab().await;
    for (name, spec, _) in &attacks {
        lab.machine(name, spec.clone()).await;
    }
    for (name, _, expected) in &attacks {
        lab.until(&format!("{name} is refused"), |lab| is_stalled(lab, name)).await;
        let (word, message) = told(&lab, name);
        assert_eq!(word, "NotAllowed", "{name}: {message}");
        assert!(message.contains(expected), "{name}: {message}");
        assert!(message.contains("ProxmoxCluster main"), "{name}: {message}");
    }
    // Whoever keeps to it is served beside them.
    lab.machine("modest", json!({"os": null, "template": {"name": "shop-base", "node": "pve1"}})).await;
    lab.until_ready(&["modest"]).await;
    lab.assert_exactly(&["modest"], "refused");
    assert_eq!(lab.get("modest").unwrap().status.unwrap().vmid, Some(9000), "{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_gets_no_more_machines_than_it_may_have_however_many_ask_at_once() {
    let lab = lab().await;
    let names = ["one", "two", "three", "four"];
    for name in names {
        lab.machine(name, json!({})).await;
    }
    let ready = |lab: &Lab| names.iter().filter(|name| lab.get(name).is_some_and(|vm| is_ready(&vm))).count();
    let refused = |lab: &Lab| names.iter().filter(|name| told(lab, name).0 == "TooManyMachines").count();
    lab.until("two are made and two are refused", |lab| (ready(lab), refused(lab)) == (2, 2)).await;
    assert_eq!(lab.made().len(), 2, "{}", lab.describe());
    // As soon as one goes another takes its place.
    let first = names.into_iter().find(|name| lab.get(name).is_some_and(|vm| is_ready(&vm))).unwrap();
    lab.delete(first).await;
    lab.until_gone(&[first]).await;
    lab.until("another one is made", |lab| ready(lab) == 2).await;
    assert_eq!(lab.made().len(), 2, "{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_of_one_that_is_let_go_is_free_at_once() {
    let lab = lab().await;
    lab.patch_cluster(json!({"spec": {"tenants": [{
        "namespaceSelector": {"matchLabels": {"cloudfaster.app/tenant": "true"}}, "limits": {"machines": 1},
    }]}}))
    .await;
    lab.machine("first", json!({"deletionPolicy": "Orphan"})).await;
    lab.until_ready(&["first"]).await;
    lab.machine("second", json!({})).await;
    lab.until("it is refused", |lab| told(lab, "second").0 == "TooManyMachines").await;
    // Nothing changes in Proxmox by this, and one that is refused rests for minutes.
    lab.delete("first").await;
    lab.until_ready(&["second"]).await;
    assert_eq!(lab.made().len(), 2, "{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_tightened_later_spares_the_machine_and_refuses_changes() {
    let lab = lab().await;
    lab.machine("one", json!({"cores": 4})).await;
    lab.until_ready(&["one"]).await;
    let before = lab.simulator.vm(1000).unwrap();
    lab.patch_cluster(json!({"spec": {"tenants": [{
        "namespaceSelector": {"matchLabels": {"cloudfaster.app/tenant": "true"}},
        "limits": {"cores": 2},
    }]}}))
    .await;
    // The next one shows that the policy has arrived.
    lab.machine("two", json!({"cores": 4})).await;
    lab.until("the new machine is refused", |lab| is_stalled(lab, "two")).await;
    assert!(is_ready(&lab.get("one").unwrap()), "{}", lab.describe());
    change(&lab, "one", json!({"memory": "3Gi"})).await;
    lab.until("the change is refused", |lab| is_stalled(lab, "one")).await;
    assert!(told(&lab, "one").1.contains("spec.cores: 4 in all are asked for, and at most 2 are allowed"));
    assert_eq!(lab.simulator.vm(1000).unwrap(), before);
    // What keeps to the policy is carried out.
    change(&lab, "one", json!({"cores": 2, "memory": "3Gi"})).await;
    lab.until_ready(&["one"]).await;
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    assert!(lab.made().is_empty(), "{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_entry_that_selects_the_namespace_decides() {
    let lab = lab().await;
    let bank = json!({"metadata": {"name": "bank", "labels": {"team": "bank"}}});
    lab.create::<Namespace>(bank).await;
    let mut tenants = policy()["tenants"].clone();
    tenants.as_array_mut().unwrap().push(json!({"namespaceSelector": {"matchLabels": {"team": "bank"}}}));
    lab.patch_cluster(json!({"spec": {"tenants": tenants}})).await;
    let mut theirs = manifests::machine("theirs", json!({"os": null, "template": {"vmid": 9200}}));
    theirs.metadata.namespace = Some("bank".to_owned());
    let machines: Api<cloudfaster::api::ProxmoxVM> = Api::namespaced(lab.client.clone(), "bank");
    machines.create(&PostParams::default(), &theirs).await.unwrap();
    lab.until("the bank's is refused", |lab| is_stalled(lab, "theirs")).await;
    assert!(told(&lab, "theirs").1.contains("no template may be named; give spec.os"), "{:?}", told(&lab, "theirs"));
    lab.machine("ours", json!({"os": null, "template": {"vmid": 9200}})).await;
    lab.until_ready(&["ours"]).await;
    lab.assert_exactly(&["ours"], "two tenants");
}
