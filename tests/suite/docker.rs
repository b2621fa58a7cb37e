//! A compose project from `kubectl apply` to `kubectl delete`, on a real Docker engine.

use std::process::Stdio;

use base64::{Engine, engine::general_purpose::STANDARD};
use cloudfaster::docker::content::{Builder, Limits};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::support::{Kubectl, Plane, Which, command::docker, images, run::Run};

/// An archive with a page.
fn site() -> Vec<u8> {
    let mut builder = Builder::new(Limits::default()).expect("a temporary file");
    builder.file(b"site/index.html", false, &b"welcome"[..]).expect("a page");
    let mut archive = Vec::new();
    builder.finish().expect("a tree").write_tar(&[], &mut archive).expect("an archive");
    archive
}

/// A service on the engine that the tests use, and what is applied for it.
struct Project {
    /// Everything that it makes has this in its name, and is removed at the end.
    run: Run,
    image: String,
    host: String,
}

impl Project {
    /// Makes an image of its own, and has the engine known.
    async fn start(kubectl: &Kubectl) -> Self {
        let run = Run::new();
        let image = format!("{}-image:1", run.id);
        images::image(&image);
        let host = docker(&["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]);
        let host = std::env::var("DOCKER_HOST").unwrap_or(host);
        let project = Self { run, image, host };
        kubectl.works_with(&["apply", "-f", "-"], &project.administrator()).await;
        kubectl.works(&["wait", "--for=condition=Ready", "dkh/local", "--timeout=60s"]).await;
        project
    }

    fn name(&self) -> &str {
        &self.run.id
    }

    fn administrator(&self) -> String {
        let Self { host, image, .. } = self;
        format!(
            "
apiVersion: v1
kind: Namespace
metadata: {{name: shop, labels: {{cloudfaster.app/tenant: 'true'}}}}
---
apiVersion: cloudfaster.app/v1alpha1
kind: DockerHost
metadata: {{name: local}}
spec:
  endpoint: '{host}'
  catalogue: {{images: {{redis: '{image}'}}}}
  tenants:
    - namespaceSelector: {{matchLabels: {{cloudfaster.app/tenant: 'true'}}}}
      allow: {{images: ['docker.io/library/*']}}
      limits: {{memory: 64Mi, pids: 100, containers: 5}}
---
apiVersion: v1
kind: Secret
metadata: {{name: settings, namespace: shop}}
data: {{PASSWORD: aHVudGVyMg==}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: site, namespace: shop}}
binaryData: {{site.tar: {}}}
",
            STANDARD.encode(site())
        )
    }

    /// Three containers, one of which waits until another is healthy, and that until a third has done its work.
    fn service(&self, spec: &str, more: &str) -> String {
        let Self { image, .. } = self;
        let name = self.name();
        format!(
            "
apiVersion: cloudfaster.app/v1alpha1
kind: DockerService
metadata: {{name: {name}, namespace: shop}}
spec:
  hostRef: {{name: local}}
  env: [{{name: LEVEL, value: info}}]
  envFrom: [{{name: settings}}]
  deletionPolicy: DeleteVolumes
  source: {{archive: {{configMapRef: {{name: site, key: site.tar}}}}}}
  {spec}
  compose: |
    services:
      prepare:
        image: {image}
        command: ['sh', '-c', 'echo ready > /data/state']
        volumes: ['data:/data']
      store:
        image: {image}
        environment: {{PASSWORD: '${{PASSWORD:?}}'}}
        volumes: ['data:/data']
        healthcheck: {{test: ['CMD', 'test', '-e', '/data/state'], interval: 500ms}}
        depends_on: {{prepare: {{condition: service_completed_successfully}}}}
      web:
        image: {image}
        environment: {{LEVEL: '$LEVEL'}}
        volumes: ['./site:/site:ro']
        depends_on: {{store: {{condition: service_healthy}}}}
        {more}
    volumes: {{data: {{}}}}
"
        )
    }

    async fn apply(&self, kubectl: &Kubectl, spec: &str, more: &str) {
        kubectl.works_with(&["apply", "-f", "-"], &self.service(spec, more)).await;
    }

    /// A service of a type of the catalogue, with what its health check asks for.
    async fn apply_store(&self, kubectl: &Kubectl) {
        let text = format!(
            "
apiVersion: cloudfaster.app/v1alpha1
kind: DockerService
metadata: {{name: {}, namespace: shop}}
spec:
  hostRef: {{name: local}}
  types: [Redis]
  deletionPolicy: DeleteVolumes
",
            self.store()
        );
        kubectl.works_with(&["apply", "-f", "-"], &text).await;
    }

    /// The name of that.
    fn store(&self) -> String {
        format!("{}-store", self.name())
    }

    /// Waits for a condition or a field of the service.
    async fn wait(&self, plane: &Plane, what: &str) {
        let object = format!("dks/{}", self.name());
        let waited = plane.kubectl.run(&["wait", "-n", "shop", "--timeout=150s", "--for", what, &object]).await;
        if !waited.ok() {
            let state = plane.kubectl.run(&["get", "dks", "-A", "-o", "yaml"]).await;
            panic!("{what}: {}\n{}\n{}", waited.err, state.out, plane.output());
        }
    }

    /// A field of the service.
    async fn field(&self, kubectl: &Kubectl, path: &str) -> String {
        let output = format!("jsonpath={{{path}}}");
        kubectl.works(&["get", "dks", self.name(), "-n", "shop", "-o", &output]).await
    }

    /// The ids of the containers of a service, whether they run or not.
    fn containers(&self, service: &str) -> Vec<String> {
        let (name, service) = (format!("name={}", self.name()), format!("label=com.docker.compose.service={service}"));
        let listed = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &name, "--filter", &service]);
        listed.split_whitespace().map(str::to_owned).collect()
    }

    fn only(&self, service: &str) -> String {
        let [container] = &self.containers(service)[..] else { panic!("{service} has {:?}", self.containers(service)) };
        container.clone()
    }

    /// How many of its containers run.
    fn running(&self) -> usize {
        docker(&["ps", "--quiet", "--filter", &format!("name={}", self.name())]).split_whitespace().count()
    }
}

/// What starts on the engine, from now on.
struct Starts {
    lines: Lines<BufReader<ChildStdout>>,
    /// Ends with this.
    _events: Child,
}

impl Starts {
    fn listen() -> Self {
        let now = jiff::Timestamp::now();
        let program = std::env::var_os("DOCKER").unwrap_or_else(|| "docker".into());
        let mut events = Command::new(program)
            .args(["events", "--filter", "type=container", "--filter", "event=start"])
            // What happened while it was connecting is told too, and nothing of what went before.
            .args(["--since", &format!("{}.{:09}", now.as_second(), now.subsec_nanosecond())])
            .args(["--format", "{{.Actor.Attributes.name}}"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("docker events");
        Self { lines: BufReader::new(events.stdout.take().unwrap()).lines(), _events: events }
    }

    /// Waits until a container starts whose name has all these parts.
    async fn of(&mut self, parts: &[&str]) {
        loop {
            let line = self.lines.next_line().await.unwrap().expect("the events of the engine end");
            if parts.iter().all(|part| line.contains(part)) {
                return;
            }
        }
    }
}

pub async fn a_service_lives_from_apply_to_delete(which: Which) {
    let plane = Plane::start(which).await;
    let kubectl = &plane.kubectl;
    let project = Project::start(kubectl).await;
    project.apply(kubectl, "state: Running", "labels: {team: shop}").await;
    project.wait(&plane, "condition=Ready").await;

    let table = kubectl.works(&["get", "dks", "-n", "shop"]).await;
    let header: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["NAME", "READY", "PHASE", "PROGRESS", "HOST", "CONTAINERS", "URL", "AGE"]);
    let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[1..6], ["True", "Running", "100", "local", "3/3"]);
    let story = kubectl.works(&["describe", "dks", project.name(), "-n", "shop"]).await;
    assert!(story.contains("Events:") && !story.contains("hunter2"), "{story}");
    let (store, web) = (project.only("store"), project.only("web"));
    assert_eq!(project.running(), 2, "one of the three has done its work");

    // An apply of the same changes nothing.
    let again = project.service("state: Running", "labels: {team: shop}");
    let said = kubectl.works_with(&["apply", "-f", "-"], &again).await;
    assert!(said.lines().all(|line| line.contains("unchanged")), "{said}");

    // What somebody removes by hand comes back.
    let mut starts = Starts::listen();
    docker(&["rm", "--force", &web]);
    starts.of(&[project.name(), "-web-"]).await;
    project.wait(&plane, "jsonpath={.status.containersReady}=3/3").await;
    project.wait(&plane, "condition=Ready").await;
    assert_ne!(project.only("web"), web);
    assert_eq!(project.only("store"), store, "what is as it should be is not touched");

    // A change makes anew what it concerns, and nothing else.
    let web = project.only("web");
    project.apply(kubectl, "state: Running", "labels: {team: bank}").await;
    project.wait(&plane, "condition=Ready").await;
    assert_ne!(project.only("web"), web);
    assert_eq!(project.only("store"), store);

    // The password of a database is generated into a Secret that is the service's, and nobody else is told.
    project.apply_store(kubectl).await;
    let store = project.store();
    let (object, secret) = (format!("dks/{store}"), format!("secret/{store}-redis"));
    let waited = ["wait", "-n", "shop", "--timeout=60s", "--for=jsonpath={.status.types[0]}=Redis", &object];
    kubectl.works(&waited).await;
    let output = "jsonpath={.metadata.ownerReferences[0].name} {.data.REDIS_PASSWORD}";
    let said = kubectl.works(&["get", &secret, "-n", "shop", "-o", output]).await;
    let (owner, password) = said.split_once(' ').unwrap();
    let password = String::from_utf8(STANDARD.decode(password).unwrap()).unwrap();
    assert_eq!((owner, password.len()), (store.as_str(), 32));
    let story = kubectl.works(&["describe", &object, "-n", "shop"]).await;
    assert!(story.contains("Types:") && !story.contains(&password), "{story}");
    kubectl.works(&["delete", &object, "-n", "shop", "--timeout=150s"]).await;

    // What is not allowed is told with its line, and what runs goes on.
    project.apply(kubectl, "state: Running", "privileged: true").await;
    project.wait(&plane, "condition=Stalled").await;
    let told = project.field(kubectl, ".status.message").await;
    let line = project.service("", "privileged: true").lines().position(|line| line.contains("privileged"));
    let first = project.service("", "").lines().position(|line| line.contains("services:"));
    let place = format!("compose.yaml:{}: services.web.privileged", line.unwrap() - first.unwrap() + 1);
    assert!(told.contains(&place) && told.contains("privileged is not opened"), "{place}: {told}");
    assert_eq!(project.running(), 2);

    project.apply(kubectl, "state: Stopped", "labels: {team: bank}").await;
    project.wait(&plane, "condition=Ready").await;
    assert_eq!((project.running(), project.field(kubectl, ".status.phase").await.as_str()), (0, "Stopped"));
    project.apply(kubectl, "state: Running", "labels: {team: bank}").await;
    project.wait(&plane, "condition=Ready").await;
    assert_eq!(project.running(), 2);

    // The host stays while it is used.
    kubectl.works(&["delete", "dkh", "local", "--wait=false"]).await;
    kubectl
        .works(&[
            "wait",
            "dkh/local",
            "--timeout=60s",
            "--for=jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}=InUse",
        ])
        .await;
    kubectl.works(&["delete", "dks", project.name(), "-n", "shop", "--timeout=150s"]).await;
    kubectl.works(&["wait", "--for=delete", "dkh/local", "--timeout=60s"]).await;
    let name = format!("name={}", project.name());
    for list in [["ps", "--all"], ["network", "ls"], ["volume", "ls"]] {
        let left = docker(&[list[0], list[1], "--quiet", "--filter", &name]);
        assert_eq!(left, "", "docker {} still shows something", list.join(" "));
    }
}
