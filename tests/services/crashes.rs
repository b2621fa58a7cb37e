//! `kill -9` at any call to the engine and at any write to Kubernetes, and answers that get lost, in the life of a service: its
//! first release, a good one, one that does not come up, and its deletion.

use std::sync::Arc;

use cloudfaster::docker::content::{Builder, Limits};
use futures::future::join_all;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    controller::Controller,
    crash::{Crash, Gate},
    docker::{
        command::docker,
        proxy::{Death, Proxy},
    },
    lab::Lab,
    releases::RUNS,
};

/// After so many crashes it should have come to something.
const MOST_CRASHES: usize = 60;

const ENDS: &str = "echo broken; exit 3";

/// A database, a one-shot that runs once for each release, and a web server whose site comes from an archive.
fn spec(image: &str, version: u32, command: &str) -> Value {
    let compose = format!(
        "services:
  db:
    image: {image}
    environment: {{VERSION: '{version}'}}
    volumes: ['data:/data']
  migrate:
    image: {image}
    command: ['sh', '-c', 'echo {version} >> /data/migrations']
    volumes: ['data:/data']
    depends_on: [db]
  web:
    image: {image}
    command: ['sh', '-c', '{command}']
    restart: 'no'
    volumes: ['./site:/site']
    depends_on: {{migrate: {{condition: service_completed_successfully}}}}
volumes: {{data: {{}}}}
"
    );
    let archive = json!({"configMapRef": {"name": site(version), "key": "site.tar"}});
    json!({"compose": compose, "source": {"archive": archive}})
}

/// The ConfigMap with the site of a release.
fn site(version: u32) -> String {
    format!("site-{version}")
}

fn archive(version: u32) -> Vec<u8> {
    let mut builder = Builder::new(Limits::default()).unwrap();
    builder.file(b"site/index.html", false, version.to_string().as_bytes()).unwrap();
    let mut archive = Vec::new();
    builder.finish().unwrap().write_tar(&[], &mut archive).unwrap();
    archive
}

/// What a part of a life ends with.
#[derive(Clone, Copy)]
enum Goal {
    Ready,
    /// The last good release is back, in the place of one that ends at once.
    Back,
    Gone,
}

impl Goal {
    async fn reached(self, lab: &Lab, name: &str) {
        let told = ["the last good one was brought back", "exit code 3", "broken"];
        match self {
            Self::Ready => lab.until_ready(name).await,
            Self::Back => lab.until_told(name, "Exited", &told).await,
            Self::Gone => lab.until_gone(name).await,
        }
    }
}

/// A service, and what happens to its controllers in each part of its life.
struct Life {
    lab: Lab,
    proxy: Proxy,
    name: String,
    crash: Crash,
    /// Whether the same happens to every controller, and not to the first one only.
    again: bool,
    crashes: usize,
}

impl Life {
    async fn new(crash: Crash, again: bool) -> Self {
        let proxy = Proxy::start(Death::Never);
        let endpoint = format!("unix://{}", proxy.socket().display());
        let lab = Lab::idle(&endpoint, CancellationToken::new()).await;
        for version in 1..=3 {
            lab.publish(&site(version), archive(version)).await;
        }
        let name = lab.run.name("app");
        Self { lab, proxy, name, crash, again, crashes: 0 }
    }

    /// Lets a controller work until that is reached; if it is killed on its way, another one.
    async fn until(&mut self, goal: Goal) {
        let mut crash = self.crash;
        for _ in 0..MOST_CRASHES {
            let gate = Arc::new(Gate::new(crash, self.proxy.begin(crash.death())));
            let controller = Controller::start(self.lab.plane.router(), gate.clone());
            let crashed = tokio::select! {
                () = goal.reached(&self.lab, &self.name) => false,
                () = gate.life().died() => true,
            };
            drop(controller);
            if !crashed {
                self.proxy.begin(Death::Never);
                return;
            }
            self.crashes += 1;
            if !self.again {
                crash = Crash::Never;
            }
        }
        panic!("{:?}: it does not get anywhere", self.crash);
    }

    async fn live(&mut self) {
        let image = self.lab.image.clone();
        self.lab.apply("app", "", spec(&image, 1, RUNS)).await;
        self.until(Goal::Ready).await;
        self.check(1, "1").await;
        let edit = "echo kept > /data/mine";
        docker(&["exec", &self.lab.container(&self.name, "db"), "sh", "-c", edit]);

        self.lab.change(&self.name, spec(&image, 2, RUNS)).await;
        self.until(Goal::Ready).await;
        self.check(2, "1\n2").await;

        self.lab.change(&self.name, spec(&image, 3, ENDS)).await;
        self.until(Goal::Back).await;
        self.check(2, "1\n2\n3").await;
        assert_eq!(self.cat("db", "/data/mine"), "kept", "{:?}", self.crash);

        self.lab.services().delete(&self.name, &DeleteParams::default()).await.unwrap();
        self.until(Goal::Gone).await;
        let left = [self.list(&["ps", "--all"], "{{.Names}}"), self.things("network"), self.things("volume")].concat();
        assert!(left.is_empty(), "left after {:?}: {left:?}", self.crash);
        let held = docker(&["images", "--format", "{{.Repository}}", "--filter", "reference=cloudfaster.app/held/*:*"]);
        assert!(!held.contains(&self.name), "images are held after {:?}: {held}", self.crash);
    }

    /// There is exactly what belongs to a release, and the one-shots of all did their work once.
    async fn check(&self, version: u32, migrations: &str) {
        let when = format!("release {version}, {:?}", self.crash);
        let project = self.lab.services().get(&self.name).await.unwrap().status.unwrap().project.unwrap();
        let containers = self.list(&["ps", "--all"], "{{.Names}} {{.State}}");
        let expected = ["db-1 running", "migrate-1 exited", "web-1 running"];
        assert_eq!(containers, expected.map(|container| format!("{project}-{container}")), "{when}");
        assert_eq!(self.things("network"), [format!("{project}_default")], "{when}");
        let volumes = self.things("volume");
        assert!(volumes.len() == 2 && volumes.contains(&format!("{project}_data")), "{when}: {volumes:?}");
        assert_eq!(self.cat("web", "/site/index.html"), version.to_string(), "{when}");
        assert_eq!(self.cat("db", "/data/migrations"), migrations, "{when}");
        let environment = docker(&["exec", &self.lab.container(&self.name, "db"), "sh", "-c", "echo $VERSION"]);
        assert_eq!(environment, version.to_string(), "{when}");
    }

    fn cat(&self, service: &str, path: &str) -> String {
        docker(&["exec", &self.lab.container(&self.name, service), "cat", path])
    }

    /// What of a kind (`network`, `volume`) has a name of the service's.
    fn things(&self, kind: &str) -> Vec<String> {
        self.list(&[kind, "ls"], "{{.Name}}")
    }

    fn list(&self, command: &[&str], format: &str) -> Vec<String> {
        let filter = format!("name={}", self.name);
        let listed = docker(&[command, &["--format", format, "--filter", &filter]].concat());
        let mut lines: Vec<_> = listed.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

/// Lives through it, and tells how many controllers were killed on the way. That is some more or less each time, for what is
/// seen at once is written at once.
async fn live(crash: Crash, again: bool) -> usize {
    let mut life = Life::new(crash, again).await;
    life.live().await;
    life.crashes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_lives_on_when_every_controller_is_killed_after_its_fourth_call() {
    let crashes = live(Crash::AtCall(Death::After(3)), true).await;
    assert!(crashes > 15, "only {crashes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_lives_on_when_every_controller_is_killed_before_its_fifth_call() {
    let crashes = live(Crash::AtCall(Death::Before(4)), true).await;
    assert!(crashes > 12, "only {crashes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_lives_on_when_every_controller_is_killed_after_its_sixth_call() {
    let crashes = live(Crash::AtCall(Death::After(5)), true).await;
    assert!(crashes > 8, "only {crashes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_lives_on_when_every_controller_is_killed_after_a_write() {
    let crashes = live(Crash::AfterWrite(6), true).await;
    assert!(crashes > 15, "only {crashes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_lives_on_when_every_controller_is_killed_before_a_write() {
    let crashes = live(Crash::BeforeWrite(8), true).await;
    assert!(crashes > 10, "only {crashes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_lives_on_when_every_second_answer_is_lost() {
    live(Crash::AtCall(Death::OfReplies(2)), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_lives_on_when_every_third_answer_is_lost() {
    live(Crash::AtCall(Death::OfReplies(3)), true).await;
}

/// The first controller only, and every third call: the others meet the calls between them.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_lives_on_when_its_controller_is_killed_after_a_call() {
    let moments: Vec<_> = (0..27).step_by(3).map(|number| Crash::AtCall(Death::After(number))).collect();
    for at_once in moments.chunks(3) {
        let lives = at_once.iter().map(|crash| tokio::spawn(live(*crash, false)));
        for lived in join_all(lives).await {
            assert!(lived.unwrap() > 0);
        }
    }
}
