//! The simulator over HTTPS: what a client that does not know it sees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use cloudfaster::simulator::{Auto, ClockMode, Effect, Fault, Scenario, Server, Simulator};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

struct Lab {
    simulator: Simulator,
    server: Server,
    client: Client,
}

impl Lab {
    async fn new(auto: Auto) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let simulator = Simulator::new(Scenario::default().clock(ClockMode::Virtual(auto)));
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
    lab.simulator.add_vm(&cloudfaster::simulator::GuestSpec::new(300, "vm", "pve1"));
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
