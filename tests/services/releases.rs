//! From one release to the next, and back.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::json;

use crate::{docker::command::docker, lab::Lab};

/// A database and a web server of a release; `command` is what the web server does.
fn release(image: &str, version: &str, command: &str) -> String {
    format!(
        "services:
  db:
    image: {image}
    environment: {{VERSION: '{version}'}}
    volumes: ['data:/data']
  migrate:
    image: {image}
    environment: {{VERSION: '{version}'}}
    command: ['sh', '-c', 'echo {version} >> /data/migrations']
    volumes: ['data:/data']
    depends_on: [db]
  web:
    image: {image}
    environment: {{VERSION: '{version}'}}
    command: ['sh', '-c', '{command}']
    restart: 'no'
    depends_on: {{migrate: {{condition: service_completed_successfully}}}}
volumes: {{data: {{}}}}
"
    )
}

/// Runs until it is told to stop.
pub const RUNS: &str = "trap \"exit 143\" TERM; sleep 1000000 & wait";

impl Lab {
    /// What a service's containers say that run.
    fn versions(&self, name: &str) -> Vec<String> {
        let environment = |container: &String| docker(&["exec", container, "sh", "-c", "echo $VERSION"]);
        let mut versions: Vec<_> = self.running(name).iter().map(environment).collect();
        versions.sort();
        versions
    }

    fn migrations(&self, name: &str) -> String {
        let container = self
            .running(name)
            .into_iter()
            .find(|container| docker(&["inspect", "--format", "{{.Name}}", container]).contains("-db-"));
        docker(&["exec", &container.unwrap(), "cat", "/data/migrations"])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_does_not_come_up_goes_back_as_a_whole() {
    let lab = Lab::new().await;
    let image = &lab.image;
    let name = lab.apply("release", &release(image, "1", RUNS), json!({})).await;
    lab.until_ready(&name).await;
    assert_eq!((lab.versions(&name), lab.migrations(&name)), (vec!["1".into(), "1".into()], "1".into()));
    let secret = Api::<Secret>::namespaced(lab.client.clone(), "shop").get(&format!("{name}-release")).await.unwrap();
    assert_eq!(secret.metadata.owner_references.unwrap()[0].name, name, "it goes with the service");

    // The database goes over, and the web server ends at once.
    lab.change(&name, json!({"compose": release(image, "2", "echo broken; exit 3")})).await;
    lab.until_told(&name, "Exited", &["the last good one was brought back", "exit code 3", "broken"]).await;
    assert_eq!(lab.versions(&name), ["1", "1"]);
    assert_eq!(lab.migrations(&name), "1\n2", "the one-shot of the former release is not run again");
    let held = || docker(&["images", "--quiet", "--filter", "reference=cloudfaster.app/held/*:*"]);
    assert!(!held().is_empty(), "its images are held");
    // It is not tried again by itself.
    let before = lab.running(&name);
    lab.fetch(&name).await;
    lab.until_told(&name, "Exited", &["the last good one was brought back"]).await;
    assert_eq!(lab.running(&name), before);

    // Mended.
    lab.change(&name, json!({"compose": release(image, "3", RUNS)})).await;
    lab.until_ready(&name).await;
    assert_eq!(lab.versions(&name), ["3", "3"]);
    // One that must not go back stays as it is.
    let never = json!({"compose": release(image, "4", "exit 4"), "rollout": {"rollback": "Never"}});
    lab.change(&name, never).await;
    lab.until_told(&name, "Exited", &["exit code 4"]).await;
    assert_eq!(lab.versions(&name), ["4"]);
    lab.delete(&name).await;
    let tags = docker(&["images", "--format", "{{.Repository}}", "--filter", "reference=cloudfaster.app/held/*:*"]);
    assert!(!tags.contains(&name), "{tags}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_decides_by_the_deadline_that_the_spec_names() {
    let lab = Lab::new().await;
    let compose = |check: &str| {
        format!(
            "services: {{web: {{image: {}, healthcheck: {{test: [CMD, {check}], interval: 500ms, retries: 1}}}}}}",
            lab.image
        )
    };
    let name = lab.apply("health", &compose("'true'"), json!({"rollout": {"healthDeadline": "4s"}})).await;
    lab.until_ready(&name).await;
    let before = lab.running(&name);
    lab.change(&name, json!({"compose": compose("'false'")})).await;
    lab.until_told(&name, "Unhealthy", &["the last good one was brought back", "unhealthy 4 s after its start"]).await;
    assert_eq!(lab.running(&name), before, "the former container itself is started again");
    lab.delete(&name).await;
}
