//! Network cards, addresses and logins: applied where that can be, prepared for the next boot where not, and never twice.

use cloudfaster::simulator::{RequestRecord, Scenario, VmView};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::support::{Lab, is_ready, open_tenants, reason, small};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVYy5KqQJ7o7gxDIxf1q9Jq0m8qm0p7y0cXl0x0Y0aB a@b";

fn vm(lab: &Lab) -> VmView {
    lab.vm_of("one").unwrap_or_else(|| panic!("it has no machine\n{}", lab.describe()))
}

fn waiting(lab: &Lab) -> Vec<String> {
    let status = lab.get("one").and_then(|vm| vm.status).unwrap_or_default();
    status.pending_changes.into_iter().map(|change| change.key).collect()
}

fn sent(lab: &Lab, key: &str) -> usize {
    let sends = |request: &RequestRecord| request.method == "PUT" && request.params.contains_key(key);
    lab.simulator.requests().iter().filter(|request| sends(request)).count()
}

/// Which version of the password's Secret was applied.
fn version(lab: &Lab) -> Option<String> {
    lab.get("one")?.status?.applied?.password_version
}

async fn secret(lab: &Lab, name: &str, data: Value) {
    lab.create_in::<Secret>("shop", json!({"metadata": {"name": name}, "stringData": data})).await;
}

async fn patch_secret(lab: &Lab, name: &str, patch: Value) {
    let secrets: Api<Secret> = Api::namespaced(lab.client.clone(), "shop");
    secrets.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

async fn running(spec: Value) -> Lab {
    let lab = Lab::bare(Scenario { boot_seconds: 0, ..small(1) }).await;
    secret(&lab, "login", json!({"password": "open sesame", "keys": KEY})).await;
    lab.connect().await;
    lab.patch_cluster(json!({"spec": {"tenants": open_tenants()}})).await;
    let mut lab = lab;
    lab.start();
    lab.machine("one", spec).await;
    lab.until_ready(&["one"]).await;
    lab.simulator.forget_requests();
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_has_its_cards_and_addresses_at_its_first_boot() {
    let lab = running(json!({
        "nics": [
            {"name": "net0", "bridge": "vmbr0", "firewall": true},
            {"name": "net1", "bridge": "vmbr0", "vlan": 10, "model": "e1000", "mac": "bc:24:11:00:00:02"},
        ],
        "cloudInit": {
            "addresses": [
                {"nic": "net0", "ipv4": "192.0.2.10/24", "gateway4": "192.0.2.1", "ipv6": "auto"},
                {"nic": "net1", "ipv4": "dhcp"},
            ],
            "dnsServers": ["192.0.2.53", "2001:db8::53"],
            "searchDomain": "example.com",
        },
    }))
    .await;
    let config = vm(&lab).config;
    assert!(config["net0"].starts_with("virtio=") && config["net0"].contains("firewall=1"), "{config:?}");
    assert_eq!(config["net1"], "e1000=BC:24:11:00:00:02,bridge=vmbr0,tag=10");
    assert_eq!(config["ipconfig0"], "gw=192.0.2.1,ip=192.0.2.10/24,ip6=auto");
    assert_eq!(config["ipconfig1"], "ip=dhcp");
    assert_eq!(config["nameserver"], "192.0.2.53 2001:db8::53");
    assert_eq!(config["searchdomain"], "example.com");
    assert_eq!(waiting(&lab), [""; 0], "{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_change_while_it_runs_and_keep_their_addresses() {
    let lab = running(json!({"nics": [{"name": "net0", "bridge": "vmbr0"}]})).await;
    let mac = |lab: &Lab, nic: &str| {
        let line = vm(lab).config[nic].clone();
        line.split(['=', ',']).nth(1).unwrap().to_owned()
    };
    let first = mac(&lab, "net0");
    let cards = json!([
        {"name": "net0", "bridge": "vmbr0", "vlan": 7},
        {"name": "net1", "bridge": "vmbr0"},
    ]);
    lab.change("one", json!({"nics": cards})).await;
    assert_eq!(mac(&lab, "net0"), first);
    assert!(vm(&lab).config["net0"].contains("tag=7"), "{}", lab.describe());
    let second = mac(&lab, "net1");
    lab.change("one", json!({"nics": [{"name": "net0", "bridge": "vmbr0", "vlan": 0}, {"name": "net1", "bridge": "vmbr0", "firewall": true}]})).await;
    assert_eq!(mac(&lab, "net1"), second);
    assert!(!vm(&lab).config["net0"].contains("tag="), "{}", lab.describe());
    lab.change("one", json!({"nics": []})).await;
    let config = vm(&lab).config;
    assert!(config.contains_key("net0") && !config.contains_key("net1"), "the template's card stays: {config:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_does_not_exist_is_told_and_mended() {
    let lab = running(json!({})).await;
    lab.patch("one", json!({"spec": {"nics": [{"name": "net1", "bridge": "vmbr99"}]}})).await;
    lab.until("the refusal", |lab| reason(&lab.get("one").unwrap().status.unwrap().conditions).1.contains("net1"))
        .await;
    assert!(!vm(&lab).config.contains_key("net1") && vm(&lab).pending.is_empty(), "{}", lab.describe());
    lab.change("one", json!({"nics": [{"name": "net1", "bridge": "vmbr0"}]})).await;
    assert!(vm(&lab).config.contains_key("net1"), "{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_waits_for_the_next_boot_and_never_restarts() {
    let lab = running(
        json!({"rebootPolicy": "WhenNeeded", "cloudInit": {"sshKeySecretRefs": [{"name": "login", "key": "keys"}]}}),
    )
    .await;
    let other = KEY.replace("a@b", "new@b");
    lab.change("one", json!({"cloudInit": {"sshKeys": [other]}})).await;
    assert_eq!(waiting(&lab), ["sshkeys"], "{}", lab.describe());
    assert_eq!((lab.tasks_of("qmshutdown"), sent(&lab, "sshkeys")), (0, 1), "{}", lab.describe());
    assert!(vm(&lab).config["sshkeys"].contains("new%40b"));
    lab.change("one", json!({"powerState": "Stopped"})).await;
    lab.change("one", json!({"powerState": "Running"})).await;
    assert_eq!(waiting(&lab), [""; 0], "{}", lab.describe());
    assert_eq!((sent(&lab, "sshkeys"), sent(&lab, "ciuser")), (1, 0), "{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_address_restarts_the_machine_where_the_policy_says_so() {
    let lab = running(json!({"rebootPolicy": "WhenNeeded"})).await;
    let address = json!({"nic": "net0", "ipv4": "192.0.2.10/24", "gateway4": "192.0.2.1"});
    lab.change("one", json!({"cloudInit": {"addresses": [address]}})).await;
    lab.until("it has been restarted", |lab| lab.tasks_of("qmstart") == 2 && is_ready(&lab.get("one").unwrap())).await;
    assert_eq!((waiting(&lab), lab.tasks_of("qmshutdown")), (Vec::new(), 1), "{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_is_noticed_by_its_secret_and_the_same_one_again_changes_nothing() {
    let lab = running(json!({"cloudInit": {"passwordSecretRef": {"name": "login", "key": "password"}}})).await;
    let first = vm(&lab).config["cipassword"].clone();
    assert!(first.starts_with("$6$"), "{first}");
    let applied = version(&lab);
    let look = |value: &'static str| json!({"metadata": {"annotations": {"look": value}}});
    // Another key of the same Secret changes: the password may be another one, and is not.
    patch_secret(&lab, "login", json!({"stringData": {"more": "x"}})).await;
    lab.patch("one", look("1")).await;
    lab.until("it was set again", |lab| version(lab) != applied && is_ready(&lab.get("one").unwrap())).await;
    assert_eq!(
        (vm(&lab).config["cipassword"].clone(), waiting(&lab)),
        (first.clone(), Vec::new()),
        "{}",
        lab.describe()
    );
    patch_secret(&lab, "login", json!({"stringData": {"password": "abracadabra"}})).await;
    lab.patch("one", look("2")).await;
    lab.until("it waits", |lab| waiting(lab) == ["cipassword"] && is_ready(&lab.get("one").unwrap())).await;
    assert_ne!(vm(&lab).config["cipassword"], first);
    lab.patch("one", look("3")).await;
    lab.change("one", json!({"onBoot": true})).await;
    let changes = lab.simulator.requests().into_iter().filter(|request| request.path.ends_with("/config"));
    let changes = changes.filter(|request| request.method == "PUT").count();
    assert_eq!((changes, lab.tasks_of("qmshutdown")), (3, 0), "the password twice, and onBoot\n{}", lab.describe());
    let status = serde_json::to_string(&lab.get("one").unwrap().status).unwrap();
    assert!(!status.contains("sesame") && !status.contains("abracadabra") && !status.contains("$6$"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_address_is_refused_by_its_field() {
    let lab = running(json!({})).await;
    let address = json!({"nic": "net0", "ipv4": "300.0.2.10/24"});
    lab.patch("one", json!({"spec": {"cloudInit": {"addresses": [address]}}})).await;
    lab.until("the refusal", |lab| {
        let (word, message) = reason(&lab.get("one").unwrap().status.unwrap().conditions);
        word == "InvalidSpec" && message.starts_with("spec.cloudInit.addresses[net0].ipv4: ")
    })
    .await;
    assert_eq!(sent(&lab, "ipconfig0"), 0, "{}", lab.describe());
}
