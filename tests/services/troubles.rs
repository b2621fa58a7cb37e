//! What the host or the containers themselves refuse: the condition says it, nothing of others' is touched, and it goes on by
//! itself when the cause is gone.

use std::net::TcpListener;

use cloudfaster::api::docker_service::DockerServiceStatus;
use serde_json::json;

use crate::{
    docker::{command::docker, images},
    lab::Lab,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_others_have_is_told_and_the_former_container_comes_back() {
    let lab = Lab::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    // It ends so late that the controller reads its record again meanwhile.
    let slow = "stop_signal: SIGUSR1, stop_grace_period: 4s";
    let compose = |more: &str| format!("services: {{web: {{image: '{}', {slow}{more}}}}}\n", lab.image);
    let name = lab.apply("port", &compose(""), json!({})).await;
    lab.until_ready(&name).await;
    let before = lab.running(&name);
    lab.change(&name, json!({"compose": compose(&format!(", ports: ['127.0.0.1:{port}:80']"))})).await;
    let is_back = |status: &DockerServiceStatus| {
        status.containers_ready.as_deref() == Some("1/1") && lab.running(&name) == before
    };
    lab.until_told(&name, "PortTaken", &[&port.to_string(), "the last good one was brought back"]).await;
    lab.until(&name, "the former one runs", is_back).await;
    drop(taken);
    lab.restart(&name).await;
    lab.until_ready(&name).await;
    assert!(lab.running(&name).is_disjoint(&before));
    lab.delete(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_others_have_are_told_and_theirs_are_left_alone() {
    let lab = Lab::new().await;
    let theirs = lab.run.name("theirs");
    let container = docker(&["run", "--detach", "--name", &theirs, &lab.image]);
    let volume = docker(&["volume", "create", &theirs]);
    let network = docker(&["network", "create", &theirs]);
    let image = &lab.image;
    let good = format!("services: {{web: {{image: '{image}'}}}}\n");
    let name = lab.apply("name", &good, json!({})).await;
    lab.until_ready(&name).await;
    let before = lab.running(&name);
    for (what, compose) in [
        ("container", format!("services: {{web: {{image: '{image}', container_name: '{theirs}'}}}}\n")),
        (
            "volume",
            format!(
                "services: {{web: {{image: '{image}', volumes: ['data:/data']}}}}\nvolumes: {{data: {{name: '{theirs}'}}}}\n"
            ),
        ),
        (
            "network",
            format!(
                "services: {{web: {{image: '{image}', networks: [own]}}}}\nnetworks: {{own: {{name: '{theirs}'}}}}\n"
            ),
        ),
    ] {
        lab.change(&name, json!({"compose": compose})).await;
        lab.until_told(&name, "NameTaken", &[what, &theirs]).await;
        assert_eq!(lab.running(&name), before, "{what}");
    }
    lab.delete(&name).await;
    assert_eq!(docker(&["inspect", "--format", "{{.Id}} {{.State.Running}}", &theirs]), format!("{container} true"));
    assert_eq!(docker(&["volume", "inspect", "--format", "{{.Name}}", &theirs]), volume);
    assert_eq!(docker(&["network", "inspect", "--format", "{{.Id}}", &theirs]), network);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_never_healthy_is_told() {
    let lab = Lab::new().await;
    let compose = |test: &str| {
        let check = format!("{{test: ['CMD', '{test}'], interval: 1s, retries: 1}}");
        format!("services: {{web: {{image: '{}', healthcheck: {check}}}}}\n", lab.image)
    };
    let name = lab.apply("ill", &compose("true"), json!({})).await;
    lab.until_ready(&name).await;
    let before = lab.running(&name);
    lab.change(&name, json!({"compose": compose("false")})).await;
    lab.until_told(&name, "Unhealthy", &["web", "not healthy"]).await;
    lab.change(&name, json!({"compose": compose("true")})).await;
    lab.until_ready(&name).await;
    assert_eq!(lab.running(&name).len(), before.len());
    lab.delete(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_shot_that_fails_is_told_with_its_exit_code_and_its_log_and_holds_up_what_needs_it() {
    let lab = Lab::new().await;
    let image = &lab.image;
    let compose = |command: &str| {
        format!(
            "services:
  job: {{image: '{image}', command: ['sh', '-c', '{command}']}}
  web: {{image: '{image}', depends_on: {{job: {{condition: service_completed_successfully}}}}}}
"
        )
    };
    let name = lab.apply("job", &compose("echo no database; exit 3"), json!({})).await;
    lab.until(&name, "the exit code and the log are told", |status| {
        let message = status.message.clone().unwrap_or_default();
        message.contains("exit code 3") && message.contains("no database")
    })
    .await;
    assert!(lab.running(&name).is_empty());
    lab.change(&name, json!({"compose": compose("exit 0")})).await;
    lab.until_ready(&name).await;
    assert_eq!(lab.running(&name).len(), 1);
    lab.delete(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_crashes_again_and_again_is_told_with_the_end_of_its_log() {
    let lab = Lab::new().await;
    let command = "echo out of luck; exit 7";
    let compose =
        format!("services: {{web: {{image: '{}', restart: always, command: ['sh', '-c', '{command}']}}}}\n", lab.image);
    let name = lab.apply("crash", &compose, json!({})).await;
    lab.until_told(&name, "CrashLooping", &["exit code 7", "out of luck"]).await;
    lab.delete(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_would_take_the_host_name_of_another_is_refused_and_what_runs_goes_on() {
    let lab = Lab::new().await;
    let compose = |image: &str| format!("services: {{web: {{image: '{image}'}}}}\n");
    let name = lab.apply("label", &compose(&lab.image), json!({})).await;
    lab.until_ready(&name).await;
    let before = lab.running(&name);
    let image = format!("{}-thief:1", lab.run.id);
    images::image_with(&image, &["LABEL traefik.http.routers.bank.rule=Host(`bank`)"], &[]);
    lab.change(&name, json!({"compose": compose(&image)})).await;
    lab.until_told(&name, "NotAllowed", &["services.web.image", "traefik.http.routers.bank.rule", "proxyLabels"]).await;
    assert_eq!(lab.running(&name), before);
    lab.delete(&name).await;
}
