//! A control plane with the controllers in this process, and a part of a real engine.

use std::{collections::BTreeSet, fmt::Debug, sync::Once, time::Duration};

use cloudfaster::{
    api::{
        self, DockerHost, DockerService, conditions::READY, docker_service::DockerServiceStatus, power::RESTARTED_AT,
    },
    artifacts::Store,
    controller::{self, Settings},
    standalone::ControlPlane,
    telemetry::Telemetry,
};
use k8s_openapi::{
    api::core::v1::{Namespace, Secret},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
    runtime::wait::{await_condition, conditions::is_deleted},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::docker::{Run, command::docker, images};

/// How long anything may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(120);

/// The laboratory: a DockerHost `local`, a namespace `shop` that may use it, and an image whose containers sleep.
pub struct Lab {
    pub run: Run,
    pub client: Client,
    pub image: String,
    /// Where uploaded archives are kept.
    pub artifacts: Store,
    pub plane: ControlPlane,
    _artifacts: TempDir,
    _shutdown: DropGuard,
}

impl Lab {
    pub async fn new() -> Self {
        let local = docker(&["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]);
        let shutdown = CancellationToken::new();
        let lab = Self::idle(&std::env::var("DOCKER_HOST").unwrap_or(local), shutdown.clone()).await;
        let settings = Settings {
            operator_namespace: "cloudfaster-system".to_owned(),
            source_networks: vec!["127.0.0.0/8".parse().unwrap()],
            artifacts: Some(lab.artifacts.clone()),
            ..Settings::default()
        };
        let client = lab.client.clone();
        tokio::spawn(async move {
            let ended = controller::run(settings, client, Telemetry::default(), None, shutdown).await;
            tracing::error!(?ended, "the controller ended by itself");
        });
        lab
    }

    /// One in which no controller runs, and in which the host is reached there.
    pub async fn idle(endpoint: &str, shutdown: CancellationToken) -> Self {
        static START: Once = Once::new();
        START.call_once(|| {
            rustls::crypto::ring::default_provider().install_default().expect("nobody else names a provider");
        });
        let plane = ControlPlane::in_memory(api::crds(), shutdown.clone()).await.unwrap();
        let client = Client::new(plane.router(), "default");
        let run = Run::new();
        let image = format!("{}-app:1", run.id);
        // The first process of a container has to listen to signals itself.
        let listening = r#"CMD ["sh", "-c", "trap 'exit 143' TERM; sleep 1000000 & wait"]"#;
        images::image_with(&image, &[listening], &[]);
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Store::in_folder(folder.path().to_owned()).unwrap();
        let lab = Self {
            run,
            image,
            artifacts,
            client: client.clone(),
            plane,
            _artifacts: folder,
            _shutdown: shutdown.drop_guard(),
        };
        for (name, labels) in [("cloudfaster-system", json!({})), ("shop", json!({"cloudfaster.app/tenant": "true"}))] {
            let namespace = json!({"metadata": {"name": name, "labels": labels}});
            let namespace: Namespace = serde_json::from_value(namespace).unwrap();
            Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        }
        lab.host("local", endpoint).await;
        lab
    }

    /// Makes an engine known, on which the tenant may do what the tests do.
    pub async fn host(&self, name: &str, endpoint: &str) {
        let host = json!({
            "apiVersion": "cloudfaster.app/v1alpha1", "kind": "DockerHost", "metadata": {"name": name},
            "spec": {"endpoint": endpoint, "tenants": [{
                "namespaceSelector": {"matchLabels": {"cloudfaster.app/tenant": "true"}},
                "allow": {"images": ["*"], "ports": [{"from": 1024, "to": 65535}], "names": [format!("{}*", self.run.id)]},
            }]},
        });
        let host: DockerHost = serde_json::from_value(host).unwrap();
        self.hosts().create(&PostParams::default(), &host).await.unwrap();
    }

    pub fn hosts(&self) -> Api<DockerHost> {
        Api::all(self.client.clone())
    }

    pub fn services(&self) -> Api<DockerService> {
        Api::namespaced(self.client.clone(), "shop")
    }

    /// Applies a service with this compose file and what else `spec` says.
    pub async fn apply(&self, name: &str, compose: &str, spec: Value) -> String {
        let name = self.run.name(name);
        let mut object = json!({
            "apiVersion": "cloudfaster.app/v1alpha1", "kind": "DockerService",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"hostRef": {"name": "local"}, "compose": compose, "deletionPolicy": "DeleteVolumes"},
        });
        json_patch::merge(&mut object["spec"], &spec);
        let object: DockerService = serde_json::from_value(object).unwrap();
        self.services().create(&PostParams::default(), &object).await.unwrap();
        name
    }

    /// Changes the spec of a service.
    pub async fn change(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.services().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Asks for a restart, as `kubectl annotate` does.
    pub async fn restart(&self, name: &str) {
        let annotations = json!({RESTARTED_AT: jiff::Timestamp::now().to_string()});
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        self.services().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Asks whether the source of a service has something newer.
    pub async fn fetch(&self, name: &str) {
        self.fetch_with(name, &jiff::Timestamp::now().to_string()).await;
    }

    /// The same with a value of one's own.
    async fn fetch_with(&self, name: &str, value: &str) {
        let annotations = json!({"cloudfaster.app/fetchAt": value});
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        self.services().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Has the source of a service fetched, and waits until it was answered.
    pub async fn fetch_now(&self, name: &str) {
        let value = jiff::Timestamp::now().to_string();
        self.fetch_with(name, &value).await;
        self.until(name, "fetched again", |status| {
            status.source.as_ref().is_some_and(|source| source.fetched_at.as_ref() == Some(&value))
        })
        .await;
    }

    pub async fn secret(&self, name: &str, kind: &str, data: Value) {
        let data = serde_json::from_value(data).unwrap();
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let secret = Secret { metadata, type_: Some(kind.to_owned()), string_data: Some(data), ..Secret::default() };
        let api = Api::<Secret>::namespaced(self.client.clone(), "shop");
        api.create(&PostParams::default(), &secret).await.unwrap();
    }

    /// Waits until the status of a service, of its present generation, is so.
    pub async fn until(&self, name: &str, what: &str, holds: impl Fn(&DockerServiceStatus) -> bool) {
        until(self.services(), name, what, |object| {
            let status = object.status.as_ref();
            status.is_some_and(|it| Some(it.observed_generation) == object.metadata.generation && holds(it))
        })
        .await;
    }

    pub async fn until_ready(&self, name: &str) {
        self.until(name, "Ready", |status| ready(&status.conditions).is_some_and(|ready| ready.status == "True")).await;
    }

    /// Waits until it is told that it is not Ready, by this reason and with these words.
    pub async fn until_told(&self, name: &str, reason: &str, words: &[&str]) {
        self.until(name, &format!("{reason}, with {words:?}"), |status| {
            ready(&status.conditions).is_some_and(|ready| {
                let told = ready.status == "False" && ready.reason == reason;
                told && words.iter().all(|word| ready.message.contains(word))
            })
        })
        .await;
    }

    /// Deletes a service and waits until it is gone.
    pub async fn delete(&self, name: &str) {
        let uid = self.services().get(name).await.unwrap().uid().unwrap();
        self.services().delete(name, &DeleteParams::default()).await.unwrap();
        let gone = await_condition(self.services(), name, is_deleted(&uid));
        timeout(LIMIT, gone).await.unwrap_or_else(|_| panic!("{name} does not go")).unwrap();
    }

    /// Waits until a service is gone.
    pub async fn until_gone(&self, name: &str) {
        let gone = await_condition(self.services(), name, |object: Option<&DockerService>| object.is_none());
        timeout(LIMIT, gone).await.unwrap_or_else(|_| panic!("{name} does not go")).unwrap();
    }

    /// The ids of the containers of a service that run.
    pub fn running(&self, name: &str) -> BTreeSet<String> {
        let filter = format!("label=cloudfaster.app/name={name}");
        docker(&["ps", "--quiet", "--no-trunc", "--filter", &filter]).split_whitespace().map(str::to_owned).collect()
    }
}

/// Waits until an object is so.
pub async fn until<K>(api: Api<K>, name: &str, what: &str, holds: impl Fn(&K) -> bool)
where
    K: Clone + Debug + Send + DeserializeOwned + Resource<DynamicType = ()> + 'static,
{
    let waiting = await_condition(api.clone(), name, |object: Option<&K>| object.is_some_and(&holds));
    match timeout(LIMIT, waiting).await {
        Ok(done) => drop(done.unwrap()),
        Err(_) => panic!("{name}, in vain: {what}\n{:#?}", api.get(name).await),
    }
}

/// What a status says of being Ready.
pub fn ready(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == READY)
}
