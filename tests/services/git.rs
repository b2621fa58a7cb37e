//! Services whose files are in git repositories.

use cloudfaster::api::docker_service::DockerServiceStatus;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tempfile::TempDir;

use crate::{docker::command::docker, lab::Lab, repository::Repository, server::Server, sshd::Sshd};

/// A server over TLS that lets in whoever has a password, with a repository.
struct Forge {
    root: TempDir,
    repository: Repository,
    server: Server,
    authority: String,
}

impl Forge {
    async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let repository = Repository::new(root.path(), "site.git");
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &authority).unwrap();
        let server = Server::start_tls(root.path(), certificate.pem(), key.serialize_pem()).await;
        server.behave(|manners| manners.password = Some(("deploy".to_owned(), "hunter2hunter2".to_owned())));
        Self { root, repository, server, authority: authority.pem() }
    }

    fn commit(&self, image: &str, page: &str) -> String {
        let compose = format!("services:\n  web:\n    image: {image}\n    volumes: ['./site:/site:ro']\n");
        self.repository.commit(&[("compose.yaml", compose.as_str()), ("site/index.html", page)])
    }
}

impl Lab {
    fn page(&self, name: &str) -> String {
        let container = self.running(name).into_iter().next().unwrap();
        docker(&["exec", &container, "cat", "/site/index.html"])
    }

    async fn until_source(&self, name: &str, what: &str, holds: impl Fn(&str, &[String]) -> bool) {
        self.until(name, what, |status: &DockerServiceStatus| {
            let ready = status.containers_ready.as_deref() == Some("1/1") && status.phase.is_some();
            ready && status.source.as_ref().is_some_and(|source| holds(&source.revision, &source.notes))
        })
        .await;
        self.until_ready(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_follows_its_repository_over_https() {
    let lab = Lab::new().await;
    let forge = Forge::start().await;
    let first = forge.commit(&lab.image, "first");
    let git = |more: serde_json::Value| {
        let mut git = json!({"url": forge.server.url("site.git"), "secretRef": {"name": "forge"}});
        json_patch::merge(&mut git, &more);
        json!({"compose": null, "composeFile": "compose.yaml", "source": {"git": git}})
    };
    let name = lab.apply("git", "", git(json!({"branch": "main"}))).await;
    lab.until_told(&name, "DependencyNotFound", &["spec.source.git.secretRef", "no Secret forge"]).await;
    let secret = json!({"username": "deploy", "password": "hunter2hunter2", "ca.crt": forge.authority});
    lab.secret("forge", "Opaque", secret).await;
    lab.until_source(&name, "the first commit", |revision, _| revision == format!("main@sha1:{first}")).await;
    assert_eq!(lab.page(&name), "first");

    // It asks again when it is told to, and keeps what runs when it is not answered.
    let second = forge.commit(&lab.image, "second");
    lab.fetch(&name).await;
    lab.until_source(&name, "the second commit", |revision, _| revision.ends_with(&second)).await;
    assert_eq!(lab.page(&name), "second");
    forge.server.behave(|manners| manners.status = Some(503));
    lab.fetch(&name).await;
    lab.until(&name, "a warning", |status| {
        let warning = status.conditions.iter().find(|condition| condition.type_ == "Warning");
        warning.is_some_and(|warning| warning.reason == "FetchFailed" && warning.message.contains("503"))
    })
    .await;
    lab.until_ready(&name).await;
    forge.server.behave(|manners| manners.status = None);

    // History that is rewritten is followed, and told.
    forge.repository.git(&["reset", "-q", "--hard", &first]);
    let third = forge.commit(&lab.image, "third");
    lab.fetch(&name).await;
    lab.until_source(&name, "the rewritten branch", |revision, notes| {
        revision.ends_with(&third) && notes.iter().any(|note| note.contains("rewritten"))
    })
    .await;
    assert_eq!(lab.page(&name), "third");
    // It is told for as long as that is the newest.
    lab.fetch_now(&name).await;
    lab.until_source(&name, "the same", |revision, notes| revision.ends_with(&third) && !notes.is_empty()).await;

    // A version, and what is not there.
    forge.repository.git(&["tag", "v1.2.0", &first]);
    forge.repository.git(&["tag", "v2.0.0"]);
    forge.repository.push();
    lab.change(&name, json!({"source": {"git": {"branch": null, "version": "^1"}}})).await;
    lab.until_source(&name, "the version", |revision, _| revision == format!("v1.2.0@sha1:{first}")).await;
    assert_eq!(lab.page(&name), "first");
    let running = lab.running(&name);
    lab.change(&name, json!({"source": {"git": {"version": null, "branch": "mian"}}})).await;
    lab.until_told(&name, "FetchRefused", &["spec.source", r#"no branch "mian""#, r#""main""#]).await;
    lab.change(&name, json!({"source": {"git": {"url": "ext::sh -c id"}}})).await;
    lab.until_told(&name, "InvalidSource", &["spec.source.git.url"]).await;
    assert_eq!(lab.running(&name), running, "what runs goes on");
    let status = serde_json::to_string(&lab.services().get(&name).await.unwrap().status).unwrap();
    assert!(!status.contains("hunter2"), "{status}");
    lab.delete(&name).await;
    drop(forge.root);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_follows_its_repository_over_ssh() {
    let lab = Lab::new().await;
    let forge = Forge::start().await;
    let commit = forge.commit(&lab.image, "over ssh");
    let sshd = Sshd::start(true);
    let secret = json!({"ssh-privatekey": sshd.file("user"), "known_hosts": sshd.known("other.pub")});
    lab.secret("key", "Opaque", secret).await;
    let git = json!({"url": sshd.url(&forge.repository.bare), "commit": commit, "secretRef": {"name": "key"}});
    let spec = json!({"compose": null, "composeFile": "compose.yaml", "source": {"git": git}});
    let name = lab.apply("ssh", "", spec).await;
    lab.until_told(&name, "FetchRefused", &["is not trusted"]).await;
    let secret = json!({"ssh-privatekey": sshd.file("user"), "known_hosts": sshd.known("host.pub")});
    lab.secret("right-key", "Opaque", secret).await;
    lab.change(&name, json!({"source": {"git": {"secretRef": {"name": "right-key"}}}})).await;
    lab.until_source(&name, "the commit", |revision, _| revision.ends_with(&commit)).await;
    assert_eq!(lab.page(&name), "over ssh");
    lab.delete(&name).await;
    drop(forge.root);
}
