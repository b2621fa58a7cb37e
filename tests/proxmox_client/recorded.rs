//! Every recorded answer of Proxmox VE 8.4 and 9.2 to a call of ours, through the client.

use std::sync::Arc;

use cloudfaster::proxmox::{
    client::{Client, CloneRequest, ConfigChange, ConfigView, Destroy, Error, Result, Shutdown},
    wire::{Upid, VmConfig},
};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::server::{PveServer, Reply};

/// A recorded request to one of our calls, and its answer.
#[derive(Debug)]
struct Exchange {
    name: String,
    method: String,
    path: Vec<String>,
    params: Value,
    status: u16,
    reason: String,
    body: String,
    data: Value,
}

fn exchanges(version: &str) -> Vec<Exchange> {
    let folder = format!("{}/tests/fixtures/pve/{version}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let topic: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for (at, exchange) in topic["exchanges"].as_array().unwrap().iter().enumerate() {
            let (Some(request), Some(status)) = (exchange["request"].as_str(), exchange["status"].as_u64()) else {
                continue;
            };
            let (method, path) = request.split_once(" /api2/json").unwrap();
            let path = path.split('?').next().unwrap();
            let body = match &exchange["body"] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            all.push(Exchange {
                name: format!("{version} {} #{at} {request}", topic["topic"]),
                method: method.to_owned(),
                path: path
                    .split('/')
                    .skip(1)
                    .map(|part| percent_decode_str(part).decode_utf8().unwrap().into_owned())
                    .collect(),
                params: exchange["params"].clone(),
                status: status as u16,
                reason: exchange["reason"].as_str().unwrap_or_default().to_owned(),
                body,
                data: exchange["body"]["data"].clone(),
            });
        }
    }
    all
}

/// Makes the call that the exchange is about; `None` if it is none of ours. Says whether the result fits.
async fn call(client: &Client, exchange: &Exchange) -> Option<Result<bool>> {
    let data = &exchange.data;
    let list = data.as_array().map_or(0, Vec::len);
    let path: Vec<_> = exchange.path.iter().map(String::as_str).collect();
    let vmid = || path[3].parse::<u32>().ok();
    let upid = |result: Result<Upid>| result.map(|upid| data == upid.as_str());
    Some(match (exchange.method.as_str(), path.as_slice()) {
        ("GET", ["version"]) => client.version().await.map(|version| data["version"] == version.version.as_str()),
        ("GET", ["cluster", "status"]) => {
            client.cluster_status().await.map(|status| status.nodes.len() + usize::from(status.name.is_some()) == list)
        }
        ("GET", ["cluster", "resources"]) => client.resources().await.map(|all| {
            all.len() == list
                && all.iter().all(|entry| !entry.kind.is_empty())
                && all.iter().filter(|entry| entry.vmid.is_some()).count()
                    == data.as_array().unwrap().iter().filter(|entry| entry["vmid"].is_u64()).count()
        }),
        ("GET", ["cluster", "tasks"]) => client.tasks().await.map(|all| all.len() == list),
        ("GET", ["access", "permissions"]) => {
            client.permissions().await.map(|all| all.len() == data.as_object().unwrap().len())
        }
        ("GET", ["nodes", node, "storage"]) => client
            .node_storages(node)
            .await
            .map(|all| all.len() == list && all.iter().all(|storage| storage.avail.is_some())),
        ("GET", ["nodes", node, "storage", storage, "content"]) => client
            .storage_content(node, storage, None)
            .await
            .map(|all| all.len() == list && all.iter().all(|volume| volume.size.is_some())),
        ("DELETE", ["nodes", node, "storage", _, "content", volid]) => client
            .delete_volume(node, volid)
            .await
            .map(|upid| upid.map(|upid| upid.to_string()).as_deref() == data.as_str()),
        ("GET", ["nodes", node, "qemu", _, "config"]) => {
            client.vm_config(node, vmid()?, ConfigView::Current).await.map(|config| holds_everything(&config, data))
        }
        ("GET", ["nodes", node, "qemu", _, "pending"]) => {
            client.vm_pending(node, vmid()?).await.map(|all| all.len() == list)
        }
        ("GET", ["nodes", node, "qemu", _, "status", "current"]) => {
            client.vm_status_current(node, vmid()?).await.map(|status| data["status"] == status.status.as_str())
        }
        ("GET", ["nodes", node, "qemu", _, "agent", "network-get-interfaces"]) => {
            client.agent_interfaces(node, vmid()?).await.map(|all| !all.addresses().is_empty())
        }
        ("GET", ["nodes", _, "tasks", task, "status"]) => {
            client.task_status(&task.parse().ok()?).await.map(|status| status.end() == data["exitstatus"].as_str())
        }
        ("GET", ["nodes", _, "tasks", task, "log"]) => {
            client.task_log(&task.parse().ok()?, 0, 500).await.map(|lines| lines.len() == list)
        }
        ("DELETE", ["nodes", _, "tasks", task]) => client.stop_task(&task.parse().ok()?).await.map(|()| true),
        ("POST", ["nodes", node, "qemu", _, "clone"]) => {
            upid(client.clone_vm(node, vmid()?, &CloneRequest::default()).await)
        }
        ("PUT", ["nodes", node, "qemu", _, "config"]) => {
            client.update_config(node, vmid()?, &ConfigChange::default()).await.map(|()| data.is_null())
        }
        ("PUT", ["nodes", node, "qemu", _, "resize"]) => upid(client.resize(node, vmid()?, "scsi0", 1 << 30).await),
        ("POST", ["nodes", node, "qemu", _, "status", "start"]) => upid(client.start(node, vmid()?).await),
        ("POST", ["nodes", node, "qemu", _, "status", "stop"]) => upid(client.stop(node, vmid()?, false).await),
        ("POST", ["nodes", node, "qemu", _, "status", "shutdown"]) => {
            upid(client.shutdown(node, vmid()?, Shutdown::default()).await)
        }
        ("POST", ["nodes", node, "qemu", _, "status", "resume"]) => upid(client.resume(node, vmid()?).await),
        ("DELETE", ["nodes", node, "qemu", _]) => upid(client.destroy(node, vmid()?, Destroy::default()).await),
        _ => return None,
    })
}

fn holds_everything(config: &VmConfig, data: &Value) -> bool {
    data.as_object().unwrap().iter().all(|(key, value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        config.get(key) == Some(text.as_str())
    })
}

/// How many answers of either kind were understood.
async fn replay(version: &str) -> (usize, usize) {
    let reply = Arc::new(Mutex::new(Reply::Lost));
    let planned = reply.clone();
    let server = PveServer::start(move |_| planned.lock().clone()).await;
    let client = server.client();
    let (mut answers, mut refusals) = (0, 0);
    for exchange in exchanges(version) {
        *reply.lock() = Reply::refusal(exchange.status, &exchange.reason, &exchange.body);
        let name = &exchange.name;
        match call(&client, &exchange).await {
            None => {}
            Some(Ok(fits)) => {
                assert!(fits, "{name}: {}", exchange.data);
                assert_eq!(exchange.status, 200, "{name}");
                answers += 1;
            }
            Some(Err(Error::Api(refusal))) => {
                assert_eq!(refusal.status, exchange.status, "{name}");
                assert_eq!(refusal.text, exchange.reason, "{name}");
                let recorded = serde_json::from_str::<Value>(&exchange.body).unwrap_or_default();
                let fields = recorded["errors"].as_object().map_or(0, |fields| fields.len());
                assert_eq!(refusal.fields.len(), fields, "{name}");
                refusals += 1;
            }
            Some(Err(error)) => panic!("{name} {}: {error:?}", exchange.params),
        }
    }
    (answers, refusals)
}

#[tokio::test]
async fn answers_of_proxmox_8_4_are_understood() {
    let (answers, refusals) = replay("8.4").await;
    println!("{answers} answers, {refusals} refusals");
    assert!(answers > 500 && refusals > 170, "{answers} {refusals}");
}

#[tokio::test]
async fn answers_of_proxmox_9_2_are_understood() {
    let (answers, refusals) = replay("9.2").await;
    println!("{answers} answers, {refusals} refusals");
    assert!(answers > 500 && refusals > 170, "{answers} {refusals}");
}
