//! The life of each kind, as a watch shows it, judged by Flux's and Argo CD's own means: `tests/health`, in Go.

use std::{collections::BTreeMap, path::Path, process::Command};

use cloudfaster::{
    api::{ProxmoxCluster, ProxmoxVM, conditions},
    simulator::{Effect, Fault, Scenario},
};
use futures::{StreamExt, TryStreamExt, future::join_all};
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    runtime::watcher,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};

use crate::support::{Lab, lab, small};

type Lives = BTreeMap<String, Vec<DynamicObject>>;

/// The successive states of all objects of a kind, by name.
struct Recorder {
    kind: String,
    lives: watch::Receiver<Lives>,
}

impl Recorder {
    /// Records all from now on.
    fn start<K: Resource<DynamicType = ()>>(lab: &Lab) -> Self {
        let api = Api::<DynamicObject>::all_with(lab.client.clone(), &ApiResource::erase::<K>(&()));
        let (sender, lives) = watch::channel(Lives::new());
        let mut events = watcher(api, watcher::Config::default()).boxed();
        tokio::spawn(async move {
            while let Ok(Some(event)) = events.try_next().await {
                match event {
                    watcher::Event::Apply(object)
                    | watcher::Event::InitApply(object)
                    | watcher::Event::Delete(object) => {
                        sender.send_modify(|lives| lives.entry(object.name_any()).or_default().push(object));
                    }
                    watcher::Event::Init | watcher::Event::InitDone => {}
                }
            }
        });
        Self { kind: K::kind(&()).into_owned(), lives }
    }

    /// Waits until the last state of an object is so.
    async fn until(&self, name: &str, what: &str, holds: impl Fn(&DynamicObject) -> bool) {
        let mut lives = self.lives.clone();
        let last = |lives: &Lives| lives.get(name).and_then(|life| life.last()).is_some_and(&holds);
        if timeout(lab::LIMIT, lives.wait_for(last)).await.is_err() {
            let life = self.lives.borrow().get(name).cloned().unwrap_or_default();
            panic!("in vain: {name} is {what}\n{:#?}", life.last());
        }
    }

    /// The condition of this kind is true, of the present generation.
    async fn until_true(&self, name: &str, kind: &str) {
        self.until(name, kind, |object| {
            object.data["status"]["observedGeneration"] == json!(object.metadata.generation)
                && conditions_of(object).iter().any(|it| it.type_ == kind && it.status == "True")
        })
        .await;
    }

    /// It is not Ready, for this reason.
    async fn until_told(&self, name: &str, word: &str) {
        self.until(name, word, |object| {
            conditions_of(object).iter().any(|it| it.type_ == conditions::READY && it.reason == word)
        })
        .await;
    }

    async fn until_ready(&self, names: &[&str]) {
        join_all(names.iter().map(|name| self.until_true(name, conditions::READY))).await;
    }

    async fn until_removed(&self, name: &str) {
        self.until(name, "removed", |object| {
            object.metadata.deletion_timestamp.is_some() && object.finalizers().is_empty()
        })
        .await;
    }

    /// Writes down what was seen of these objects until now.
    fn save(&self, folder: &Path, names: &[&str]) {
        for name in names {
            let life = &self.lives.borrow()[*name];
            let file = folder.join(format!("{}.{name}.json", self.kind));
            std::fs::write(file, serde_json::to_vec_pretty(life).unwrap()).unwrap();
        }
    }
}

fn conditions_of(object: &DynamicObject) -> Vec<Condition> {
    Vec::deserialize(&object.data["status"]["conditions"]).unwrap_or_default()
}

/// Machines that become Ready, and what happens to them then.
async fn established(folder: &Path) {
    let lab = Lab::new(small(2)).await;
    let lives = Recorder::start::<ProxmoxVM>(&lab);
    lab.simulator.fault(Fault::new(Effect::CloneFails { percent: 50.0 }).node("pve1").times(1)).unwrap();
    lab.machine("second-node", json!({})).await;
    lives.until_ready(&["second-node"]).await;
    let names = ["created", "changed", "paused", "missing", "deleted"];
    join_all(names.iter().map(|name| lab.machine(name, json!({})))).await;
    lives.until_ready(&names).await;

    let bigger = Patch::Merge(json!({"spec": {"memory": "3Gi"}}));
    lab.machines().patch("changed", &PatchParams::default(), &bigger).await.unwrap();
    lives.until("changed", "changed", |object| object.metadata.generation == Some(2)).await;
    lives.until_ready(&["changed"]).await;

    let pause = |value: Value| Patch::Merge(json!({"metadata": {"annotations": {"cloudfaster.app/paused": value}}}));
    lab.machines().patch("paused", &PatchParams::default(), &pause(json!("true"))).await.unwrap();
    lives.until_true("paused", conditions::PAUSED).await;
    lab.machines().patch("paused", &PatchParams::default(), &pause(Value::Null)).await.unwrap();
    lives.until_ready(&["paused"]).await;

    let vmid = lab.get("missing").unwrap().status.unwrap().vmid.unwrap();
    lab.simulator.remove_vm(u32::try_from(vmid).unwrap()).unwrap();
    lives.until_true("missing", conditions::STALLED).await;
    for name in ["missing", "deleted"] {
        lab.delete(name).await;
        lives.until_removed(name).await;
    }
    lives.save(folder, &["second-node", "created", "changed", "paused", "missing", "deleted"]);
}

/// Machines that have to wait, or that a person has to help. Each life ends before the cluster is changed for the next.
async fn hindered(folder: &Path) {
    let mut lab = Lab::bare(small(2)).await;
    let lives = Recorder::start::<ProxmoxVM>(&lab);
    lab.start();
    lab.machine("no-cluster", json!({})).await;
    lives.until_told("no-cluster", "DependencyNotFound").await;
    lab.connect().await;
    lives.until_ready(&["no-cluster"]).await;
    lives.save(folder, &["no-cluster"]);

    let tenants = serde_json::to_value(lab.cluster_object().spec.tenants).unwrap();
    let others = json!([{"namespaceSelector": {"matchLabels": {"other": "true"}}}]);
    lab.patch_cluster(json!({"spec": {"tenants": others}})).await;
    lab.machine("not-admitted", json!({})).await;
    lives.until_told("not-admitted", "NamespaceNotAdmitted").await;
    lab.patch_cluster(json!({"spec": {"tenants": tenants}})).await;
    lives.until_ready(&["not-admitted"]).await;
    lives.save(folder, &["not-admitted"]);

    lab.machine("unknown-os", json!({"os": "PLAN9"})).await;
    lives.until_true("unknown-os", conditions::STALLED).await;
    let templates = json!([{"os": "DEBIAN12", "name": "debian12"}, {"os": "PLAN9", "name": "debian12"}]);
    lab.patch_cluster(json!({"spec": {"templates": templates}})).await;
    lives.until_ready(&["unknown-os"]).await;
    lives.save(folder, &["unknown-os"]);

    let nodes =
        |cordoned: bool| json!([{"name": "pve1", "cordoned": cordoned}, {"name": "pve2", "cordoned": cordoned}]);
    lab.patch_cluster(json!({"spec": {"nodes": nodes(true)}})).await;
    for name in ["no-node", "given-up"] {
        lab.machine(name, json!({})).await;
        lives.until_told(name, "NoNodeAvailable").await;
    }
    lab.delete("given-up").await;
    lives.until("given-up", "removed", |object| object.metadata.deletion_timestamp.is_some()).await;
    lab.patch_cluster(json!({"spec": {"nodes": nodes(false)}})).await;
    lives.until_ready(&["no-node"]).await;
    lives.save(folder, &["given-up", "no-node"]);
}

/// Clusters that are connected to, at once or when what they lack is there.
async fn clusters(folder: &Path) {
    let mut lab = Lab::bare(small(1)).await;
    let lives = Recorder::start::<ProxmoxCluster>(&lab);
    lab.start();
    lab.create_in::<Secret>("cloudfaster-system", lab::credentials(Scenario::TOKEN_SECRET)).await;
    let create = async |name: &str, spec: Value| {
        let mut object = serde_json::to_value(lab.cluster_object()).unwrap();
        object["metadata"]["name"] = json!(name);
        json_patch::merge(&mut object["spec"], &spec);
        lab.create::<ProxmoxCluster>(object).await;
    };
    create("connected", json!({})).await;
    create("no-secret", json!({"credentials": {"secretRef": {"name": "later"}}})).await;
    create("invalid", json!({"tls": {"fingerprints": null, "caBundle": "no certificate"}})).await;
    lives.until_ready(&["connected"]).await;
    lives.until_told("no-secret", "DependencyNotFound").await;
    lives.until_true("invalid", conditions::STALLED).await;

    let mut secret = lab::credentials(Scenario::TOKEN_SECRET);
    secret["metadata"]["name"] = json!("later");
    lab.create_in::<Secret>("cloudfaster-system", secret).await;
    let mended = json!({"spec": {"tls": {"caBundle": null, "fingerprints": [lab.proxmox.fingerprint()]}}});
    lab.clusters().patch("invalid", &PatchParams::default(), &Patch::Merge(mended)).await.unwrap();
    lives.until_ready(&["no-secret", "invalid"]).await;
    lives.save(folder, &["connected", "no-secret", "invalid"]);
}

/// A cluster that goes away and comes back.
async fn lost_and_found(folder: &Path) {
    let mut lab = Lab::bare(small(1)).await;
    let lives = Recorder::start::<ProxmoxCluster>(&lab);
    lab.start();
    lab.create_in::<Secret>("cloudfaster-system", lab::credentials(Scenario::TOKEN_SECRET)).await;
    let mut object = lab.cluster_object();
    object.metadata.name = Some("unreachable".to_owned());
    lab.clusters().create(&PostParams::default(), &object).await.unwrap();
    lives.until_ready(&["unreachable"]).await;
    lab.simulator.switch_node("pve1", false).unwrap();
    lives.until_true("unreachable", conditions::RECONCILING).await;
    lab.simulator.switch_node("pve1", true).unwrap();
    lives.until_ready(&["unreachable"]).await;
    lives.save(folder, &["unreachable"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_and_argo_cd_judge_each_life_rightly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    tokio::join!(established(path), hindered(path), clusters(path), lost_and_found(path));
    let output = Command::new("go")
        .args(["test", "-count=1", "./..."])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/health"))
        .env("CLOUDFASTER_LIVES", path)
        .output()
        .expect("Go 1.24 or later is needed for kstatus and Argo CD's interpreter: `go` in PATH");
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complaint}");
}
