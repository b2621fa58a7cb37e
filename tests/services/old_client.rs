//! An old client of the REST API, whose service runs on a real engine.

use std::{io::Write, net::SocketAddr, time::Duration};

use cloudfaster::{
    artifacts::Artifact,
    rest::{self, Listener, USERS_NAMESPACE},
    telemetry::Telemetry,
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{docker::command::docker, lab::Lab};

const KEY: &str = "an administrator's key";
const LIMIT: Duration = Duration::from_secs(120);

#[derive(clap::Parser)]
struct Arguments {
    #[command(flatten)]
    settings: rest::Settings,
}

/// A shim, and a client of it.
struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    async fn start(lab: &Lab, stop: CancellationToken) -> Self {
        for (name, labels) in
            [(rest::NAMESPACE, json!({})), (USERS_NAMESPACE, json!({"cloudfaster.app/tenant": "true"}))]
        {
            let namespace: Namespace =
                serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap();
            Api::all(lab.client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        }
        let metadata = json!({"name": "admin", "labels": {"cloudfaster.app/api-key": "true"}});
        let data = json!({"hash": hex::encode(Sha256::digest(KEY)), "owner": "a test", "scopes": "services,read"});
        let secret = json!({"metadata": metadata, "type": "cloudfaster.app/api-key", "stringData": data});
        let secret: Secret = serde_json::from_value(secret).unwrap();
        let secrets = Api::namespaced(lab.client.clone(), rest::NAMESPACE);
        secrets.create(&PostParams::default(), &secret).await.unwrap();
        let settings = <Arguments as clap::Parser>::parse_from(["rest"]).settings;
        let settings = rest::Settings { artifacts: Some(lab.artifacts.clone()), ..settings };
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(address, &settings).await.unwrap();
        let url = listener.url();
        tokio::spawn(rest::run(listener, settings, lab.client.clone(), Telemetry::default(), stop));
        let client = Self { http: reqwest::Client::new(), url };
        client.until("/protected", |status, _| status == 200).await;
        client
    }

    async fn ask(&self, request: RequestBuilder) -> (u16, Value) {
        let response = request.header("X-API-Key", KEY).send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.text().await.unwrap();
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    async fn until(&self, path: &str, holds: impl Fn(u16, &Value) -> bool) -> Value {
        let mut last = (0, Value::Null);
        let waiting = async {
            loop {
                last = self.ask(self.http.get(format!("{}{path}", self.url))).await;
                if holds(last.0, &last.1) {
                    return;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        let done = timeout(LIMIT, waiting).await;
        assert!(done.is_ok(), "{path}, in vain: {last:?}");
        last.1
    }

    async fn post(&self, path: &str) -> (u16, Value) {
        self.ask(self.http.post(format!("{}{path}", self.url))).await
    }
}

fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, content) in files {
        writer.start_file(*path, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn form(parts: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file, content) in parts {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        write!(body, "--B\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").unwrap();
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--B--\r\n");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_client_has_its_archive_served_until_it_deletes_the_service() {
    let lab = Lab::new().await;
    lab.take_stand_ins(&["nginx", "filebrowser"]).await;
    let stop = CancellationToken::new();
    let client = Client::start(&lab, stop.clone()).await;
    let _stop = stop.drop_guard();
    let archive = zip(&[("index.html", "hello from the archive")]);
    // The run's id, so that everything is found and removed at the end.
    let name = lab.run.name("shop");
    let body = form(&[
        ("userid", None, b"7"),
        ("service_name", None, name.as_bytes()),
        ("service_types", None, b"Static"),
        ("admin_pass", None, b"a long password"),
        ("zip_file", Some("site.zip"), &archive),
    ]);
    let request = client.http.post(format!("{}/service?wait=100", client.url)).body(body);
    let (status, made) = client.ask(request.header("content-type", "multipart/form-data; boundary=B")).await;
    assert_eq!((status, &made["status"]), (201, &json!("enabled")), "{made}\n{:#?}", told(&lab).await);
    let id = made["service_id"].as_str().unwrap();
    let object = object(&lab).await;
    let container = |service: &str| {
        let project = format!("label=com.docker.compose.service={service}");
        let mine = format!("label=cloudfaster.app/name={object}");
        docker(&["ps", "--quiet", "--filter", &mine, "--filter", &project])
    };
    assert_eq!(
        docker(&["exec", &container("web"), "wget", "-q", "-O", "-", "http://127.0.0.1/"]),
        "hello from the archive"
    );
    assert_eq!(docker(&["exec", &container("filebrowser"), "cat", "/database/user"]), "a long password");

    let path = format!("/service/{id}");
    for (action, status) in [("apagar", "disabled"), ("start", "enabled")] {
        assert_eq!(client.post(&format!("/control-service/{id}/{action}")).await.0, 200);
        let mut seen = Value::Null;
        let waiting = async {
            loop {
                seen = client.ask(client.http.get(format!("{}{path}", client.url))).await.1;
                if seen["status"] == status {
                    return;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        if timeout(LIMIT, waiting).await.is_err() {
            panic!("{action}: {seen}\n{:#}", told(&lab).await);
        }
    }
    let before = container("web");
    let started = docker(&["inspect", "--format", "{{.State.StartedAt}}", &before]);
    assert_eq!(client.post(&format!("/control-service/{id}/reiniciar")).await.0, 200);
    let restarted = async {
        while docker(&["inspect", "--format", "{{.State.StartedAt}}", &before]) == started {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LIMIT, restarted).await.expect("it does not restart");

    // The archive is lost: what runs goes on, and what would need it is told.
    let sha256 = hex::encode(Sha256::digest(&archive));
    let artifact = Artifact { namespace: USERS_NAMESPACE.to_owned(), sha256 };
    assert!(lab.artifacts.get(&artifact, 1 << 20).await.is_ok());
    let patch = json!({"spec": {"source": {"archive": {"artifact": "0".repeat(64)}}}});
    let api = services(&lab);
    api.patch(&object, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    client.until(&path, |_, body| body["status"] == "error").await;
    assert!(told(&lab).await.to_string().contains("upload it again"), "{:#?}", told(&lab).await);
    assert_eq!(container("web"), before);

    assert_eq!(client.post(&format!("/control-service/{id}/eliminar")).await.0, 200);
    client.until(&path, |status, _| status == 404).await;
    let gone = async {
        while !api.list(&ListParams::default()).await.unwrap().items.is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LIMIT, gone).await.expect("it does not go");
    let mine = format!("label=cloudfaster.app/name={object}");
    assert_eq!(docker(&["ps", "--all", "--quiet", "--filter", &mine]), "");
    assert_eq!(docker(&["volume", "ls", "--quiet", "--filter", &mine]), "");
}

fn services(lab: &Lab) -> Api<cloudfaster::api::DockerService> {
    Api::namespaced(lab.client.clone(), USERS_NAMESPACE)
}

/// The name of the only service.
async fn object(lab: &Lab) -> String {
    services(lab).list(&ListParams::default()).await.unwrap().items.remove(0).metadata.name.unwrap()
}

async fn told(lab: &Lab) -> Value {
    let all = services(lab).list(&ListParams::default()).await.unwrap();
    json!(all.items.iter().map(|service| &service.status).collect::<Vec<_>>())
}
