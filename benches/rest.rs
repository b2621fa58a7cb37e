//! The REST shim under load, with all that is behind it in this process: the embedded control plane, the controller, and a
//! simulated Proxmox of four nodes over HTTPS. `POST /vm` at a steady rate, each answer's parts told, then `GET /vm/{vm_id}`
//! as fast as it goes.
//!
//! `cargo bench --bench rest`; `BENCH_RATE` (50) a second for `BENCH_SECONDS` (60).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cloudfaster::{
    api::{self, ProxmoxCluster, ProxmoxVM},
    controller,
    rest::{self, Listener},
    simulator::{ClockMode, GuestSpec, NodeSpec, Scenario, Simulator, StorageKind, StorageSpec},
    standalone::ControlPlane,
    telemetry::Telemetry,
};
use futures::{StreamExt, future::join_all};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::PostParams,
    runtime::{WatchStreamExt, watcher},
};
use mimalloc::MiMalloc;
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const KEY: &str = "the benchmark's key";
const READERS: usize = 16;
const READING: Duration = Duration::from_secs(5);

/// As the program has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(clap::Parser)]
struct Arguments {
    #[command(flatten)]
    settings: rest::Settings,
}

/// When what was first seen of a machine, by its name.
#[derive(Clone, Copy, Default)]
struct Seen {
    created: Option<Instant>,
    placed: Option<Instant>,
    held: Option<Instant>,
}

#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().expect("nobody else names a provider");
    let (rate, seconds) = (setting("BENCH_RATE", 50), setting("BENCH_SECONDS", 60));
    let stop = CancellationToken::new();
    let folder = tempfile::tempdir().unwrap();
    let plane = ControlPlane::open(folder.path(), api::crds(), stop.clone()).await.unwrap();
    let client = Client::new(plane.router(), "default");
    let simulator = Simulator::new(scenario());
    let proxmox = simulator.serve(LISTEN).await.unwrap();
    let settings =
        controller::Settings { operator_namespace: "cloudfaster-system".to_owned(), ..controller::Settings::default() };
    set_up(&client, &proxmox.url(), proxmox.fingerprint()).await;
    tokio::spawn(controller::run(settings, client.clone(), Telemetry::default(), None, stop.clone()));
    let arguments = ["rest", "--rest-requests-per-second=0"];
    let settings = <Arguments as clap::Parser>::parse_from(arguments).settings;
    let listener = Listener::bind(LISTEN, &settings).await.unwrap();
    let url = listener.url();
    tokio::spawn(rest::run(listener, settings, client.clone(), Telemetry::default(), stop.clone()));
    let seen = follow(&client);
    let http = reqwest::Client::new();
    until_ready(&http, &url, &client).await;

    println!("POST /vm {rate} a second for {seconds} s");
    simulator.forget_requests();
    let (begun, written) = (Instant::now(), version(&client).await);
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(rate).unwrap());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut requests = Vec::new();
    for number in 0..rate * seconds {
        ticks.tick().await;
        requests.push(tokio::spawn(post(http.clone(), url.clone(), number)));
    }
    let answers: Vec<_> = join_all(requests).await.into_iter().map(Result::unwrap).collect();
    let took = begun.elapsed().as_secs_f64();
    let made: Vec<_> = answers.iter().filter(|answer| answer.vm_id.is_some()).collect();
    println!("  {} of {} answered 201 in {took:.1} s", made.len(), answers.len());
    let seen = seen.lock().clone();
    let part = |name: &str, from: fn(&Answer, &Seen) -> Option<Instant>, to: fn(&Answer, &Seen) -> Option<Instant>| {
        let times = made.iter().filter_map(|answer| {
            let seen = seen.get(&answer.name)?;
            Some(to(answer, seen)?.saturating_duration_since(from(answer, seen)?))
        });
        quantiles(name, times.collect());
    };
    part("answer", |answer, _| Some(answer.asked), |answer, _| Some(answer.answered));
    part("- object created", |answer, _| Some(answer.asked), |_, seen| seen.created);
    part("- placed by the controller", |_, seen| seen.created, |_, seen| seen.placed);
    part("- number held by Proxmox", |_, seen| seen.placed, |_, seen| seen.held);
    part("- answered", |_, seen| seen.held, |answer, _| Some(answer.answered));

    at_rest(&client).await;
    println!("  all ready after {:.1} s; for each of them", begun.elapsed().as_secs_f64());
    let each = |count: u64| count as f64 / made.len() as f64;
    println!("  - {:.1} writes to Kubernetes", each(version(&client).await - written));
    let asked = simulator.request_counts();
    println!("  - {:.1} requests to Proxmox", each(asked.values().sum()));
    for (what, count) in asked.iter().filter(|(_, count)| each(**count) >= 0.1) {
        println!("    {:5.1} {what}", each(*count));
    }
    let numbers: Arc<Vec<String>> = Arc::new(made.iter().filter_map(|answer| answer.vm_id.clone()).collect());
    let read = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let readers = (0..READERS).map(|reader| {
        let (http, url, numbers, read) = (http.clone(), url.clone(), numbers.clone(), read.clone());
        tokio::spawn(async move {
            for number in numbers.iter().cycle().skip(reader) {
                let request = http.get(format!("{url}/vm/{number}")).header("X-API-Key", KEY);
                let answer = request.send().await.unwrap();
                assert!(answer.status().is_success(), "{}", answer.status());
                answer.bytes().await.unwrap();
                read.fetch_add(1, Ordering::Relaxed);
                if begun.elapsed() > READING {
                    return;
                }
            }
        })
    });
    join_all(readers).await;
    let read = read.load(Ordering::Relaxed);
    println!("GET /vm/{{vm_id}}: {:.0} a second, {READERS} at a time", read as f64 / begun.elapsed().as_secs_f64());
    stop.cancel();
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Four nodes with room for everything, whose clones take a moment.
fn scenario() -> Scenario {
    let names = ["pve1", "pve2", "pve3", "pve4"];
    let mut scenario = Scenario::empty(&names);
    scenario.nodes =
        names.iter().map(|name| NodeSpec { memory_mib: 64 << 20, cpus: 4096, ..NodeSpec::new(name) }).collect();
    scenario.storages = vec![StorageSpec::new("local-lvm", StorageKind::LvmThin, 1 << 20)];
    let templates = names.iter().zip(9001..);
    scenario.templates = templates
        .map(|(node, vmid)| GuestSpec::new(vmid, "debian12", node).disk("local-lvm", 1).tags("template"))
        .collect();
    scenario.clock = ClockMode::Scaled(1000.0);
    scenario
}

async fn set_up(client: &Client, endpoint: &str, fingerprint: &str) {
    let namespaces = Api::<Namespace>::all(client.clone());
    for name in ["cloudfaster-system", rest::NAMESPACE, rest::USERS_NAMESPACE] {
        let namespace = json!({"metadata": {"name": name, "labels": {rest::LABEL: "true"}}});
        namespaces.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap()).await.unwrap();
    }
    let token = json!({"tokenId": Scenario::TOKEN_ID, "tokenSecret": Scenario::TOKEN_SECRET});
    let key = json!({"hash": hex::encode(Sha256::digest(KEY)), "owner": "the benchmark", "scopes": "admin"});
    for (namespace, name, data) in [("cloudfaster-system", "proxmox", token), (rest::NAMESPACE, "key", key)] {
        let metadata = json!({"name": name, "labels": {"cloudfaster.app/api-key": "true"}});
        let secret = serde_json::from_value(json!({"metadata": metadata, "stringData": data})).unwrap();
        Api::<Secret>::namespaced(client.clone(), namespace).create(&PostParams::default(), &secret).await.unwrap();
    }
    let cluster = json!({
        "apiVersion": "cloudfaster.app/v1alpha1",
        "kind": "ProxmoxCluster",
        "metadata": {"name": "main"},
        "spec": {
            "endpoints": [endpoint],
            "credentials": {"secretRef": {"name": "proxmox"}},
            "tls": {"fingerprints": [fingerprint]},
            "nodes": [{"name": "pve1"}, {"name": "pve2"}, {"name": "pve3"}, {"name": "pve4"}],
            "templates": [{"os": "DEBIAN12", "name": "debian12"}],
            "vmidRanges": [{"os": "DEBIAN12", "from": 10_000, "to": 99_999}],
            "clones": {"perNode": 1000, "perTemplate": 1000},
            "tenants": [{"namespaceSelector": {"matchLabels": {rest::LABEL: "true"}}}],
        },
    });
    let cluster: ProxmoxCluster = serde_json::from_value(cluster).unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &cluster).await.unwrap();
}

/// Counts what was written to the control plane.
async fn version(client: &Client) -> u64 {
    let list = Api::<Namespace>::all(client.clone()).list(&Default::default()).await.unwrap();
    list.metadata.resource_version.unwrap().parse().unwrap()
}

/// Waits until every machine is as it was asked for: nothing else is done then.
async fn at_rest(client: &Client) {
    let machines = Api::<ProxmoxVM>::all(client.clone());
    loop {
        let all = machines.list(&Default::default()).await.unwrap();
        let ready = |vm: &ProxmoxVM| {
            let conditions = vm.status.iter().flat_map(|status| &status.conditions);
            conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        if all.items.iter().all(ready) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until the cluster is Ready and the key opens.
async fn until_ready(http: &reqwest::Client, url: &str, client: &Client) {
    loop {
        let cluster = Api::<ProxmoxCluster>::all(client.clone()).get("main").await.unwrap();
        let conditions = cluster.status.map(|status| status.conditions).unwrap_or_default();
        let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let answer = http.get(format!("{url}/protected")).header("X-API-Key", KEY).send().await.unwrap();
        if ready && answer.status().is_success() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Notes when what is first seen of each machine.
fn follow(client: &Client) -> Arc<Mutex<HashMap<String, Seen>>> {
    let seen: Arc<Mutex<HashMap<String, Seen>>> = Arc::default();
    let (noted, api) = (seen.clone(), Api::<ProxmoxVM>::all(client.clone()));
    tokio::spawn(async move {
        let mut events = watcher(api, watcher::Config::default()).applied_objects().boxed();
        while let Some(Ok(vm)) = events.next().await {
            let name = vm.annotations().get("cloudfaster.app/vm-name").cloned().unwrap_or_default();
            let now = Instant::now();
            let mut noted = noted.lock();
            let seen = noted.entry(name).or_default();
            seen.created.get_or_insert(now);
            let status = vm.status.unwrap_or_default();
            if status.vmid.is_some() {
                seen.placed.get_or_insert(now);
            }
            if status.task.is_some() || status.power_state.is_some() {
                seen.held.get_or_insert(now);
            }
        }
    });
    seen
}

/// What became of a request.
struct Answer {
    name: String,
    asked: Instant,
    answered: Instant,
    vm_id: Option<String>,
}

async fn post(http: reqwest::Client, url: String, number: u64) -> Answer {
    let name = format!("vm-{number}");
    let form = format!("userid={}&vm_name={name}&os=DEBIAN12&disksize=10&cores=1&memory=1024", number % 100);
    let asked = Instant::now();
    let request = http.post(format!("{url}/vm")).header("X-API-Key", KEY);
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    let answered = Instant::now();
    let body: Value = serde_json::from_str(&text).unwrap();
    let vm_id = body["vm_id"].as_str().map(str::to_owned);
    if vm_id.is_none() {
        println!("  {name}: {status} {text}");
    }
    Answer { name, asked, answered, vm_id }
}

fn quantiles(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: f64| {
        let index = (times.len() as f64 * part) as usize;
        times.get(index.min(times.len().saturating_sub(1))).copied().unwrap_or_default().as_secs_f64() * 1000.0
    };
    println!("  {name:28} p50 {:8.1} ms   p99 {:8.1} ms   max {:8.1} ms", at(0.5), at(0.99), at(1.0));
}
