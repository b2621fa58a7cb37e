//! Docker Compose's own commands on what the operator made.

use std::process::Command;

use serde_json::{Value, json};

use crate::lab::Lab;

/// What `docker compose` prints of a project; it has to succeed.
fn compose(arguments: &[&str]) -> String {
    let program =
        std::env::var_os("DOCKER_COMPOSE").expect("DOCKER_COMPOSE names no Docker Compose: source .ci/environment");
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker compose {}: {error}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_composes_own_commands_work_and_what_they_stop_is_brought_back() {
    let lab = Lab::new().await;
    let file = format!(
        "services:
  web: {{image: '{image}', command: ['sh', '-c', 'echo here I am; trap \"exit 143\" TERM; sleep 1000000 & wait'], volumes: ['data:/data']}}
  side: {{image: '{image}', depends_on: [web]}}
volumes: {{data: {{}}}}
",
        image = lab.image
    );
    let name = lab.apply("tools", &file, json!({})).await;
    lab.until_ready(&name).await;
    let status = lab.services().get(&name).await.unwrap().status.unwrap();
    let project = status.project.unwrap();

    let all: Value = serde_json::from_str(&compose(&["ls", "--format", "json"])).unwrap();
    let listed = all.as_array().unwrap().iter().find(|it| it["Name"] == *project).expect("ls shows it");
    assert_eq!(listed["Status"], "running(2)");
    let ps = compose(&["-p", &project, "ps", "--format", "{{.Service}} {{.State}}"]);
    let mut shown: Vec<_> = ps.lines().collect();
    shown.sort_unstable();
    assert_eq!(shown, ["side running", "web running"]);
    assert!(compose(&["-p", &project, "logs", "web"]).contains("here I am"));

    let made = lab.running(&name);
    compose(&["-p", &project, "stop"]);
    lab.until_ready(&name).await;
    until_running(&lab, &name, 2).await;
    assert_eq!(lab.running(&name), made, "the same are started again");
    compose(&["-p", &project, "start"]);
    assert_eq!(lab.running(&name), made);

    compose(&["-p", &project, "down"]);
    until_running(&lab, &name, 2).await;
    lab.until_ready(&name).await;
    assert!(lab.running(&name).is_disjoint(&made), "they are made anew");
    lab.delete(&name).await;
    let all: Value = serde_json::from_str(&compose(&["ls", "--all", "--format", "json"])).unwrap();
    assert!(all.as_array().unwrap().iter().all(|it| it["Name"] != *project), "{all}");
}

/// Waits until so many containers run and the status has them all.
async fn until_running(lab: &Lab, name: &str, count: usize) {
    lab.until(name, "its containers are back", |status| {
        status.containers_ready.as_deref() == Some(&format!("{count}/{count}")) && lab.running(name).len() == count
    })
    .await;
}
