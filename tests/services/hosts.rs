//! Hosts that are full, too old, or away.

use cloudfaster::api::docker_host::DockerHostStatus;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

use crate::{
    docker::{
        command::docker,
        dockerd::Dockerd,
        images,
        registry::{PASSWORD, Registry, USER},
    },
    lab::{Lab, ready, until},
};

/// Waits until the status of a host is so.
pub async fn until_host(lab: &Lab, name: &str, what: &str, holds: impl Fn(&DockerHostStatus) -> bool) {
    until(lab.hosts(), name, what, |host| host.status.as_ref().is_some_and(&holds)).await;
}

async fn until_host_told(lab: &Lab, name: &str, reason: &str, words: &str) {
    until_host(lab, name, reason, |status| {
        ready(&status.conditions).is_some_and(|it| it.reason == reason && it.message.contains(words))
    })
    .await;
}

/// Brings the image of the tests to another engine.
fn load(lab: &Lab, dockerd: &Dockerd) {
    let file = dockerd.folder.path().join("image.tar");
    let file = file.to_str().unwrap();
    docker(&["save", "--output", file, &lab.image]);
    docker(&["--host", &dockerd.host(), "load", "--input", file]);
    std::fs::remove_file(file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_goes_away_is_told_and_its_services_go_on_when_it_is_back() {
    let lab = Lab::new().await;
    let mut dockerd = Dockerd::start(&[]).await;
    load(&lab, &dockerd);
    lab.host("other", &dockerd.host()).await;
    let compose = format!("services: {{web: {{image: '{}', restart: always}}}}\n", lab.image);
    let name = lab.apply("web", &compose, json!({"hostRef": {"name": "other"}})).await;
    lab.until_ready(&name).await;
    dockerd.stop();
    lab.until_told(&name, "HostUnreachable", &["the host is out of reach"]).await;
    until_host_told(&lab, "other", "HostUnreachable", "").await;
    dockerd.run().await;
    until_host_told(&lab, "other", "Available", "answers").await;
    lab.until_ready(&name).await;
    lab.delete(&name).await;
    let left = docker(&["--host", &dockerd.host(), "ps", "--all", "--quiet"]);
    assert_eq!(left, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_is_told_and_what_runs_goes_on() {
    let lab = Lab::new().await;
    let dockerd = Dockerd::start_small(48 << 20).await;
    load(&lab, &dockerd);
    lab.host("small", &dockerd.host()).await;
    let good = format!("services: {{web: {{image: '{}'}}}}\n", lab.image);
    let name = lab.apply("web", &good, json!({"hostRef": {"name": "small"}})).await;
    lab.until_ready(&name).await;
    let running = || docker(&["--host", &dockerd.host(), "ps", "--quiet"]);
    let before = running();
    let registry = Registry::start().await;
    let big = lab.run.name("big");
    let noise: String = (0..40_000_000_u32).map(|at| char::from(b'a' + u8::try_from(at % 25).unwrap())).collect();
    images::image_with(&big, &[r#"CMD ["sleep", "1000000"]"#], &[("srv/big", &noise)]);
    let image = registry.push(&big, "big:1");
    let login = json!({".dockerconfigjson": json!({"auths": {&registry.address: {
        "username": USER, "password": PASSWORD,
    }}}).to_string()});
    lab.secret("registry", "kubernetes.io/dockerconfigjson", login).await;
    let compose = format!("services: {{web: {{image: '{image}'}}}}\n");
    lab.change(&name, json!({"compose": compose, "registrySecrets": [{"name": "registry"}]})).await;
    lab.until_told(&name, "DiskFull", &[]).await;
    assert_eq!(running(), before);
    lab.delete(&name).await;
}

/// An engine that speaks an API from before ours, as far as anybody asks it.
async fn serve_old(listener: UnixListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut asked = [0; 4096];
            while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {
                let body =
                    r#"{"Version":"18.09.1","ApiVersion":"1.39","MinAPIVersion":"1.12","Os":"linux","Arch":"amd64"}"#;
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nApi-Version: 1.39\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_too_old_is_told_on_the_host_and_the_service() {
    let lab = Lab::new().await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    tokio::spawn(serve_old(UnixListener::bind(&socket).unwrap()));
    lab.host("old", &format!("unix://{}", socket.display())).await;
    until_host_told(&lab, "old", "EngineTooOld", "1.39").await;
    let compose = format!("services: {{web: {{image: '{}'}}}}\n", lab.image);
    let name = lab.apply("web", &compose, json!({"hostRef": {"name": "old"}})).await;
    lab.until_told(&name, "EngineTooOld", &["old", "1.39"]).await;
    lab.delete(&name).await;
}
