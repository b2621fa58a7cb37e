//! The built program, killed with `kill -9` at random moments, its data directory kept.

use std::{path::Path, process::Stdio, time::Duration};

use cloudfaster::{
    api::{ProxmoxCluster, ProxmoxVM, conditions},
    simulator::{Scenario, Simulator},
};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{WatchStreamExt, watcher},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::support::{cluster, lab, machine, small, start};

const KILLS: u32 = 8;
const NAMES: [&str; 3] = ["one", "two", "three"];
const LIMIT: Duration = Duration::from_secs(60);

/// Starts the program, and waits until its control plane serves.
async fn program(data: &Path) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cloudfaster"))
        .args(["standalone", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(line) = timeout(LIMIT, lines.next_line()).await.expect("it says where it serves").unwrap() {
        if line.contains("KUBECONFIG") {
            return child;
        }
    }
    panic!("it ended: {:?}", child.wait().await);
}

async fn client(data: &Path) -> Client {
    let read = Kubeconfig::read_from(data.join("kubeconfig")).unwrap();
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

async fn apply(client: &Client, proxmox: &cloudfaster::simulator::Server, simulator: &Simulator) {
    let params = PostParams::default();
    let tenant = json!({"metadata": {"name": "shop", "labels": {"cloudfaster.app/tenant": "true"}}});
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.create(&params, &serde_json::from_value(tenant).unwrap()).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "cloudfaster-system");
    let secret = serde_json::from_value(lab::credentials(Scenario::TOKEN_SECRET)).unwrap();
    secrets.create(&params, &secret).await.unwrap();
    let mut main = cluster(&simulator.nodes());
    main.spec.endpoints = vec![proxmox.url()];
    main.spec.tls = Some(serde_json::from_value(json!({"fingerprints": [proxmox.fingerprint()]})).unwrap());
    Api::<ProxmoxCluster>::all(client.clone()).create(&params, &main).await.unwrap();
    for name in NAMES {
        Api::<ProxmoxVM>::namespaced(client.clone(), "shop").create(&params, &machine(name, json!({}))).await.unwrap();
    }
}

fn is_ready(vm: &ProxmoxVM) -> bool {
    let conditions = vm.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == conditions::READY && condition.status == "True")
}

async fn until_all_ready(client: &Client) {
    let api = Api::<ProxmoxVM>::all(client.clone());
    let mut ready = std::collections::BTreeMap::new();
    let mut changes = watcher(api, watcher::Config::default()).default_backoff().applied_objects().boxed();
    while let Some(vm) = changes.try_next().await.unwrap() {
        ready.insert(vm.name_any(), is_ready(&vm));
        if ready.len() == NAMES.len() && ready.values().all(|ready| *ready) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_machines_come_of_it_when_the_program_is_killed_at_random_moments() {
    start();
    let data = tempfile::tempdir().unwrap();
    let mut scenario = small(3);
    scenario.clone_mib_per_second = 100;
    let simulator = Simulator::new(scenario);
    let proxmox = simulator.serve(lab::LISTEN).await.unwrap();
    let templates = simulator.vms().len();
    let mut child = program(data.path()).await;
    apply(&client(data.path()).await, &proxmox, &simulator).await;

    let mut random = StdRng::seed_from_u64(20_26);
    for _ in 0..KILLS {
        // The moment itself is what is tried: anywhere from the start of the program to the end of a clone.
        sleep(Duration::from_millis(random.random_range(50..900))).await;
        child.start_kill().unwrap();
        child.wait().await.unwrap();
        child = program(data.path()).await;
    }
    let client = client(data.path()).await;
    let ready = timeout(LIMIT, until_all_ready(&client)).await;
    let objects = Api::<ProxmoxVM>::all(client.clone()).list(&ListParams::default()).await.unwrap();
    let state = format!("{:#?}\n{:#?}\n{:#?}", objects.items, simulator.vms(), simulator.tasks());
    assert!(ready.is_ok(), "not Ready in time\n{state}");
    let made: Vec<_> = simulator.vms().into_iter().filter(|vm| !vm.template).collect();
    assert_eq!(simulator.vms().len(), templates + NAMES.len(), "{state}");
    for vm in objects {
        let status = vm.status.clone().unwrap();
        let place = (status.node.unwrap(), i64::from(status.vmid.unwrap() as i32));
        assert!(
            made.iter().any(|made| (made.node.clone(), i64::from(made.vmid)) == place
                && made.name == vm.name_any()
                && made.running),
            "{} has none\n{state}",
            vm.name_any()
        );
    }
    let owned = |vmid: u32| simulator.vms().iter().any(|vm| vm.vmid == vmid);
    assert!(simulator.volumes().iter().all(|volume| owned(volume.vmid)), "{state}\n{:#?}", simulator.volumes());
    assert!(simulator.running_tasks().is_empty(), "{state}");
    child.start_kill().unwrap();
    child.wait().await.unwrap();
}
