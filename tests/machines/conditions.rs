//! What is wrong is said on the cluster and on the machine, without any secret, and it goes on by itself once it is mended.

use base64::{Engine, prelude::BASE64_STANDARD};
use cloudfaster::simulator::{Effect, Fault, Scenario, TokenSpec};
use k8s_openapi::api::core::v1::{Event, Namespace, Secret};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Lab, lab, logs, reason, small};

/// A laboratory whose credentials nobody else has, so that they can be searched for.
struct Case {
    lab: Lab,
    token: String,
    password: String,
}

const NAMESPACE: &str = "cloudfaster-system";

impl Case {
    async fn new() -> Self {
        let token = Uuid::new_v4().to_string();
        let password = format!("pw-{}", Uuid::new_v4());
        let mut scenario = small(1);
        scenario.tokens = vec![TokenSpec::new(Scenario::TOKEN_ID, &token)];
        let mut lab = Lab::bare(scenario).await;
        let login = json!({"metadata": {"name": "login"}, "stringData": {"password": password}});
        lab.create_in::<Secret>("shop", login).await;
        lab.start();
        Self { lab, token, password }
    }

    /// The cluster, with a patch of its spec, and a machine on it.
    async fn apply(&self, spec: Value) {
        let mut cluster = serde_json::to_value(self.lab.cluster_object()).unwrap();
        json_patch::merge(&mut cluster["spec"], &spec);
        self.lab.clusters().create(&PostParams::default(), &serde_json::from_value(cluster).unwrap()).await.unwrap();
        self.machine().await;
    }

    async fn machine(&self) {
        let cloud_init = json!({"cloudInit": {"passwordSecretRef": {"name": "login", "key": "password"}}});
        self.lab.machine("one", cloud_init).await;
    }

    async fn credentials(&self, secret: &str) {
        self.lab.create_in::<Secret>(NAMESPACE, lab::credentials(secret)).await;
    }

    async fn patch_secret(&self, namespace: &str, name: &str, patch: Value) {
        let secrets: Api<Secret> = Api::namespaced(self.lab.client.clone(), namespace);
        secrets.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    fn of_cluster(&self) -> (String, String) {
        reason(&self.lab.cluster().and_then(|cluster| cluster.status).unwrap_or_default().conditions)
    }

    fn of_machine(&self) -> (String, String) {
        reason(&self.lab.get("one").and_then(|vm| vm.status).unwrap_or_default().conditions)
    }

    /// The cluster is not ready for this reason, and the machine says it too.
    async fn until_told(&self, word: &str, on_machine: &str) {
        self.lab
            .until(&format!("{word} on the cluster and {on_machine:?} on the machine"), |_| {
                let (of_machine, message) = self.of_machine();
                self.of_cluster().0 == word && (of_machine == word || message.contains(on_machine))
            })
            .await;
        self.no_secret(&[]).await;
    }

    /// The machine waits for this reason, and its message has these words.
    async fn until_machine_told(&self, word: &str, says: &[&str]) {
        self.lab
            .until(&format!("{word} with {says:?} on the machine"), |_| {
                let (of_machine, message) = self.of_machine();
                of_machine == word && says.iter().all(|part| message.contains(part))
            })
            .await;
        self.no_secret(&[]).await;
    }

    /// The machine is Ready, and has been asked for once.
    async fn mended(&self, more: &[&str]) {
        self.lab.until_ready(&["one"]).await;
        self.lab.assert_exactly(&["one"], "mended");
        self.no_secret(more).await;
    }

    /// No secret stands in any object but the Secrets, nor in any event or log.
    async fn no_secret(&self, more: &[&str]) {
        let client = &self.lab.client;
        let machines = self.lab.machines().list(&ListParams::default()).await.unwrap();
        let clusters = self.lab.clusters().list(&ListParams::default()).await.unwrap();
        let events = Api::<Event>::all(client.clone()).list(&ListParams::default()).await.unwrap();
        let places = [
            ("the machine", serde_json::to_string(&machines).unwrap()),
            ("the cluster", serde_json::to_string(&clusters).unwrap()),
            ("the events", serde_json::to_string(&events).unwrap()),
            ("the logs", logs::kept().to_string()),
        ];
        for secret in [self.token.as_str(), self.password.as_str()].iter().chain(more) {
            for form in [(*secret).to_owned(), BASE64_STANDARD.encode(secret)] {
                for (place, text) in &places {
                    assert!(!text.contains(&form), "a secret stands in {place}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_told_and_a_right_one_goes_on() {
    let case = Case::new().await;
    let wrong = Uuid::new_v4().to_string();
    case.credentials(&wrong).await;
    case.apply(json!({})).await;
    case.until_told("Unauthorized", "credentials").await;
    case.patch_secret(NAMESPACE, "proxmox", json!({"stringData": {"tokenSecret": case.token}})).await;
    case.mended(&[wrong.as_str()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_later_is_told_and_spares_the_machine() {
    let case = Case::new().await;
    case.credentials(&case.token).await;
    case.apply(json!({})).await;
    case.lab.until_ready(&["one"]).await;
    let revoked = Fault::new(Effect::TokenRevoked { token: Scenario::TOKEN_ID.to_owned() });
    let revoked = case.lab.simulator.fault(revoked).unwrap();
    case.lab.machine("two", json!({})).await;
    case.lab
        .until("the cluster and the new machine tell", |lab| {
            let two = reason(&lab.get("two").and_then(|vm| vm.status).unwrap_or_default().conditions);
            case.of_cluster().0 == "Unauthorized" && (two.0 == "Unauthorized" || two.1.contains("credentials"))
        })
        .await;
    case.no_secret(&[]).await;
    assert_eq!(case.lab.made().len(), 1, "{}", case.lab.describe());
    case.lab.simulator.clear_fault(revoked);
    case.lab.until_ready(&["one", "two"]).await;
    case.lab.assert_exactly(&["one", "two"], "the token is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_fingerprint_is_told_and_gets_no_credentials() {
    let case = Case::new().await;
    case.credentials(&case.token).await;
    let strange = ["AA"; 32].join(":");
    case.apply(json!({"tls": {"fingerprints": [strange]}})).await;
    case.until_told("CertificateNotTrusted", "fingerprint").await;
    assert_eq!(case.lab.simulator.requests().len(), 0, "the token was shown to a stranger");
    let shown = case.of_cluster().1;
    assert!(shown.contains(case.lab.proxmox.fingerprint()), "the remedy is not told: {shown}");
    case.lab.patch_cluster(json!({"spec": {"tls": {"fingerprints": [case.lab.proxmox.fingerprint()]}}})).await;
    case.mended(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_nobody_listens_at_is_told() {
    let case = Case::new().await;
    case.credentials(&case.token).await;
    // A port that was free a moment ago.
    let closed = std::net::TcpListener::bind(lab::LISTEN).unwrap().local_addr().unwrap();
    case.apply(json!({"endpoints": [format!("https://{closed}")]})).await;
    case.until_told("Unreachable", &closed.to_string()).await;
    case.lab.patch_cluster(json!({"spec": {"endpoints": [case.lab.proxmox.url()]}})).await;
    case.mended(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_are_waited_for() {
    let case = Case::new().await;
    case.apply(json!({})).await;
    case.until_told("DependencyNotFound", "Secret proxmox").await;
    assert!(case.of_cluster().1.contains("Secret proxmox"), "{:?}", case.of_cluster());
    case.credentials(&case.token).await;
    case.mended(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_without_keys_are_told() {
    let case = Case::new().await;
    let empty = json!({"metadata": {"name": "proxmox"}, "stringData": {"tokenId": Scenario::TOKEN_ID, "other": "x"}});
    case.lab.create_in::<Secret>(NAMESPACE, empty).await;
    case.apply(json!({})).await;
    case.until_told("InvalidSecret", "tokenSecret").await;
    case.patch_secret(NAMESPACE, "proxmox", json!({"stringData": {"tokenSecret": case.token}})).await;
    case.mended(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_cluster_is_waited_for() {
    let case = Case::new().await;
    case.credentials(&case.token).await;
    case.machine().await;
    case.until_machine_told("DependencyNotFound", &["spec.clusterRef", "main"]).await;
    case.lab.clusters().create(&PostParams::default(), &case.lab.cluster_object()).await.unwrap();
    case.mended(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_of_the_machine_is_waited_for() {
    let case = Case::new().await;
    case.credentials(&case.token).await;
    case.lab.clusters().create(&PostParams::default(), &case.lab.cluster_object()).await.unwrap();
    let keys = json!({"cloudInit": {"sshKeySecretRefs": [{"name": "keys", "key": "team"}]}});
    case.lab.machine("one", keys).await;
    case.until_machine_told("DependencyNotFound", &["spec.cloudInit.sshKeySecretRefs[0]", "keys"]).await;
    case.lab.create_in::<Secret>("shop", json!({"metadata": {"name": "keys"}, "stringData": {"other": "x"}})).await;
    case.until_machine_told("DependencyNotFound", &["Secret keys has no key team"]).await;
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVYy5KqQJ7o7gxDIxf1q9Jq0m8qm0p7y0cXl0x0Y0aB a@b";
    case.patch_secret("shop", "keys", json!({"stringData": {"team": key}})).await;
    case.mended(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_not_admitted_is_told() {
    let case = Case::new().await;
    case.credentials(&case.token).await;
    case.apply(json!({"tenants": [{"namespaceSelector": {"matchLabels": {"other": "true"}}}]})).await;
    case.until_machine_told("NamespaceNotAdmitted", &["main", "shop", "spec.tenants"]).await;
    assert!(case.lab.made().is_empty());
    let namespaces: Api<Namespace> = Api::all(case.lab.client.clone());
    let label = Patch::Merge(json!({"metadata": {"labels": {"other": "true"}}}));
    namespaces.patch("shop", &PatchParams::default(), &label).await.unwrap();
    case.mended(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operating_system_without_a_template_names_those_that_there_are() {
    let case = Case::new().await;
    case.credentials(&case.token).await;
    case.lab.clusters().create(&PostParams::default(), &case.lab.cluster_object()).await.unwrap();
    case.lab.machine("one", json!({"os": "PLAN9"})).await;
    case.lab.until("it says so", |_| case.of_machine().1.contains("DEBIAN12")).await;
    let templates = json!([{"os": "DEBIAN12", "name": "debian12"}, {"os": "PLAN9", "name": "debian12"}]);
    case.lab.patch_cluster(json!({"spec": {"templates": templates}})).await;
    case.mended(&[]).await;
}
