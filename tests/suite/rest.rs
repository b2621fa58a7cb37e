//! The old REST API, called by an old client: a script of plain `curl`.

use std::path::Path;

use tokio::process::Command;

use crate::support::{Bench, Which, fixture};

/// Runs a part of the old client's day; what it prints last.
async fn client(bench: &Bench, key: &str, arguments: &[&str]) -> String {
    let url = bench.plane.rest_url();
    let output = Command::new(fixture("old-client.sh")).args([url, key]).args(arguments).output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}\n{}", bench.plane.output());
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap_or_default().to_owned()
}

/// `cloudfaster apikey`, as an administrator.
async fn apikey(kubeconfig: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudfaster"));
    let output = command.arg("apikey").args(arguments).arg("--kubeconfig").arg(kubeconfig).output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub async fn an_old_client_goes_on_working(which: Which) {
    let mut bench = Bench::start(which).await;
    bench.plane.start_rest().await;
    let tenants = r#"{"spec":{"tenants":[{"namespaceSelector":{"matchLabels":{"cloudfaster.app/rest":"true"}}}]}}"#;
    bench.kubectl().works(&["patch", "pxc", "main", "--type=merge", "-p", tenants]).await;
    let kubeconfig = bench.kubectl().kubeconfig().to_owned();
    let create = ["create", "--owner", "the panel", "--scope", "admin", "--expires-in", "30d"];
    let key = apikey(&kubeconfig, &create).await.trim().to_owned();
    let listed = apikey(&kubeconfig, &["list"]).await;
    assert!(listed.contains("the panel") && !listed.contains(&key), "{listed}");
    bench.plane.until_rest(&key, 200).await;

    let vm = client(&bench, &key, &["make"]).await;
    // Everything ends hard in between, and what the client knows holds on.
    bench.plane.crash().await;
    bench.plane.start_rest().await;
    bench.plane.until_rest(&key, 200).await;
    client(&bench, &key, &["control", &vm]).await;
    client(&bench, &key, &["delete"]).await;
    bench.proxmox.until_nothing_is_left().await;

    let id = listed.lines().find(|line| line.contains("the panel")).unwrap().split(' ').next().unwrap();
    apikey(&kubeconfig, &["revoke", id]).await;
    bench.plane.until_rest(&key, 401).await;
}
