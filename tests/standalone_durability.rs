//! What was answered is on the disk: writers are killed, and every acknowledged write is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod standalone_support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use standalone_support::{client, open};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::sync::watch;

const WRITERS: usize = 4;
const ROUNDS: usize = 5;

/// What was answered so far: the names, with the version of those that are there.
#[derive(Default)]
struct Answers {
    expected: BTreeMap<String, Option<u64>>,
    newest: u64,
    count: usize,
}

impl Answers {
    fn note(&mut self, map: &ConfigMap, is_there: bool) {
        let version: u64 = map.resource_version().unwrap().parse().unwrap();
        self.newest = self.newest.max(version);
        self.expected.insert(map.name_any(), is_there.then_some(version));
        self.count += 1;
    }
}

/// Creates, changes and deletes until the server does not answer any more.
async fn write(maps: Api<ConfigMap>, prefix: String, answers: watch::Sender<Answers>) -> Result<(), kube::Error> {
    for round in 0.. {
        let name = format!("{prefix}-{round}");
        let map = ConfigMap {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            ..ConfigMap::default()
        };
        let created = maps.create(&PostParams::default(), &map).await?;
        answers.send_modify(|answers| answers.note(&created, true));
        let patch = json!({ "data": { "round": round.to_string() } });
        let changed = maps.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        answers.send_modify(|answers| answers.note(&changed, true));
        if round % 3 == 0 {
            maps.delete(&name, &DeleteParams::default()).await?;
            answers.send_modify(|answers| answers.note(&created, false));
        }
    }
    Ok(())
}

/// The program as its users start it, and a client that reaches it as kubectl does.
async fn start(directory: &Path) -> (Child, Client) {
    let kubeconfig = directory.join("kubeconfig");
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_cloudfaster"))
        .args(["standalone", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = async { while !lines.next_line().await.unwrap().expect("it serves").contains("KUBECONFIG") {} };
    tokio::time::timeout(Duration::from_secs(60), ready).await.expect("it comes up");
    let read = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
    (child, Client::try_from(config).unwrap())
}

#[tokio::test]
async fn every_acknowledged_write_survives_kill_9() {
    // Whoever was first installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let directory = tempfile::tempdir().unwrap();
    let (answers, mut seen) = watch::channel(Answers::default());
    for round in 0..ROUNDS {
        let (mut child, remote) = start(directory.path()).await;
        let before = seen.borrow().count;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let maps = Api::default_namespaced(remote.clone());
                tokio::spawn(write(maps, format!("r{round}-w{writer}"), answers.clone()))
            })
            .collect();
        // Killed in full flight.
        let enough = seen.wait_for(|answers| answers.count >= before + 100 + 70 * round);
        drop(tokio::time::timeout(Duration::from_secs(60), enough).await.expect("the writers write").unwrap());
        child.start_kill().unwrap();
        assert!(!child.wait().await.unwrap().success());
        for writer in writers {
            writer.abort();
            let _ = writer.await;
        }
        let (expected, newest) = {
            let answers = seen.borrow();
            (answers.expected.clone(), answers.newest)
        };

        let plane = open(directory.path()).await;
        let maps: Api<ConfigMap> = Api::default_namespaced(client(&plane));
        let list = maps.list(&ListParams::default()).await.unwrap();
        let found: BTreeMap<String, u64> = list
            .iter()
            .map(|map| {
                let version = map.resource_version().unwrap();
                (map.name_any(), version.parse().unwrap())
            })
            .collect();
        for (name, version) in &expected {
            match (version, found.get(name)) {
                // The last write may have been committed, but not answered any more.
                (Some(version), Some(found)) => assert!(found >= version, "{name} went back"),
                (Some(_), None) => {
                    let round: usize = name.rsplit('-').next().unwrap().parse().unwrap();
                    assert_eq!(round % 3, 0, "{name} is lost");
                }
                (None, found) => assert_eq!(found, None, "{name} came back"),
            }
        }
        let current: u64 = list.metadata.resource_version.unwrap().parse().unwrap();
        assert!(current >= newest, "versions never go back");
        plane.close().await;
    }
}

#[tokio::test]
async fn a_data_directory_has_one_user_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let plane = open(directory.path()).await;
    let second = cloudfaster::standalone::ControlPlane::open(
        directory.path(),
        Vec::new(),
        tokio_util::sync::CancellationToken::new(),
    )
    .await;
    let error = second.err().expect("it is taken").to_string();
    assert!(error.starts_with("cannot open the store: "), "{error}");
    plane.close().await;
    open(directory.path()).await.close().await;
}
