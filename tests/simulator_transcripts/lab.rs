//! The laboratory in which the exchanges were recorded: its requests, and what was done by hand between them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cloudfaster::simulator::{AclSpec, Effect, Fault, NodeTrouble, Scenario, Server, Simulator};
use hyper::ext::ReasonPhrase;
use regex::Regex;
use reqwest::{Client, Method};
use serde_json::Value;

use crate::compare::Compare;
use crate::setup::{scenario, usual};

pub struct Lab {
    topic: String,
    release: String,
    simulator: Simulator,
    servers: BTreeMap<String, Server>,
    clients: BTreeMap<String, Client>,
    compare: Compare,
    /// UPIDs and digests: recorded to ours.
    mapped: BTreeMap<String, String>,
    known: BTreeSet<String>,
    upid: Regex,
}

impl Lab {
    pub async fn new(release: &str, topic: &Value) -> Self {
        let name = topic["topic"].as_str().unwrap();
        let simulator = Simulator::new(scenario(release, name, topic));
        let servers: BTreeMap<String, Server> = simulator.serve_on_nodes().await.unwrap().into_iter().collect();
        let clients = servers
            .iter()
            .map(|(node, server)| {
                let authority = reqwest::Certificate::from_pem(server.ca_pem().as_bytes()).unwrap();
                (node.clone(), Client::builder().tls_certs_only([authority]).build().unwrap())
            })
            .collect();
        let mut known = BTreeSet::from(["node/pve1".to_owned(), "node/pve2".to_owned()]);
        if simulator.vm(9000).is_some() {
            known.extend(["qemu/9000".to_owned(), "9000".to_owned()]);
        }
        let read = Regex::new(r"/qemu/(\d+)/config").unwrap();
        for exchange in topic["exchanges"].as_array().unwrap().iter().filter(|exchange| exchange["status"] == 200) {
            let request = exchange["request"].as_str().unwrap_or_default();
            if let Some(found) = read.captures(request).filter(|_| request.starts_with("GET")) {
                known.extend([format!("qemu/{}", &found[1]), found[1].to_owned()]);
            }
        }
        match name {
            // A killed clone left its disk.
            "04b-clone-stopped" => simulator.add_volume("data2:112/vm-112-disk-0.qcow2", "pve1", 112, 1),
            // A resize without quorum had grown the image, not the configuration.
            "10-snapshot" => simulator.add_volume("data2:101/vm-101-disk-0.qcow2", "pve1", 101, 8),
            "16-node-down-quorum" if release == "9.2" => {
                for (key, file) in [("ide2", "vm-104-cloudinit.raw,media=cdrom"), ("scsi0", "vm-104-disk-0.raw")] {
                    simulator.set_option(104, key, Some(&format!("local:104/{file}"))).unwrap();
                }
            }
            _ => {}
        }
        Self {
            topic: name.into(),
            release: release.into(),
            simulator,
            servers,
            clients,
            compare: Compare::new(),
            mapped: BTreeMap::new(),
            known,
            upid: Regex::new(r"UPID(?::|%3A)[^/]*").unwrap(),
        }
    }

    /// What was done by hand before an exchange.
    fn intervene(&self, number: usize) {
        let simulator = &self.simulator;
        let fault = |effect| simulator.fault(Fault::new(effect).node("pve2")).unwrap();
        match (self.topic.as_str(), number) {
            ("04-clone-in-flight", 2) => simulator.advance(Duration::from_secs(2)),
            ("05-clone-other-node", 26) => simulator.advance(Duration::from_secs(10)),
            ("12-delete", 9) => {
                simulator.add_volume("data2:140/vm-140-disk-1.raw", "pve1", 140, 1);
                simulator.set_option(140, "unused0", Some("data2:140/vm-140-disk-1.raw")).unwrap();
            }
            ("12-delete", 32) if self.release == "8.4" => self.broken_vm(),
            ("12-delete", 34) if self.release == "9.2" => self.broken_vm(),
            ("09-power", 49) if self.release == "8.4" => simulator.advance(Duration::from_secs(3)),
            // On 8.4 the clone ended while the resize waited for its lock.
            ("04-clone-in-flight", 18) if self.release == "8.4" => simulator.advance(Duration::from_secs(40)),
            ("04-clone-in-flight", 24) if self.release == "8.4" => simulator.finish_tasks(),
            ("04-clone-in-flight", 35) => {
                simulator.advance(Duration::from_secs(15));
                let task = simulator.running_tasks().into_iter().find(|task| task.kind == "qmclone").unwrap();
                simulator.kill_task(&task.upid);
            }
            ("09-power", 9) => simulator.advance(Duration::from_secs(12)),
            ("09-power", 45) => simulator.advance(Duration::from_secs(12)),
            ("09-power", 50) => simulator.advance(Duration::from_secs(3)),
            ("09-power", 62) => simulator.advance(Duration::from_secs(12)),
            ("09-power", 92) => {
                simulator.set_option(101, "net0", Some("virtio=BC:24:11:00:00:02,bridge=nosuch")).unwrap()
            }
            ("09-power", 96) => {
                simulator.set_option(101, "net0", Some("virtio=BC:24:11:00:00:02,bridge=vmbr0")).unwrap();
                simulator.set_option(101, "cores", Some("500")).unwrap();
            }
            ("09-power", 100) => {
                simulator.set_option(101, "cores", Some("1")).unwrap();
                simulator.set_option(101, "memory", Some("9000000")).unwrap();
            }
            ("09-power", 104) => simulator.set_option(101, "memory", Some("192")).unwrap(),
            ("14-permissions-minimal", _) => self.grant(number),
            ("17-extras", 34) => simulator.set_running(180, false).unwrap(),
            ("20-migrate-console-pool", 5) => simulator.move_vm(750, "pve2").unwrap(),
            ("20-migrate-console-pool", 7) => simulator.advance(Duration::from_secs(10)),
            ("20-migrate-console-pool", 20) if self.release == "9.2" => simulator.advance(Duration::from_secs(10)),
            ("16-node-down-quorum", 0) => {
                fault(Effect::NodeDown { trouble: NodeTrouble::DaemonDown });
                if self.release == "9.2" {
                    simulator.set_running(101, true).unwrap();
                }
                simulator.advance(Duration::from_secs(60));
            }
            ("16-node-down-quorum", 5) => {
                simulator.clear_faults();
                fault(Effect::NodeDown { trouble: NodeTrouble::Refused });
            }
            ("16-node-down-quorum", 8) if self.release == "9.2" => {
                simulator.clear_faults();
                fault(Effect::NodeDown { trouble: NodeTrouble::TimedOut });
            }
            ("16-node-down-quorum", 8 | 9) | ("18-offline-node-vms", 7) => {
                simulator.clear_faults();
                fault(Effect::NodeDown { trouble: NodeTrouble::NoRoute });
                if number != 8 {
                    simulator.advance(Duration::from_secs(12));
                }
            }
            ("16-node-down-quorum", 32) | ("18-offline-node-vms", 14) => simulator.clear_faults(),
            ("18-offline-node-vms", 6 | 15) => simulator.advance(Duration::from_secs(12)),
            _ => {}
        }
    }

    /// A guest whose disk is missing.
    fn broken_vm(&self) {
        self.simulator.add_vm(&usual(141, "del2", "1G"));
        self.simulator.remove_volume("data2:141/vm-141-disk-0.qcow2");
    }

    /// The rights that the token of the topic on minimal rights got, one after the other.
    fn grant(&self, number: usize) {
        let grant = |role: &str, privileges: &[&str], path: &str| {
            self.simulator.set_role(role, privileges);
            self.simulator.grant(AclSpec::new(path, "m@pve", role));
        };
        match number {
            0 => grant("Cloner", &["VM.Clone"], "/vms/9000"),
            1 => grant("Allocator", &["VM.Allocate"], "/vms/151"),
            2 => grant("Space", &["Datastore.AllocateSpace"], "/storage/data2"),
            3 => grant("Bridge", &["SDN.Use"], "/sdn/zones/localnetwork/vmbr0"),
            10 => grant("Cpu", &["VM.Config.CPU", "VM.Allocate", "VM.Audit"], "/vms/151"),
            _ => {}
        }
    }

    /// Clones that were made without being recorded, or beside what was.
    async fn clone_beside(&mut self, newid: &str, more: &str, recorded: &[(usize, usize)], topic: &Value) {
        let mut ours = Vec::new();
        let url = format!("{}/api2/json/nodes/pve1/qemu/9000/clone", self.servers["pve1"].url());
        for _ in recorded {
            let request = self.clients["pve1"].post(&url).header("Authorization", "PVEAPIToken=op@pve!full=s");
            let request = request.header("Content-Type", "application/x-www-form-urlencoded");
            let text = request.body(format!("newid={newid}{more}")).send().await.unwrap().text().await.unwrap();
            let answer: Value = serde_json::from_str(&text).unwrap();
            ours.push(answer["data"].as_str().unwrap().to_owned());
        }
        self.simulator.finish_tasks();
        for (number, index) in recorded {
            let request = topic["exchanges"][*number]["request"].as_str().unwrap();
            let found = self.upid.find(request).unwrap().as_str();
            let upid = percent_encoding::percent_decode_str(found).decode_utf8().unwrap().into_owned();
            self.mapped.insert(upid, ours[*index].clone());
        }
    }

    async fn prepare(&mut self, number: usize, topic: &Value) {
        match (self.topic.as_str(), number) {
            ("17-extras", 0) => self.clone_beside("180", "&full=1&storage=data2&name=extra", &[(0, 0)], topic).await,
            ("17-extras", 53) => {
                // Of two clones to one id the first to get the lock wins; which one that is differs.
                let first_wins = topic["exchanges"][53]["body"]["data"]["exitstatus"] == "OK";
                let pairs = if first_wins { [(53, 0), (55, 1)] } else { [(53, 1), (55, 0)] };
                let name = topic["exchanges"][57]["body"]["data"]["name"].as_str().unwrap();
                self.clone_beside("181", &format!("&name={name}"), &pairs, topic).await;
            }
            _ => {}
        }
    }

    /// Sends a recorded request and compares the answer.
    pub async fn replay(&mut self, number: usize, topic: &Value) -> Result<(), String> {
        let exchange = &topic["exchanges"][number];
        self.prepare(number, topic).await;
        self.intervene(number);
        self.simulator.advance(Duration::from_millis(30));
        let target = exchange.get("target").and_then(Value::as_str);
        let (method, path) = exchange["request"].as_str().unwrap().split_once(' ').unwrap();
        let path = self.ours(target.unwrap_or(path));
        let ended = exchange["body"]["data"]["status"] == "stopped" || exchange["body"]["data"][0].get("t").is_some();
        if ended && path.contains("/tasks/") && !still_running(exchange) {
            self.finish(&path);
        }
        let who = exchange["as_user"].as_str().unwrap();
        let node = if who.contains("asked at pve2") { "pve2" } else { "pve1" };
        let mut url = format!("{}{path}", self.servers[node].url());
        let in_query = matches!(method, "GET" | "DELETE") && target.is_none() && exchange["content_type"].is_null();
        if in_query && exchange["params"].is_object() {
            url = format!("{url}?{}", self.form(&exchange["params"]));
        }
        let mut request = self.clients[node].request(Method::from_bytes(method.as_bytes()).unwrap(), url);
        request = self.authorize(request, who, exchange["note"].as_str().unwrap_or_default(), method).await;
        let kind = exchange.get("content_type").and_then(Value::as_str);
        let params = &exchange["params"];
        let in_body = matches!(method, "POST" | "PUT" | "PATCH") || (target.is_none() && kind.is_some());
        if in_body && !params.is_null() {
            request = request.header("Content-Type", kind.unwrap_or("application/x-www-form-urlencoded"));
            request = request.body(match (params, kind) {
                (Value::String(raw), _) => raw.clone(),
                (params, Some("application/json")) => params.to_string(),
                (params, _) => self.form(params),
            });
        }
        let response = request.send().await.map_err(|error| format!("no answer: {error:?}"))?;
        let status = response.status();
        let phrase = response
            .extensions()
            .get::<ReasonPhrase>()
            .map(|phrase| String::from_utf8_lossy(phrase.as_bytes()).into_owned());
        let reason = phrase.or(status.canonical_reason().map(str::to_owned)).unwrap_or_default();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        // What this answer names is compared by its shape, and mapped from now on.
        let recorded = self.translated(&exchange["body"]);
        self.learn(&exchange["body"], &body);
        if exchange["status"] != status.as_u16() {
            return Err(format!(
                "status: recorded {} {}, ours {status} {reason} {body}",
                exchange["status"], exchange["reason"]
            ));
        }
        self.compare.reason(exchange["reason"].as_str().unwrap(), &reason)?;
        self.compare.body(&recorded, &body, &self.known)
    }

    async fn authorize(
        &self,
        request: reqwest::RequestBuilder,
        who: &str,
        note: &str,
        method: &str,
    ) -> reqwest::RequestBuilder {
        let token = |text: &str| format!("PVEAPIToken={text}");
        let header = match who.split(' ').next().unwrap() {
            "(nobody)" => return request,
            "(wrong" => token("op@pve!full=wrong"),
            "(unknown" if who.contains("user") => token("nobody@pve!full=s"),
            "(unknown" => token("op@pve!nosuch=s"),
            "(malformed" => token("garbage"),
            "forged" => return request.header("Cookie", "PVEAuthCookie=PVE:root@pam:00000000::forged"),
            "root" | "root@pam" => {
                let (ticket, csrf) = self.login().await;
                let request = request.header("Cookie", format!("PVEAuthCookie={ticket}"));
                return match who {
                    _ if method == "GET" || who.contains("no CSRF") => request,
                    _ if who.contains("wrong CSRF") => request.header("CSRFPreventionToken", "wrong"),
                    _ => request.header("CSRFPreventionToken", csrf),
                };
            }
            "m@pve!t" => token("m@pve!tok=s"),
            "token" if note.starts_with("blank") => "PVEAPIToken op@pve!full=s".to_owned(),
            "token" => "Bearer op@pve!full=s".to_owned(),
            id => token(&format!("{id}=s")),
        };
        request.header("Authorization", header)
    }

    async fn login(&self) -> (String, String) {
        let url = format!("{}/api2/json/access/ticket", self.servers["pve1"].url());
        let body = format!("username=root@pam&password={}", Scenario::ROOT_PASSWORD);
        let request = self.clients["pve1"].post(url).header("Content-Type", "application/x-www-form-urlencoded");
        let text = request.body(body).send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        let word = |key: &str| answer["data"][key].as_str().unwrap().to_owned();
        (word("ticket"), word("CSRFPreventionToken"))
    }

    fn form(&self, params: &Value) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (key, value) in params.as_object().unwrap() {
            let mut text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            // The digest of a configuration that was read without being recorded.
            if key == "digest" && text.len() == 40 && !text.starts_with("0000") {
                text = self.simulator.vm(101).unwrap().digest;
            }
            form.append_pair(key, self.mapped.get(&text).unwrap_or(&text));
        }
        form.finish()
    }

    /// The path with our task's id in place of the recorded one.
    fn ours(&self, path: &str) -> String {
        let Some(found) = self.upid.find(path) else { return path.to_owned() };
        let recorded = percent_encoding::percent_decode_str(found.as_str()).decode_utf8().unwrap().into_owned();
        let Some(ours) = self.mapped.get(&recorded) else { return path.to_owned() };
        path.replace(found.as_str(), &ours.replace(':', "%3A").replace('@', "%40").replace('!', "%21"))
    }

    /// A recorded value with our task ids in place of the recorded ones.
    fn translated(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::from(self.mapped.get(text).unwrap_or(text).as_str()),
            Value::Array(list) => list.iter().map(|item| self.translated(item)).collect(),
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), self.translated(value))).collect(),
            other => other.clone(),
        }
    }

    fn finish(&self, path: &str) {
        let Some(found) = self.upid.find(path) else { return };
        let upid = percent_encoding::percent_decode_str(found.as_str()).decode_utf8().unwrap().into_owned();
        let runs = || self.simulator.running_tasks().iter().any(|task| task.upid == upid);
        while runs() && self.simulator.advance_to_next_event() {}
    }

    /// Pairs what the two answers name: task ids and digests.
    fn learn(&mut self, recorded: &Value, ours: &Value) {
        let pairs = [(&recorded["data"], &ours["data"]), (&recorded["data"]["digest"], &ours["data"]["digest"])];
        for (recorded, ours) in pairs {
            if let (Value::String(recorded), Value::String(ours)) = (recorded, ours)
                && (recorded.starts_with("UPID:") || recorded.len() == 40)
            {
                self.known.insert(ours.clone());
                self.mapped.insert(recorded.clone(), ours.clone());
            }
        }
    }
}

/// A log that was read while its task ran has no last line of the task.
fn still_running(exchange: &Value) -> bool {
    let lines = exchange["body"]["data"].as_array();
    lines.is_some_and(|lines| {
        let last = lines.last().and_then(|line| line["t"].as_str()).unwrap_or_default();
        !last.starts_with("TASK ")
    })
}
