//! What was answered is on the disk: writers are killed, and every acknowledged write is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod standalone_support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use standalone_support::{client, open};
use tokio::io::{AsyncBufReadExt as _, BufReader};

const DIRECTORY: &str = "CLOUDFASTER_TEST_DIRECTORY";
const WRITERS: usize = 4;
const ROUNDS: usize = 5;

/// The process that the other test kills: it writes, and reports each answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is started by the test that kills it"]
async fn writes_until_it_is_killed() {
    let directory = std::env::var(DIRECTORY).expect("the test that starts this says where");
    let plane = open(directory.as_ref()).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&plane));
    let run = std::process::id();
    let writers = (0..WRITERS).map(|writer| {
        let maps = maps.clone();
        async move {
            for round in 0.. {
                let name = format!("r{run}-w{writer}-{round}");
                let map = ConfigMap {
                    metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
                    ..ConfigMap::default()
                };
                let created = maps.create(&PostParams::default(), &map).await.unwrap();
                report("created", &created);
                let patch = json!({ "data": { "round": round.to_string() } });
                let params = PatchParams::default();
                let changed = maps.patch(&name, &params, &Patch::Merge(&patch)).await;
                report("changed", &changed.unwrap());
                if round % 3 == 0 {
                    maps.delete(&name, &DeleteParams::default()).await.unwrap();
                    report("deleted", &created);
                }
            }
        }
    });
    futures::future::join_all(writers).await;
}

fn report(what: &str, map: &ConfigMap) {
    let version = map.resource_version().unwrap();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what} {} {version}", map.name_any()).unwrap();
    out.flush().unwrap();
}

#[tokio::test]
async fn every_acknowledged_write_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected: BTreeMap<String, Option<u64>> = BTreeMap::new();
    let mut newest = 0;
    for round in 0..ROUNDS {
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "writes_until_it_is_killed"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut answers = 0;
        // Killed in full flight; what it had reported until then is read to the end.
        while let Some(line) =
            tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await.expect("the writer writes").unwrap()
        {
            let words: Vec<&str> = line.split(' ').collect();
            let [what @ ("created" | "changed" | "deleted"), name, version] = words[..] else {
                continue;
            };
            let version: u64 = version.parse().unwrap();
            newest = newest.max(version);
            expected.insert(name.to_owned(), (what != "deleted").then_some(version));
            answers += 1;
            if answers == 100 + 70 * round {
                child.start_kill().unwrap();
            }
        }
        assert!(!child.wait().await.unwrap().success());
        assert!(answers >= 100, "only {answers} writes were answered");

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
