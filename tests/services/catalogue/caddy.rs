//! A real Caddy in front of services of types, and people who ask it by name.

use std::{
    env, fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{containers, of, sourced};
use crate::{docker::command::docker, lab::Lab};

/// Caddy as a process of the host, and in the part of its Docker proxy what the labels of containers say.
struct Caddy {
    process: Child,
    folder: TempDir,
    port: u16,
    admin: u16,
}

impl Caddy {
    fn start() -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (folder, port, admin) = (TempDir::new().unwrap(), free(), free());
        let file = folder.path().join("Caddyfile");
        fs::write(&file, global(port, admin)).unwrap();
        let mut command = caddy(&folder);
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
        let process = command.stderr(Stdio::null()).spawn().expect("caddy is missing: run .ci/setup");
        Self { process, folder, port, admin }
    }

    /// Leads people where the labels of the running containers say.
    fn follow(&self, names: &[&str]) {
        let Self { process: _, folder, port, admin } = self;
        let sites =
            names.iter().flat_map(|name| containers(name).into_values().filter_map(|container| site(&container)));
        let text = sites.fold(global(*port, *admin), |text, site| text + &site);
        let file = folder.path().join("Caddyfile");
        fs::write(&file, text).unwrap();
        let mut command = caddy(folder);
        command.args(["reload", "--adapter", "caddyfile", "--address", &format!("127.0.0.1:{admin}"), "--config"]);
        let output = command.arg(&file).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}\n{}", fs::read_to_string(&file).unwrap());
    }

    /// What people get at a URL.
    async fn get(&self, url: &str) -> (u16, String) {
        let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let asked = client.get(format!("http://127.0.0.1:{}/{path}", self.port)).header("host", host).send().await;
        let answer = asked.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap().trim().to_owned())
    }
}

impl Drop for Caddy {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn caddy(folder: &TempDir) -> Command {
    let mut command = Command::new(env::var_os("CADDY").map_or_else(|| PathBuf::from("caddy"), PathBuf::from));
    command.env("HOME", folder.path()).env("XDG_DATA_HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn global(port: u16, admin: u16) -> String {
    format!("{{\n\tadmin 127.0.0.1:{admin}\n\thttp_port {port}\n\tdefault_bind 127.0.0.1\n\tauto_https off\n}}\n")
}

/// What caddy-docker-proxy makes of the labels of a container that runs.
fn site(container: &Value) -> Option<String> {
    let labels = &container["Config"]["Labels"];
    let label = |name: &str| labels[name].as_str();
    let network = label("caddy_ingress_network")?;
    let address = container["NetworkSettings"]["Networks"][network]["IPAddress"].as_str().unwrap();
    let upstream = label("caddy.reverse_proxy").unwrap();
    let port = upstream.strip_prefix("{{upstreams ").unwrap().strip_suffix("}}").unwrap();
    Some(format!("{} {{\n\treverse_proxy {address}:{port}\n}}\n", label("caddy").unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn people_reach_services_of_types_through_caddy() {
    let lab = Lab::new().await;
    let caddy = Caddy::start();
    lab.take_stand_ins(&["nginx", "filebrowser", "php", "mysql"]).await;
    let proxy = json!({"kind": "Caddy", "domain": "example.test", "plaintext": true});
    let patch = Patch::Merge(json!({"spec": {"proxy": proxy}}));
    lab.hosts().patch("local", &PatchParams::default(), &patch).await.unwrap();
    lab.publish_sites().await;
    let spec = |types: &[&str], folder: &str, hostname: &str| {
        let mut spec = of(types, sourced(folder));
        (spec["hostname"], spec["filebrowser"]) = (json!(hostname), json!({}));
        spec
    };
    let one = lab.apply("one", "", spec(&["Static"], "static", "one")).await;
    let mut two = spec(&["PHP", "MySQL"], "php", "two");
    two["filebrowser"].take();
    let two = lab.apply("two", "", two).await;
    tokio::join!(lab.until_ready(&one), lab.until_ready(&two));
    caddy.follow(&[&one, &two]);

    let urls = async |name: &str| lab.services().get(name).await.unwrap().status.unwrap().urls.unwrap();
    let (first, second) = (urls(&one).await, urls(&two).await);
    assert_eq!(first.main.as_deref(), Some("http://one.example.test"));
    assert_eq!(second.main.as_deref(), Some("http://two.example.test"));
    assert_eq!((first.filebrowser.as_deref(), second.filebrowser), (Some("http://one-filebrowser.example.test"), None));
    for (url, expected) in [
        ("http://one.example.test/", "static"),
        ("http://two.example.test/", "php"),
        ("http://one-filebrowser.example.test/", "filebrowser"),
        ("http://one-filebrowser.example.test/files/index.html", "static"),
    ] {
        assert_eq!(caddy.get(url).await, (200, expected.to_owned()), "{url}");
    }
    assert_eq!(caddy.get("http://three.example.test/").await.1, "");
    // The database is nobody's site, and not where the proxy is.
    let database = &containers(&two)["mysql"];
    assert_eq!((site(database), database["NetworkSettings"]["Networks"].as_object().unwrap().len()), (None, 1));

    // A service that goes is led to no more, and its name is free.
    lab.delete(&one).await;
    caddy.follow(&[&two]);
    assert_eq!(caddy.get("http://one.example.test/").await.1, "");
    let patch = json!({"hostname": "one"});
    lab.change(&two, patch).await;
    lab.until(&two, "its other URL", |status| status.url.as_deref() == Some("http://one.example.test")).await;
    lab.until_ready(&two).await;
    timeout(Duration::from_secs(30), async {
        loop {
            caddy.follow(&[&two]);
            if caddy.get("http://one.example.test/").await == (200, "php".to_owned()) {
                break;
            }
            sleep(Duration::from_millis(200)).await;
        }
    })
    .await
    .unwrap();
    lab.delete(&two).await;
    assert!(docker(&["ps", "--all", "--quiet", "--filter", &format!("name={}", lab.run.id)]).is_empty());
}
