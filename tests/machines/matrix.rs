//! Every trouble at every call: the object says what is wrong, goes on when the cause is gone, and never spins.

use cloudfaster::simulator::{Effect, Fault, RequestRecord, Scenario};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Lab, manifests::PACE, reason, small};

/// A trouble as Proxmox tells it, and the word that the object has for it.
const TROUBLES: [(u16, &str, &str); 8] = [
    (500, "can't lock file '/var/lock/qemu-server/lock-1.conf' - got timeout", "LockTimeout"),
    (500, "cfs-lock 'storage-local-lvm' error: got lock request timeout - got timeout", "LockTimeout"),
    (500, "VM is locked (backup)", "Locked"),
    (500, "cluster not ready - no quorum?", "NoQuorum"),
    (403, "Permission check failed (/vms/1, VM.Something)", "Forbidden"),
    (401, "Authentication failed!", "Unauthorized"),
    (595, "No route to host", "NodeUnreachable"),
    (503, "Service Unavailable", "ServerError"),
];

/// Half of the first pause, by the jitter.
const LEAST_PAUSE: f64 = 0.5;
/// What a retry asks about its machine, at most: it looks before it acts, and once after.
const MOST_REQUESTS: usize = 16;

/// A call: how its request is told, what a spec asks for to bring it about (a number makes each time another), and what has to
/// be so before.
struct Call {
    name: &'static str,
    method: &'static str,
    path: fn(u32) -> String,
    trigger: fn(usize) -> Value,
    before: Option<fn() -> Value>,
}

fn of_machine(vmid: u32, rest: &str) -> String {
    format!("/qemu/{vmid}{rest}$")
}

fn disks(count: usize) -> Value {
    (0..count).map(|number| json!({"name": format!("disk-{number}"), "size": "1Gi"})).collect()
}

const CALLS: [Call; 9] = [
    Call {
        name: "configure",
        method: "PUT",
        path: |vmid| of_machine(vmid, "/config"),
        trigger: |number| json!({"description": format!("number {number}")}),
        before: None,
    },
    Call {
        name: "tag",
        method: "PUT",
        path: |vmid| of_machine(vmid, "/config"),
        trigger: |number| json!({"tags": [format!("tag-{number}")]}),
        before: None,
    },
    Call {
        name: "resize",
        method: "PUT",
        path: |vmid| of_machine(vmid, "/resize"),
        trigger: |number| json!({"disk": {"size": format!("{}Gi", 3 + number)}}),
        before: None,
    },
    Call {
        name: "disk",
        method: "POST",
        path: |vmid| of_machine(vmid, "/config"),
        trigger: |number| json!({"disks": disks(number + 1)}),
        before: None,
    },
    Call {
        name: "pool",
        method: "PUT",
        path: |_| "/pools$".to_owned(),
        trigger: |number| json!({"pool": format!("pool-{}", number % 2)}),
        before: None,
    },
    Call {
        name: "shutdown",
        method: "POST",
        path: |vmid| of_machine(vmid, "/status/shutdown"),
        trigger: |_| json!({"powerState": "Stopped"}),
        before: Some(|| json!({"powerState": "Running"})),
    },
    Call {
        name: "start",
        method: "POST",
        path: |vmid| of_machine(vmid, "/status/start"),
        trigger: |_| json!({"powerState": "Running"}),
        before: Some(|| json!({"powerState": "Stopped"})),
    },
    Call {
        name: "suspend",
        method: "POST",
        path: |vmid| of_machine(vmid, "/status/suspend"),
        trigger: |_| json!({"powerState": "Paused"}),
        before: Some(|| json!({"powerState": "Running"})),
    },
    Call {
        name: "resume",
        method: "POST",
        path: |vmid| of_machine(vmid, "/status/resume"),
        trigger: |_| json!({"powerState": "Running"}),
        before: Some(|| json!({"powerState": "Paused"})),
    },
];

fn told(lab: &Lab, name: &str) -> (String, String) {
    reason(&lab.get(name).and_then(|vm| vm.status).unwrap_or_default().conditions)
}

fn vmid(lab: &Lab, name: &str) -> u32 {
    u32::try_from(lab.get(name).unwrap().status.unwrap().vmid.unwrap()).unwrap()
}

fn hits(lab: &Lab, fault: u64) -> u32 {
    lab.simulator.faults().into_iter().find(|(number, ..)| *number == fault).map_or(0, |(_, _, hits)| hits)
}

/// Seconds outside of the simulated time.
fn seconds(lab: &Lab) -> f64 {
    lab.simulator.now().as_secs_f64() / PACE
}

/// What was asked about a machine.
fn asked(lab: &Lab, vmid: u32) -> Vec<RequestRecord> {
    let of = format!("/qemu/{vmid}/");
    let of_machine = |request: &RequestRecord| format!("{}/", request.path).contains(&of);
    lab.simulator.requests().into_iter().filter(of_machine).collect()
}

/// A refusal goes on until it was told and met so many times; then it ends, by itself as far as the object knows.
async fn met(lab: &Lab, name: &str, what: &str, times: u32, fault: u64, word: &str) {
    let vmid = vmid(lab, name);
    lab.until(&format!("{what}: it is met"), |lab| hits(lab, fault) >= 1).await;
    let (began, before) = (seconds(lab), asked(lab, vmid).len());
    lab.until(&format!("{what}: it is told as {word}"), |lab| {
        let (told, message) = told(lab, name);
        told == word && !message.is_empty()
    })
    .await;
    lab.until(&format!("{what}: it is tried again"), |lab| hits(lab, fault) >= times).await;
    let paused = seconds(lab) - began;
    // Load makes pauses longer, never shorter. What was noticed late began earlier.
    let count = hits(lab, fault);
    assert!(count != 2 || times != 2 || paused > LEAST_PAUSE * 0.8, "{what}: tried again after {paused:.2} s");
    let requests = asked(lab, vmid).len().saturating_sub(before);
    let most = MOST_REQUESTS * usize::try_from(count).unwrap();
    assert!(requests <= most, "{what}: {requests} requests for {count} tries\n{}", lab.describe());
    lab.simulator.clear_fault(fault);
}

async fn each_trouble_at(lab: &Lab, index: usize, call: &Call) {
    let Call { name, method, path, trigger, before } = call;
    for (number, (code, text, word)) in TROUBLES.into_iter().enumerate() {
        if let Some(before) = before {
            lab.change(name, before()).await;
        }
        let what = format!("{name} and {code} {text}");
        let effect = Effect::Status { code, reason: text.to_owned() };
        let fault = lab.simulator.fault(Fault::new(effect).request(method, &path(vmid(lab, name)))).unwrap();
        lab.patch(name, json!({"spec": trigger(number)})).await;
        // Each call has some of the troubles twice, and each trouble is had twice at some calls: pauses take their time.
        let times = if (index + number).is_multiple_of(3) { 2 } else { 1 };
        met(lab, name, &what, times, fault, word).await;
        lab.until_ready(&[name]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trouble_at_every_call_of_a_machine_that_runs_is_told_and_passes() {
    let pools = vec!["pool-0".to_owned(), "pool-1".to_owned()];
    let lab = Lab::new(Scenario { boot_seconds: 0, pools, ..small(2) }).await;
    let tenants = json!([{
        "namespaceSelector": {"matchLabels": {"cloudfaster.app/tenant": "true"}}, "allow": {"pools": ["*"]},
    }]);
    lab.patch_cluster(json!({"spec": {"tenants": tenants}})).await;
    for Call { name, .. } in &CALLS {
        lab.machine(name, json!({})).await;
    }
    lab.until_ready(&CALLS.each_ref().map(|call| call.name)).await;
    join_all(CALLS.iter().enumerate().map(|(index, call)| each_trouble_at(&lab, index, call))).await;
    assert_eq!(lab.made().len(), CALLS.len(), "{}", lab.describe());
}

/// A machine is made, or goes, while a call of that meets a trouble.
async fn comes_and_goes(number: usize, (code, text, word): (u16, &str, &str)) {
    let mut lab = Lab::bare(Scenario { boot_seconds: 0, ..small(1) }).await;
    lab.connect().await;
    lab.start();
    let effect = || Effect::Status { code, reason: text.to_owned() };
    let name = format!("one-{number}");
    let clone = lab.simulator.fault(Fault::new(effect()).request("POST", "/clone$")).unwrap();
    lab.machine(&name, json!({})).await;
    // A node that cannot be reached for a clone is passed over, and there is no other.
    let said = if code == 595 { "AllNodesFailed" } else { word };
    let what = |call: &str| format!("{call} and {code} {text}");
    lab.until(&what("clone"), |lab| hits(lab, clone) >= 1 && told(lab, &name).0 == said).await;
    assert!(lab.made().is_empty(), "{}", lab.describe());
    lab.simulator.clear_fault(clone);
    lab.until_ready(&[&name]).await;
    lab.assert_exactly(&[&name], &what("clone"));
    for (call, method, path) in [("stop", "POST", "/status/stop$"), ("destroy", "DELETE", "/qemu/[0-9]+$")] {
        let fault = lab.simulator.fault(Fault::new(effect()).request(method, path)).unwrap();
        if call == "stop" {
            lab.delete(&name).await;
        }
        met(&lab, &name, &what(call), 2, fault, word).await;
    }
    lab.until_gone(&[&name]).await;
    lab.assert_nothing_left(&what("deletion"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trouble_when_a_machine_is_made_or_goes_is_told_and_passes() {
    join_all(TROUBLES.into_iter().enumerate().map(|(number, trouble)| comes_and_goes(number, trouble))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_waited_for_without_a_call_whatever_is_to_be_done() {
    let pools = vec!["pool-0".to_owned(), "pool-1".to_owned()];
    let lab = Lab::new(Scenario { boot_seconds: 0, pools, ..small(1) }).await;
    let machines: Vec<&Call> = CALLS.iter().filter(|call| call.name != "pool").collect();
    for Call { name, .. } in &machines {
        lab.machine(name, json!({})).await;
    }
    let names: Vec<&str> = machines.iter().map(|call| call.name).collect();
    lab.until_ready(&names).await;
    join_all(machines.iter().map(|call| async {
        let Call { name, trigger, before, .. } = call;
        if let Some(before) = before {
            lab.change(name, before()).await;
        }
        let vmid = vmid(&lab, name);
        lab.simulator.set_option(vmid, "lock", Some("snapshot")).unwrap();
        let changes = || asked(&lab, vmid).into_iter().filter(|request| request.method != "GET").count();
        let calls = changes();
        lab.patch(name, json!({"spec": trigger(0)})).await;
        lab.until(&format!("{name} waits for the lock"), |lab| told(lab, name).0 == "Locked").await;
        assert!(told(&lab, name).1.contains("(snapshot)"), "{:?}", told(&lab, name));
        assert_eq!(changes(), calls, "{name} was called\n{}", lab.describe());
        lab.simulator.unlock(vmid).unwrap();
        lab.until_ready(&[name]).await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_vanished_with_its_worker_is_begun_again() {
    let lab = Lab::new(Scenario { boot_seconds: 0, ..small(1) }).await;
    let cases = [
        ("resize", "resize", json!({"disk": {"size": "3Gi"}})),
        ("disk", "qmconfig", json!({"disks": disks(1)})),
        ("shutdown", "qmshutdown", json!({"powerState": "Stopped"})),
        ("suspend", "qmpause", json!({"powerState": "Paused"})),
    ];
    for (name, ..) in &cases {
        lab.machine(name, json!({})).await;
    }
    lab.until_ready(&cases.each_ref().map(|case| case.0)).await;
    for (name, kind, spec) in cases {
        let killed = Effect::WorkerKilled { percent: 0.0, task_type: Some(kind.to_owned()) };
        let fault = lab.simulator.fault(Fault::new(killed).vmid(vmid(&lab, name)).times(1)).unwrap();
        lab.change(name, spec).await;
        assert_eq!(hits(&lab, fault), 1, "{name}: no worker was killed\n{}", lab.describe());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_changes_is_told_on_the_machine_and_spares_it() {
    let lab = Lab::new(Scenario { boot_seconds: 0, ..small(1) }).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    let tls = |fingerprint: &str| json!({"spec": {"tls": {"fingerprints": [fingerprint]}}});
    lab.patch_cluster(tls(&["AA"; 32].join(":"))).await;
    lab.until("the cluster says so", |lab| {
        lab.cluster().is_some_and(|it| reason(&it.status.unwrap_or_default().conditions).0 == "CertificateNotTrusted")
    })
    .await;
    lab.simulator.forget_requests();
    lab.patch("one", json!({"spec": {"onBoot": true}})).await;
    lab.until("the machine says so", |lab| told(lab, "one").1.contains("fingerprint")).await;
    assert_eq!(lab.simulator.requests().len(), 0, "the token was shown to a stranger");
    lab.patch_cluster(tls(lab.proxmox.fingerprint())).await;
    lab.until_ready(&["one"]).await;
    assert!(lab.vm_of("one").unwrap().running, "{}", lab.describe());
    lab.assert_exactly(&["one"], "the certificate is trusted");
}
