//! The simulator over HTTPS: what a client that does not know it sees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use cloudfaster::simulator::{
    Auto, ClockMode, Effect, Fault, GuestSpec, Scenario, Server, Simulator, StorageKind, StorageSpec,
};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

struct Lab {
    simulator: Simulator,
    server: Server,
    client: Client,
}

impl Lab {
    async fn new(auto: Auto) -> Self {
        Self::of(Scenario::default(), auto).await
    }

    async fn of(scenario: Scenario, auto: Auto) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let simulator = Simulator::new(scenario.clock(ClockMode::Virtual(auto)));
        let server = simulator.serve_with_control("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let authority = reqwest::Certificate::from_pem(server.ca_pem().as_bytes()).unwrap();
        let client = Client::builder().tls_certs_only([authority]).build().unwrap();
        Self { simulator, server, client }
    }

    async fn send(&self, method: Method, path: &str, form: &[(&str, &str)]) -> reqwest::Result<Response> {
        let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut url = format!("{}/api2/json{path}", self.server.url());
        let writes = matches!(method, Method::POST | Method::PUT);
        if !writes && !encoded.is_empty() {
            url = format!("{url}?{encoded}");
        }
        let token = format!("PVEAPIToken={}={}", Scenario::TOKEN_ID, Scenario::TOKEN_SECRET);
        let mut request = self.client.request(method, url).header("Authorization", token);
        if writes {
            request = request.header("Content-Type", "application/x-www-form-urlencoded").body(encoded);
        }
        request.send().await
    }

    async fn data(&self, method: Method, path: &str, form: &[(&str, &str)]) -> Value {
        let response = self.send(method, path, form).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        body["data"].clone()
    }

    async fn get(&self, path: &str) -> Value {
        self.data(Method::GET, path, &[]).await
    }

    fn end_of(&self, upid: &Value) -> Option<String> {
        self.simulator.tasks().into_iter().find(|task| Some(task.upid.as_str()) == upid.as_str()).unwrap().status
    }
}

#[tokio::test]
async fn a_vm_is_cloned_configured_grown_started_and_destroyed() {
    let lab = Lab::new(Auto::WhenWaiting).await;
    let clone = [("newid", "500"), ("name", "web"), ("full", "1"), ("description", "mark")];
    let upid = lab.data(Method::POST, "/nodes/pve1/qemu/9000/clone", &clone).await;
    assert!(lab.end_of(&upid).is_none());
    lab.simulator.advance(Duration::from_millis(30));
    let config = lab.get("/nodes/pve1/qemu/500/config").await;
    assert_eq!(config["lock"], "clone");
    assert_eq!(config["description"], " qmclone temporary file");
    lab.simulator.finish_tasks();
    assert_eq!(lab.end_of(&upid).as_deref(), Some("OK"));
    let config = lab.get("/nodes/pve1/qemu/500/config").await;
    assert_eq!(config["description"], "mark");
    assert!(config.get("lock").is_none());

    let change = [("cores", "4"), ("memory", "2048"), ("ipconfig0", "ip=10.9.8.7/24")];
    assert_eq!(lab.data(Method::PUT, "/nodes/pve1/qemu/500/config", &change).await, Value::Null);
    let upid = lab.data(Method::PUT, "/nodes/pve1/qemu/500/resize", &[("disk", "scsi0"), ("size", "20G")]).await;
    lab.simulator.finish_tasks();
    assert_eq!(lab.end_of(&upid).as_deref(), Some("OK"));
    let upid = lab.data(Method::POST, "/nodes/pve1/qemu/500/status/start", &[]).await;
    lab.simulator.finish_tasks();
    assert_eq!(lab.end_of(&upid).as_deref(), Some("OK"));
    assert_eq!(lab.get("/nodes/pve1/qemu/500/status/current").await["maxdisk"], json!(20u64 << 30));
    lab.simulator.advance(Duration::from_secs(60));
    let interfaces = lab.get("/nodes/pve1/qemu/500/agent/network-get-interfaces").await;
    assert_eq!(interfaces["result"][1]["ip-addresses"][0]["ip-address"], "10.9.8.7");

    lab.data(Method::POST, "/nodes/pve1/qemu/500/status/stop", &[]).await;
    lab.simulator.finish_tasks();
    lab.data(Method::DELETE, "/nodes/pve1/qemu/500", &[("purge", "1")]).await;
    lab.simulator.finish_tasks();
    assert!(lab.simulator.vm(500).is_none());
    assert!(lab.simulator.volumes().iter().all(|volume| volume.vmid != 500));
}

#[tokio::test]
async fn lists_lag_behind_but_show_existence_and_locks_at_once() {
    let lab = Lab::new(Auto::WhenWaiting).await;
    lab.data(Method::POST, "/nodes/pve1/qemu/9000/clone", &[("newid", "500"), ("name", "web")]).await;
    lab.simulator.advance(Duration::from_millis(30));
    let find = |list: Value| list.as_array().unwrap().iter().find(|vm| vm["vmid"] == 500).cloned();
    let vm = find(lab.get("/cluster/resources?type=vm").await).unwrap();
    assert_eq!((vm["lock"].as_str(), vm["status"].as_str(), vm.get("name")), (Some("clone"), Some("unknown"), None));
    lab.simulator.finish_tasks();
    lab.simulator.advance(Duration::from_secs(10));
    let vm = find(lab.get("/cluster/resources?type=vm").await).unwrap();
    assert_eq!((vm["name"].as_str(), vm["status"].as_str()), (Some("web"), Some("stopped")));
    lab.data(Method::POST, "/nodes/pve1/qemu/500/status/start", &[]).await;
    lab.simulator.finish_tasks();
    let vm = find(lab.get("/cluster/resources?type=vm").await).unwrap();
    assert_eq!(vm["status"], "stopped");
    lab.simulator.advance(Duration::from_secs(10));
    let vm = find(lab.get("/cluster/resources?type=vm").await).unwrap();
    assert_eq!(vm["status"], "running");
}

#[tokio::test]
async fn a_lost_reply_has_its_effect_and_a_lost_request_has_none() {
    let lab = Lab::new(Auto::WhenWaiting).await;
    let pattern = "/qemu/9000/clone$";
    lab.simulator.fault(Fault::new(Effect::RequestLost).request("POST", pattern).times(1)).unwrap();
    assert!(lab.send(Method::POST, "/nodes/pve1/qemu/9000/clone", &[("newid", "500")]).await.is_err());
    assert!(lab.simulator.running_tasks().is_empty());
    lab.simulator.fault(Fault::new(Effect::ReplyLost).request("POST", pattern).times(1)).unwrap();
    assert!(lab.send(Method::POST, "/nodes/pve1/qemu/9000/clone", &[("newid", "500")]).await.is_err());
    assert_eq!(lab.simulator.running_tasks().len(), 1);
    lab.data(Method::POST, "/nodes/pve1/qemu/9000/clone", &[("newid", "501")]).await;
}

#[tokio::test]
async fn a_request_waits_for_the_lock_of_a_configuration_file() {
    let lab = Lab::new(Auto::Never).await;
    lab.simulator.add_vm(&GuestSpec::new(300, "vm", "pve1"));
    let fault = lab.simulator.fault(Fault::new(Effect::ConfigLocked).vmid(300)).unwrap();
    let put = lab.send(Method::PUT, "/nodes/pve1/qemu/300/config", &[("cores", "2")]);
    let mut changed = lab.simulator.changed();
    let release = async {
        while lab.simulator.requests().is_empty() {
            changed.changed().await.unwrap();
        }
        lab.simulator.clear_fault(fault);
    };
    let (response, ()) = tokio::join!(put, release);
    assert_eq!(response.unwrap().status(), 200);
    assert_eq!(lab.simulator.vm(300).unwrap().config["cores"], "2");
}

#[tokio::test]
async fn the_control_endpoint_takes_and_lists_faults() {
    let lab = Lab::new(Auto::WhenWaiting).await;
    let url = format!("{}/simulator/faults", lab.server.url());
    let fault = r#"{"effect":{"nodeDown":{"trouble":"noRoute"}},"filter":{"node":"pve2"}}"#;
    let response = lab.client.post(&url).body(fault).send().await.unwrap();
    assert_eq!(response.status(), 201);
    let response = lab.send(Method::GET, "/nodes/pve2/status", &[]).await.unwrap();
    assert_eq!(response.status().as_u16(), 595);
    let list = lab.client.get(&url).send().await.unwrap().text().await.unwrap();
    assert!(list.contains("pve2"), "{list}");
    lab.client.delete(&url).send().await.unwrap();
    assert_eq!(lab.send(Method::GET, "/nodes/pve2/status", &[]).await.unwrap().status(), 200);
}

/// Clones 9000 to 500 in full and tells how the task ended.
async fn clone(lab: &Lab) -> String {
    let upid = lab.data(Method::POST, "/nodes/pve1/qemu/9000/clone", &[("newid", "500"), ("full", "1")]).await;
    lab.simulator.finish_tasks();
    lab.end_of(&upid).unwrap()
}

fn volumes_of(lab: &Lab, vmid: u32) -> usize {
    lab.simulator.volumes().iter().filter(|volume| volume.vmid == vmid).count()
}

#[tokio::test]
async fn a_clone_that_fails_half_way_removes_its_target() {
    let lab = Lab::new(Auto::WhenWaiting).await;
    lab.simulator.fault(Fault::new(Effect::CloneFails { percent: 50.0 }).vmid(500).times(1)).unwrap();
    assert!(clone(&lab).await.starts_with("clone failed: copy failed: "));
    assert!(lab.simulator.vm(500).is_none());
    assert_eq!(volumes_of(&lab, 500), 0);
    assert_eq!(clone(&lab).await, "OK");
}

#[tokio::test]
async fn a_clone_to_a_full_storage_fails_and_removes_its_target() {
    let lab = Lab::new(Auto::WhenWaiting).await;
    lab.simulator.fault(Fault::new(Effect::StorageFull { storage: "local-lvm".into() }).node("pve1")).unwrap();
    assert!(clone(&lab).await.starts_with("clone failed"));
    assert!(lab.simulator.vm(500).is_none());
    assert_eq!(volumes_of(&lab, 500), 0);
}

#[tokio::test]
async fn a_killed_clone_leaves_its_lock_and_its_volumes_which_only_root_can_lift() {
    let lab = Lab::new(Auto::WhenWaiting).await;
    let kill = Effect::WorkerKilled { percent: 30.0, task_type: Some("qmclone".into()) };
    lab.simulator.fault(Fault::new(kill).times(1)).unwrap();
    assert_eq!(clone(&lab).await, "unexpected status");
    assert_eq!(lab.simulator.vm(500).unwrap().config["lock"], "clone");
    assert!(volumes_of(&lab, 500) > 0);
    let upid = lab.data(Method::DELETE, "/nodes/pve1/qemu/500", &[]).await;
    lab.simulator.finish_tasks();
    assert_eq!(lab.end_of(&upid).unwrap(), "VM is locked (clone)");
    lab.simulator.unlock(500).unwrap();
    lab.data(Method::DELETE, "/nodes/pve1/qemu/500", &[("destroy-unreferenced-disks", "1")]).await;
    lab.simulator.finish_tasks();
    assert_eq!(volumes_of(&lab, 500), 0);
}

#[tokio::test]
async fn volumes_that_cannot_be_deleted_stay_behind_with_a_warning() {
    let lab = Lab::new(Auto::WhenWaiting).await;
    clone(&lab).await;
    let fault = lab.simulator.fault(Fault::new(Effect::VolumesUndeletable).vmid(500)).unwrap();
    let upid = lab.data(Method::DELETE, "/nodes/pve1/qemu/500", &[]).await;
    lab.simulator.finish_tasks();
    assert_eq!(lab.end_of(&upid).unwrap(), "WARNINGS: 2");
    assert!(lab.simulator.vm(500).is_none());
    let content = lab.get("/nodes/pve1/storage/local-lvm/content?vmid=500").await;
    assert_eq!(content.as_array().unwrap().len(), 2);
    lab.simulator.clear_fault(fault);
    let volid = content[0]["volid"].as_str().unwrap();
    lab.data(Method::DELETE, &format!("/nodes/pve1/storage/local-lvm/content/{volid}"), &[]).await;
    lab.simulator.finish_tasks();
    assert_eq!(volumes_of(&lab, 500), 1);
}

#[tokio::test]
async fn a_wrong_token_is_refused_after_three_seconds_of_the_simulators_time() {
    let lab = Lab::new(Auto::WhenWaiting).await;
    lab.simulator.fault(Fault::new(Effect::TokenRevoked { token: Scenario::TOKEN_ID.into() })).unwrap();
    let before = lab.simulator.now();
    let response = lab.send(Method::GET, "/version", &[]).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["connection"], "close");
    assert_eq!(response.text().await.unwrap(), "");
    assert_eq!(lab.simulator.now() - before, Duration::from_secs(3));
}

#[tokio::test]
async fn older_releases_have_the_text_of_an_error_in_the_reason_phrase_alone() {
    let scenario = Scenario { error_text_in_body: false, ..Scenario::default() };
    let lab = Lab::of(scenario, Auto::WhenWaiting).await;
    let response = lab.send(Method::GET, "/nodes/pve1/qemu/777/config", &[]).await.unwrap();
    let reason = response.extensions().get::<hyper::ext::ReasonPhrase>().unwrap().as_bytes().to_vec();
    let text = "Configuration file 'nodes/pve1/qemu-server/777.conf' does not exist";
    assert_eq!(String::from_utf8(reason).unwrap(), text);
    assert_eq!(response.text().await.unwrap(), r#"{"data":null}"#);
}

#[tokio::test]
async fn a_node_alone_is_no_cluster() {
    let lab = Lab::of(Scenario::empty(&["pve"]), Auto::WhenWaiting).await;
    let status = lab.get("/cluster/status").await;
    assert_eq!(status.as_array().unwrap().len(), 1);
    assert_eq!((&status[0]["type"], &status[0]["nodeid"]), (&json!("node"), &json!(0)));
}

#[tokio::test]
async fn without_the_majority_nothing_is_cloned_but_lists_still_answer() {
    let lab = Lab::new(Auto::WhenWaiting).await;
    lab.simulator.switch_node("pve2", false).unwrap();
    let refused = lab.send(Method::POST, "/nodes/pve1/qemu/9000/clone", &[("newid", "500")]).await.unwrap();
    assert_eq!(refused.status(), 500);
    assert_eq!(lab.get("/cluster/status").await[0]["quorate"], 0);
    assert!(!lab.get("/cluster/resources?type=vm").await.as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_client_that_polls_sees_the_time_pass() {
    let lab = Lab::new(Auto::WhenPolled).await;
    let upid = lab.data(Method::POST, "/nodes/pve1/qemu/9000/clone", &[("newid", "500"), ("full", "1")]).await;
    let path = format!("/nodes/pve1/tasks/{}/status", upid.as_str().unwrap());
    let mut looks = 0;
    while lab.get(&path).await["status"] == "running" {
        looks += 1;
        assert!(looks < 100);
    }
    assert_eq!(lab.end_of(&upid).as_deref(), Some("OK"));
}

#[tokio::test]
async fn the_task_list_holds_twenty_five_less_what_runs() {
    let lab = Lab::new(Auto::WhenWaiting).await;
    for _ in 0..30 {
        lab.data(Method::POST, "/nodes/pve1/qemu/777/status/start", &[]).await;
    }
    lab.simulator.finish_tasks();
    assert_eq!(lab.get("/cluster/tasks").await.as_array().unwrap().len(), 25);
    for newid in ["500", "501"] {
        lab.data(Method::POST, "/nodes/pve1/qemu/9000/clone", &[("newid", newid), ("full", "1")]).await;
    }
    let list = lab.get("/cluster/tasks").await;
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 25);
    assert_eq!(list.iter().filter(|task| task.get("endtime").is_none()).count(), 2);
}

#[tokio::test]
async fn thousands_of_vms_are_listed_cheaply() {
    let mut scenario = Scenario::default().storage(StorageSpec::new("big", StorageKind::LvmThin, 100_000));
    scenario.vms =
        (10_000..15_000).map(|vmid| GuestSpec::new(vmid, &format!("vm{vmid}"), "pve1").disk("big", 4)).collect();
    let lab = Lab::of(scenario, Auto::WhenWaiting).await;
    let start = std::time::Instant::now();
    let list = lab.get("/cluster/resources?type=vm").await;
    let elapsed = start.elapsed();
    println!("5,000 VMs listed in {elapsed:?}");
    assert_eq!(list.as_array().unwrap().len(), 5_002);
    // A list that costs the square of its length would take minutes in this build.
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
}
