//! The simulated Proxmox as a process, over HTTPS.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Process;

/// How often it is asked again where it has no event to tell.
const AGAIN: Duration = Duration::from_millis(50);

/// A running `cloudfaster simulate-proxmox`.
pub struct Proxmox {
    pub url: String,
    pub fingerprint: String,
    client: reqwest::Client,
    before: Value,
    _directory: TempDir,
    _process: Process,
}

impl Proxmox {
    /// Starts one with this scenario.
    pub async fn start(scenario: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let scenario = scenario.display().to_string();
        let fingerprint_file = directory.path().join("fingerprint");
        let fingerprint = fingerprint_file.display().to_string();
        let arguments = ["simulate-proxmox", "--listen", "127.0.0.1:0", "--control", "--scenario", &scenario];
        let arguments = arguments.iter().copied().chain(["--fingerprint-file", &fingerprint]);
        let program = env!("CARGO_BIN_EXE_cloudfaster");
        let mut process = Process::start(directory.path(), "proxmox", program, arguments, &[]).await;
        let url = process
            .said("where it serves", |line| {
                let start = line.find("https://127.0.0.1:")?;
                line[start..].split([' ', '/', '\u{1b}']).nth(2).map(|address| format!("https://{address}"))
            })
            .await;
        // Its certificate was made a moment ago, by a child of the test, on this machine.
        let client = reqwest::Client::builder().danger_accept_invalid_certs(true).build().unwrap();
        let fingerprint = std::fs::read_to_string(&fingerprint_file).unwrap().trim().to_owned();
        let mut proxmox =
            Self { url, fingerprint, client, before: Value::Null, _directory: directory, _process: process };
        proxmox.before = proxmox.state().await;
        proxmox
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Value {
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "the simulator answers {}", answer.status());
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// Machines, volumes, running tasks.
    pub async fn state(&self) -> Value {
        self.ask(self.client.get(format!("{}/simulator/state", self.url))).await
    }

    /// Brings about a fault.
    pub async fn fault(&self, fault: Value) {
        let request = self.client.post(format!("{}/simulator/faults", self.url)).body(fault.to_string());
        self.ask(request).await;
    }

    /// Ends all faults.
    pub async fn mend(&self) {
        self.ask(self.client.delete(format!("{}/simulator/faults", self.url))).await;
    }

    /// The machines that were made since the start.
    pub async fn made(&self) -> Vec<Value> {
        let state = self.state().await;
        let old = vmids(&self.before);
        let vms = state["vms"].as_array().unwrap();
        vms.iter().filter(|vm| !old.contains(&vm["vmid"].as_u64().unwrap())).cloned().collect()
    }

    /// Waits until the state is so.
    pub async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let state = self.state().await;
                if holds(&state) {
                    return state;
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        match tokio::time::timeout(super::process::LIMIT, waiting).await {
            Ok(state) => state,
            Err(_) => panic!("in vain: {what}\n{:#}", self.state().await),
        }
    }

    /// Waits until so many machines were begun to be made since the start. That stays so, unlike their phases: a clone takes
    /// less time than a slow machine needs to start kubectl.
    pub async fn until_made(&self, count: usize) {
        let old = vmids(&self.before).len();
        self.until("machines are being made", |state| vmids(state).len() >= old + count).await;
    }

    /// Waits until everything is as at the start: no machine, no volume, no task more.
    pub async fn until_nothing_is_left(&self) {
        let same = |state: &Value, key: &str| state[key] == self.before[key];
        self.until("nothing is left", |state| {
            same(state, "vms") && same(state, "volumes") && state["runningTasks"] == json!([])
        })
        .await;
    }

    /// Each of these has exactly one machine, which runs, and no other machine and no volume without one is there.
    pub async fn assert_exactly(&self, names: &[&str]) {
        let state = self.state().await;
        let made = self.made().await;
        let mut found: Vec<_> = made.iter().map(|vm| vm["name"].as_str().unwrap().to_owned()).collect();
        found.sort_unstable();
        let mut expected: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        expected.sort_unstable();
        let owners = vmids(&state);
        let orphan = state["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|volume| !owners.contains(&volume["vmid"].as_u64().unwrap()));
        let right = found == expected
            && made.iter().all(|vm| vm["running"] == json!(true))
            && orphan.is_none()
            && state["runningTasks"] == json!([]);
        assert!(right, "not exactly one machine each for {names:?}\n{state:#}");
    }
}

fn vmids(state: &Value) -> Vec<u64> {
    state["vms"].as_array().unwrap().iter().filter_map(|vm| vm["vmid"].as_u64()).collect()
}
