//! What the tests share: a shim on its laboratory, keys, and a client that holds every exchange to the document.

mod client;
mod document;

use std::{io::Write, time::Duration};

use cloudfaster::{
    api::{DockerHost, DockerService},
    artifacts::Store,
    rest::{self, Listener},
    telemetry::Telemetry,
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use client::{Answer, Client, Part, text};

use crate::laboratory::{Lab, lab::LISTEN, small};

/// A key that may do everything, for all users.
pub const ADMIN: &str = "an administrator's key";

/// A shim, and all that is behind it.
pub struct Site {
    pub lab: Lab,
    pub shim: Shim,
    pub artifacts: TempDir,
}

/// A running shim; it ends with this.
pub struct Shim {
    pub url: String,
    pub telemetry: Telemetry,
    pub stop: CancellationToken,
    pub task: JoinHandle<Result<(), rest::ServeError>>,
    _stop: DropGuard,
}

#[derive(clap::Parser)]
struct Arguments {
    #[command(flatten)]
    settings: rest::Settings,
}

/// The settings that these arguments make.
pub fn settings(arguments: &[&str]) -> rest::Settings {
    let arguments = ["rest"].into_iter().chain(arguments.iter().copied());
    <Arguments as clap::Parser>::parse_from(arguments).settings
}

impl Shim {
    /// A shim of the control plane behind this client.
    pub async fn start(client: kube::Client, settings: rest::Settings) -> Self {
        let listener = Listener::bind(LISTEN, &settings).await.unwrap();
        let (url, telemetry, stop) = (listener.url(), Telemetry::default(), CancellationToken::new());
        let task = tokio::spawn(rest::run(listener, settings, client, telemetry.clone(), stop.clone()));
        Self { url, telemetry, _stop: stop.clone().drop_guard(), stop, task }
    }

    /// A client with a key.
    pub fn client(&self, key: &str) -> Client {
        Client::new(&self.url, Some(key))
    }
}

impl Site {
    /// With a cluster of one node, a controller, and an administrator's key.
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same with arguments of the shim.
    pub async fn with(arguments: &[&str]) -> Self {
        let mut site = Self::bare(arguments).await;
        site.lab.connect().await;
        site.lab.start();
        site.lab
            .until("the cluster is Ready", |lab| {
                let conditions = lab.cluster().and_then(|cluster| cluster.status).map(|status| status.conditions);
                conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
            })
            .await;
        site.knows_systems().await;
        site
    }

    /// Without a cluster and a controller.
    pub async fn bare(arguments: &[&str]) -> Self {
        let lab = Lab::bare(small(1)).await;
        lab.create::<Namespace>(json!({"metadata": {"name": rest::NAMESPACE}})).await;
        let labels = json!({rest::LABEL: "true", "cloudfaster.app/tenant": "true"});
        lab.create::<Namespace>(json!({"metadata": {"name": rest::USERS_NAMESPACE, "labels": labels}})).await;
        let artifacts = tempfile::tempdir().unwrap();
        let settings = rest::Settings { artifacts: Some(store(&artifacts)), ..settings(arguments) };
        let site = Self { shim: Shim::start(lab.client.clone(), settings).await, lab, artifacts };
        site.key("admin", ADMIN, "admin", None).await;
        site.until_right(ADMIN).await;
        site
    }

    /// A client with the administrator's key.
    pub fn admin(&self) -> Client {
        self.shim.client(ADMIN)
    }

    /// Puts a key there, as `cloudfaster apikey create` does.
    pub async fn key(&self, id: &str, key: &str, scopes: &str, user: Option<&str>) {
        let mut data = json!({"hash": hex::encode(Sha256::digest(key)), "owner": "a test", "scopes": scopes});
        if let Some(user) = user {
            data["user"] = json!(user);
        }
        let metadata = json!({"name": id, "labels": {"cloudfaster.app/api-key": "true"}});
        let secret = json!({"metadata": metadata, "type": "cloudfaster.app/api-key", "stringData": data});
        self.lab.create_in::<Secret>(rest::NAMESPACE, secret).await;
    }

    /// Makes a Docker host known, which nobody looks at.
    pub async fn docker_host(&self, spec: Value) {
        let mut host = json!({
            "apiVersion": "cloudfaster.app/v1alpha1", "kind": "DockerHost", "metadata": {"name": "docker1"},
            "spec": {"endpoint": "tcp://127.0.0.1:1", "insecurePlaintext": true},
        });
        json_patch::merge(&mut host["spec"], &spec);
        self.lab.create::<DockerHost>(host).await;
        let probe = self.services();
        let admin = self.admin();
        until(async || {
            let made = admin.form("/service", &service("0", "probe")).await;
            assert!([201, 503].contains(&made.status), "{made:?}");
            made.status == 201
        })
        .await;
        for made in probe.list(&ListParams::default()).await.unwrap() {
            probe.delete(&made.name_any(), &DeleteParams::default()).await.unwrap();
        }
    }

    /// The services of all users.
    pub fn services(&self) -> Api<DockerService> {
        Api::namespaced(self.lab.client.clone(), rest::USERS_NAMESPACE)
    }

    /// Waits until a key opens something.
    pub async fn until_right(&self, key: &str) {
        let client = self.shim.client(key);
        until(async || client.get("/protected").await.status == 200).await;
    }

    /// Waits until the shim has seen which operating systems there are.
    pub async fn knows_systems(&self) {
        let admin = self.admin();
        // An answer that makes nothing: the system is unknown in any case.
        until(async || admin.form("/vm", "userid=0&vm_name=x&os=NONE").await.status == 422).await;
    }
}

/// The store in a folder.
pub fn store(folder: &TempDir) -> Store {
    Store::in_folder(folder.path().to_owned()).unwrap()
}

/// A ZIP archive with these files.
pub fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, content) in files {
        writer.start_file(*path, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Waits for something that nobody tells of.
pub async fn until(holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::laboratory::lab::LIMIT, waiting).await.expect("it does not come true");
}

/// The detail of an answer, where it is a sentence.
pub fn detail(answer: &Answer) -> &str {
    answer.body["detail"].as_str().unwrap_or_else(|| panic!("no sentence: {answer:?}"))
}

/// A form for a small machine.
pub fn machine(userid: &str, name: &str) -> String {
    format!("userid={userid}&vm_name={name}&os=DEBIAN12&disksize=10&cores=1&memory=1024")
}

/// A form for a small service.
pub fn service(userid: &str, name: &str) -> String {
    format!("userid={userid}&service_name={name}&service_types=Static")
}

/// The kinds of faults of an answer, with their places.
pub fn faults(answer: &Answer) -> Vec<(String, Value)> {
    let all = answer.body["detail"].as_array().unwrap_or_else(|| panic!("no faults: {answer:?}"));
    all.iter().map(|fault| (fault["type"].as_str().unwrap().to_owned(), fault["loc"].clone())).collect()
}
