//! The manifests of `examples/`, applied: the old system's story, with its attempts, and the machines as the specs say.

use std::path::Path;

use cloudfaster::{
    api::proxmox_vm::{AttemptOutcome, Shape},
    simulator::{ClockMode, Effect, Fault, RequestRecord, Scenario},
};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, PostParams},
    core::GroupVersionKind,
    discovery,
};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::Lab;

const GIB: u64 = 1 << 30;

async fn apply_examples(lab: &Lab) -> Vec<String> {
    let mut files: Vec<_> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut machines = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for document in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
            let mut object = DynamicObject::deserialize(document).unwrap();
            let kind = GroupVersionKind::try_from(object.types.as_ref().unwrap()).unwrap();
            match kind.kind.as_str() {
                "Namespace" if object.name_any() == "shop" => continue,
                // An engine is not Proxmox; tests/suite brings them up on one.
                "DockerHost" | "DockerService" => continue,
                "ProxmoxVM" => machines.push(object.name_any()),
                "ProxmoxCluster" => {
                    object.data["spec"]["endpoints"] = json!([lab.proxmox.url()]);
                    object.data["spec"]["tls"] = json!({"fingerprints": [lab.proxmox.fingerprint()]});
                }
                _ => {}
            }
            let (resource, _) = discovery::pinned_kind(&lab.client, &kind).await.unwrap();
            let api: Api<DynamicObject> = match object.namespace() {
                Some(namespace) => Api::namespaced_with(lab.client.clone(), &namespace, &resource),
                None => Api::all_with(lab.client.clone(), &resource),
            };
            api.create(&PostParams::default(), &object).await.unwrap_or_else(|error| panic!("{file:?}: {error}"));
        }
    }
    machines
}

/// `(node, outcome, reason)` of each attempt.
fn story(lab: &Lab, name: &str) -> Vec<(String, AttemptOutcome, String)> {
    let attempts = lab.get(name).unwrap().status.unwrap().attempts;
    attempts.into_iter().map(|attempt| (attempt.node, attempt.outcome, attempt.reason)).collect()
}

fn outcomes(lab: &Lab, name: &str) -> Vec<(String, AttemptOutcome)> {
    story(lab, name).into_iter().map(|(node, outcome, _)| (node, outcome)).collect()
}

fn told(lab: &Lab, name: &str, node: &str) -> String {
    let attempts = lab.get(name).unwrap().status.unwrap().attempts;
    attempts.into_iter().find(|attempt| attempt.node == node).and_then(|attempt| attempt.message).unwrap_or_default()
}

async fn installation(lab: &Lab) -> String {
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "cloudfaster-system");
    maps.get("cloudfaster-installation").await.unwrap().data.unwrap()["id"].clone()
}

/// What changed a VM before it was started for the first time: the keys of its config and the sizes of its disk.
fn before_the_first_start(requests: &[RequestRecord], vmid: u32) -> Vec<String> {
    let of_vm = format!("/qemu/{vmid}/");
    let mut keys = Vec::new();
    for request in requests.iter().filter(|request| request.path.contains(&of_vm) && request.method != "GET") {
        if request.path.ends_with("/status/start") {
            return keys;
        }
        keys.extend(request.params.keys().cloned());
        if request.path.ends_with("/resize") {
            keys.push(format!("resize {} {}", request.params["disk"], request.params["size"]));
        }
    }
    panic!("VM {vmid} was never started");
}

fn disk_of(lab: &Lab, vmid: u32) -> u64 {
    let sizes = lab.simulator.volumes().into_iter().filter(|volume| volume.vmid == vmid).map(|volume| volume.size);
    sizes.max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_become_ready_and_tell_the_old_systems_story() {
    let mut scenario = Scenario::demo();
    scenario.clock = ClockMode::Scaled(40.0);
    let mut lab = Lab::bare(scenario).await;
    lab.simulator.fault(Fault::new(Effect::CloneFails { percent: 50.0 }).vmid(9204).times(1)).unwrap();
    lab.start();
    let names = apply_examples(&lab).await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(names, ["web", "database", "desktop", "builder", "wide"]);
    lab.until_ready(&names).await;
    lab.assert_exactly(&names, "the examples");

    use AttemptOutcome::{Failed, Skipped, Succeeded};
    let node = |name: &str| lab.get(name).unwrap().status.unwrap().node.unwrap();
    let at = |node: &str, outcome| (node.to_owned(), outcome);
    assert_eq!((node("web").as_str(), outcomes(&lab, "web")), ("sv1", vec![at("sv1", Succeeded)]));
    assert_eq!(outcomes(&lab, "database"), [at("sv1", Skipped), at("sv2", Succeeded)]);
    assert!(told(&lab, "database", "sv1").contains("memory"), "{:?}", story(&lab, "database"));
    let desktop =
        [at("sv1", Skipped), at("sv2", Skipped), at("sv3", Skipped), at("sv4", Skipped), at("sv5", Succeeded)];
    assert_eq!(outcomes(&lab, "desktop"), desktop);
    for without in ["sv1", "sv2", "sv4"] {
        assert!(told(&lab, "desktop", without).contains("template"), "{:?}", story(&lab, "desktop"));
    }
    assert!(told(&lab, "desktop", "sv3").contains("offline"), "{:?}", story(&lab, "desktop"));
    let builder = outcomes(&lab, "builder");
    assert_eq!(builder[builder.len() - 2..], [at("sv4", Failed), at("sv5", Succeeded)], "{:?}", story(&lab, "builder"));

    the_configs_are_as_the_specs_say(&lab, &names).await;
}

async fn the_configs_are_as_the_specs_say(lab: &Lab, names: &[&str]) {
    let installation = installation(lab).await;
    let requests = lab.simulator.requests();
    for name in names {
        let object = lab.get(name).unwrap();
        let status = object.status.clone().unwrap();
        let vm = lab.simulator.vm(u32::try_from(status.vmid.unwrap()).unwrap()).unwrap();
        let config = |key: &str| vm.config.get(key).cloned().unwrap_or_default();
        assert_eq!(vm.node, status.node.unwrap());
        let Shape { cores, memory, disk, power_state: _ } = object.spec.shape();
        assert_eq!(config("cores"), cores.unwrap().to_string(), "{name}");
        assert_eq!(config("memory"), memory.unwrap().mebibytes().to_string(), "{name}");
        assert_eq!(disk_of(lab, vm.vmid), disk.unwrap().size.bytes().unsigned_abs(), "{name}");
        let sockets = object.spec.sockets.unwrap_or(1);
        assert_eq!((status.cores, status.memory), (cores.map(|cores| cores * sockets), memory), "{name}");
        assert!(config("tags").split(';').any(|tag| tag == "cloudfaster"), "{name}: {}", config("tags"));
        let uid = object.uid().unwrap();
        for part in [installation.as_str(), "shop", name, uid.as_str(), &vm.vmid.to_string()] {
            assert!(config("description").contains(part), "{name}: {part} is not in {}", config("description"));
        }
        let uuid = cloudfaster::proxmox::identity::smbios_uuid(&installation, &uid, vm.vmid).to_string();
        assert!(config("smbios1").contains(&uuid), "{name}: {}", config("smbios1"));
        assert!(vm.pending.is_empty(), "{name} waits for a reboot: {:?}", vm.pending);
        assert!(!status.ip_addresses.iter().any(|address| address.starts_with("127.")), "{name}");

        let set = before_the_first_start(&requests, vm.vmid);
        for key in ["memory", "smbios1", "tags"] {
            assert!(set.iter().any(|each| each == key), "{name}: {key} was not set before the first start: {set:?}");
        }
        assert!(set.iter().any(|each| each.starts_with("resize ")), "{name}: not grown before the start: {set:?}");
    }
    let place = |name: &str| u32::try_from(lab.get(name).unwrap().status.unwrap().vmid.unwrap()).unwrap();
    for (name, range) in
        [("web", 1000..2000), ("database", 1000..2000), ("desktop", 3000..4000), ("builder", 6000..7000)]
    {
        assert!(range.contains(&place(name)), "{name} has the VMID {}", place(name));
    }
    let wide = lab.simulator.vm(place("wide")).unwrap().config;
    for (key, value) in [("sockets", "2"), ("cpu", "x86-64-v2-AES"), ("onboot", "1"), ("nameserver", "192.0.2.53")] {
        assert_eq!(wide[key], value, "{key}");
    }
    assert!(wide["net0"].contains("firewall=1") && wide["net1"].contains("tag=20"), "{wide:?}");
    assert_eq!(wide["ipconfig1"], "gw=192.0.2.1,ip=192.0.2.10/24");
    assert!(wide["description"].starts_with("The shop's front end.\nAsk Alice"), "{wide:?}");
    cloud_init(lab, place("web"), &requests).await;
    assert_eq!(disk_of(lab, place("builder")), 40 * GIB, "the default");
}

async fn cloud_init(lab: &Lab, vmid: u32, requests: &[RequestRecord]) {
    let login = Api::<Secret>::namespaced(lab.client.clone(), "shop").get("web-login").await.unwrap();
    let keys = String::from_utf8(login.data.unwrap()["keys"].0.clone()).unwrap();
    let keys: Vec<&str> = keys.lines().filter(|line| !line.starts_with('#')).collect();
    let config = lab.simulator.vm(vmid).unwrap().config;
    assert_eq!(config["ciuser"], "deploy");
    assert!(!config["cipassword"].is_empty());
    let decoded = percent_decode_str(&config["sshkeys"]).decode_utf8().unwrap().into_owned();
    assert_eq!(decoded.trim().lines().collect::<Vec<_>>(), keys);
    let set = before_the_first_start(requests, vmid);
    for key in ["ciuser", "sshkeys", "cores"] {
        let needed = key != "cores" || config["cores"] != "1";
        assert!(!needed || set.iter().any(|each| each == key), "{key} was not set before the first start: {set:?}");
    }
}
