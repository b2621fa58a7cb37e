//! Engines that are reached over TLS and SSH, that restart, whose disk is full, or that are too old.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::Command,
};

use axum::{Json, Router, routing::get};
use bollard::models::ContainerCreateBody;
use bytes::Bytes;
use cloudfaster::docker::engine::{
    Access, Archive, Engine, Error, Identity, Limits, Node, Settings, Ssh, Tls,
    inventory::{Reach, Snapshot},
    outcome::{self, Class},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tempfile::TempDir;

use crate::{
    calls::body,
    inventory::{start, until},
    process::Process,
    support::{Run, command::try_docker, dockerd::Dockerd, images},
};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn connect(address: &str, access: Access) -> Result<Engine, Error> {
    Engine::new(&Settings { address: address.parse().unwrap(), access, limits: Limits::default() })
}

#[track_caller]
fn expect<T>(answer: Result<T, Error>, class: Class, word: &str) -> String {
    let Err(error) = answer else { panic!("it succeeds, expected was {word}") };
    let failure = outcome::of(&error);
    assert_eq!((failure.class, failure.word), (class, word), "{}", failure.message);
    failure.message
}

/// An authority of the test's.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a name, and its key, in PEM.
    fn sign(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn client(&self) -> Identity {
        let (certificate, key) = self.sign("client", ExtendedKeyUsagePurpose::ClientAuth);
        Identity { certificate, key: key.into() }
    }
}

#[tokio::test]
async fn an_engine_is_reached_over_tls_by_whoever_it_knows_and_only_if_it_is_known() {
    let (ours, other) = (Authority::new(), Authority::new());
    let (certificate, key) = ours.sign("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ca, cert, key) = (file("ca.pem", &ours.pem()), file("cert.pem", &certificate), file("key.pem", &key));
    let port = free_port();
    let host = format!("tcp://127.0.0.1:{port}");
    let files = ["--tlscacert", &ca, "--tlscert", &cert, "--tlskey", &key];
    let arguments: Vec<&str> = ["--tlsverify", "--host", &host].into_iter().chain(files).collect();
    let _dockerd = Dockerd::start(&arguments).await;
    let by = |host: &str, ca: &Authority, client: Option<Identity>| {
        connect(host, Access::Tls(Tls { ca: Some(ca.pem()), client })).unwrap()
    };

    let engine = by(&host, &ours, Some(ours.client()));
    engine.ping().await.unwrap();
    engine.capacity().await.unwrap();
    // Streams and changes too.
    engine.subscribe(None, &["container"], &["create"]).await.unwrap();
    assert!(engine.remove_volume("cft-none").await.is_ok());

    expect(by(&host, &ours, None).ping().await, Class::Wait, "HostRefusesCredentials");
    expect(by(&host, &ours, Some(other.client())).ping().await, Class::Wait, "HostRefusesCredentials");
    expect(by(&host, &other, Some(ours.client())).ping().await, Class::Wait, "HostNotTrusted");
    let misnamed = format!("tcp://localhost:{port}");
    expect(by(&misnamed, &ours, Some(ours.client())).ping().await, Class::Wait, "HostNotTrusted");
    let system = connect(&host, Access::Tls(Tls { ca: None, client: Some(ours.client()) })).unwrap();
    expect(system.ping().await, Class::Wait, "HostNotTrusted");

    for (tls, problem) in [
        (Tls { ca: Some("nonsense".into()), client: None }, "the CA certificate is not usable"),
        (
            Tls { ca: None, client: Some(Identity { certificate: "nonsense".into(), key: "nonsense".into() }) },
            "the client certificate is not usable",
        ),
        (
            Tls { ca: None, client: Some(Identity { key: "nonsense".into(), ..ours.client() }) },
            "the client's key is not usable",
        ),
        (Tls { ca: None, client: Some(Identity { key: ours.client().key, ..ours.client() }) }, "do not fit together"),
    ] {
        let message = expect(connect(&host, Access::Tls(tls)), Class::Stalled, "InvalidRequest");
        assert!(message.contains(problem), "{message}");
    }
}

/// An SSH server; it ends when this is dropped.
struct Sshd {
    folder: TempDir,
    port: u16,
    _process: Process,
}

impl Sshd {
    async fn start(forwarding: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, kind) in
            [("host", "ed25519"), ("host-rsa", "rsa"), ("user", "ed25519"), ("user-rsa", "rsa"), ("other", "ed25519")]
        {
            let made = Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(path(name)).status();
            assert!(made.is_ok_and(|status| status.success()), "ssh-keygen is missing: install openssh-client");
        }
        let read = |name: &str| fs::read_to_string(path(name)).unwrap();
        fs::write(path("authorized"), read("user.pub") + &read("user-rsa.pub")).unwrap();
        let port = free_port();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PidFile none\nPermitRootLogin yes\nPasswordAuthentication no\nAllowStreamLocalForwarding {forwarding}\n",
            path("host").display(),
            path("host-rsa").display(),
            path("authorized").display(),
        );
        fs::write(path("config"), config).unwrap();
        fs::create_dir_all("/run/sshd").ok();
        let program = PathBuf::from("/usr/sbin/sshd");
        assert!(program.exists(), "sshd is missing: install openssh-server");
        let arguments = ["-D".into(), "-e".into(), "-f".into(), path("config")];
        let mut process = Process::start(folder.path(), "sshd", program, arguments, &[]).await;
        process.said("that it listens", |line| line.contains("Server listening").then_some(())).await;
        Self { folder, port, _process: process }
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    fn known(&self, key: &str) -> String {
        let key = self.file(key);
        let mut words = key.split(' ');
        format!("[127.0.0.1]:{} {} {}\n", self.port, words.next().unwrap(), words.next().unwrap())
    }

    fn engine(&self, key: &str, known_hosts: &str, socket: &str) -> Result<Engine, Error> {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap();
        let access = Ssh { private_key: self.file(key).into(), passphrase: None, known_hosts: known_hosts.to_owned() };
        connect(&format!("ssh://{}@127.0.0.1:{}{socket}", user.trim(), self.port), Access::Ssh(access))
    }
}

#[tokio::test]
async fn an_engine_is_reached_over_ssh_with_keys_from_memory() {
    let dockerd = Dockerd::start(&[]).await;
    let sshd = Sshd::start("yes").await;
    let socket = dockerd.socket().display().to_string();
    let known = sshd.known("host.pub");
    let engine = sshd.engine("user", &known, &socket).unwrap();
    engine.ping().await.unwrap();
    engine.subscribe(None, &["container"], &["create"]).await.unwrap();
    let (one, other) = tokio::join!(engine.capacity(), engine.list_containers(&[]));
    assert!(one.is_ok() && other.is_ok());

    sshd.engine("user-rsa", &known, &socket).unwrap().ping().await.unwrap();
    // The server has this one too, and shows it to whoever asks for it.
    sshd.engine("user", &sshd.known("host-rsa.pub"), &socket).unwrap().ping().await.unwrap();
    let hashed = sshd.folder.path().join("hashed");
    fs::write(&hashed, &known).unwrap();
    Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&hashed).output().unwrap();
    assert!(sshd.file("hashed").starts_with("|1|"));
    sshd.engine("user", &sshd.file("hashed"), &socket).unwrap().ping().await.unwrap();

    expect(sshd.engine("other", &known, &socket).unwrap().ping().await, Class::Wait, "HostRefusesCredentials");
    let message = expect(
        sshd.engine("user", &sshd.known("other.pub"), &socket).unwrap().ping().await,
        Class::Wait,
        "HostNotTrusted",
    );
    assert!(message.contains("SHA256:"), "{message}");
    expect(sshd.engine("user", &known, "/does/not/exist").unwrap().ping().await, Class::Retry, "HostUnreachable");
    let message = expect(sshd.engine("user", "", &socket), Class::Stalled, "InvalidRequest");
    assert!(message.contains("ssh-keyscan"), "{message}");
    expect(sshd.engine("user.pub", &known, &socket), Class::Stalled, "InvalidRequest");
}

#[tokio::test]
async fn an_ssh_server_that_forwards_no_sockets_is_asked_to_run_dockers_own_command() {
    let dockerd = Dockerd::start(&[]).await;
    let sshd = Sshd::start("no").await;
    let engine = sshd.engine("user", &sshd.known("host.pub"), &dockerd.socket().display().to_string()).unwrap();
    engine.ping().await.unwrap();
    engine.capacity().await.unwrap();
}

/// Makes an image on an engine that the docker command knows by its host.
fn image_on(dockerd: &Dockerd, reference: &str) {
    images::image(reference);
    let saved = try_docker(&["save", reference], &[]).stdout;
    let loaded = try_docker(&["--host", &dockerd.host(), "load"], &saved);
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
}

#[tokio::test]
async fn an_inventory_survives_that_its_engine_restarts() {
    let test = Run::new();
    let mut dockerd = Dockerd::start(&[]).await;
    let tag = test.name("image") + ":1";
    image_on(&dockerd, &tag);
    let engine = dockerd.engine();
    let (inventory, _guard) = start(&test, &engine);
    until(&inventory, "the first list", Snapshot::is_current).await;
    let create = async |name: &str| {
        let body = ContainerCreateBody { labels: Some(test.labels("one")), ..body(&tag, &["true"]) };
        engine.create_container(&test.name(name), None, body).await.unwrap().id
    };
    create("before").await;
    until(&inventory, "the container", |snapshot| snapshot.containers().count() == 1).await;

    let mut changes = inventory.subscribe();
    dockerd.stop();
    until(&inventory, "that it is lost", |snapshot| matches!(snapshot.reach, Reach::Lost { .. })).await;
    assert!(changes.next().await.is_some(), "everybody is told");
    assert_eq!(inventory.snapshot().containers().count(), 1, "what was known is kept");
    dockerd.run().await;
    until(&inventory, "that it is there again", Snapshot::is_current).await;
    create("after").await;
    until(&inventory, "the second container", |snapshot| snapshot.containers().count() == 2).await;
}

#[tokio::test]
async fn a_disk_that_is_full_is_said_to_be() {
    let test = Run::new();
    let dockerd = Dockerd::start_small(48 << 20).await;
    let tag = test.name("image") + ":1";
    image_on(&dockerd, &tag);
    let engine = dockerd.engine();
    let id = engine.create_container(&test.name("a"), None, body(&tag, &["true"])).await.unwrap().id;
    let mut archive = Archive::default();
    let content = Bytes::from(vec![7; 64 << 20]);
    archive.insert("large", Node::File { mode: 0o644, user: 0, group: 0, content }).unwrap();
    expect(engine.upload(&id, "/", archive.to_tar().unwrap()).await, Class::Wait, "DiskFull");
}

#[tokio::test]
async fn an_engine_that_is_too_old_is_told_so() {
    let old = serde_json::json!({ "Version": "19.03.15", "ApiVersion": "1.40", "Os": "linux", "Arch": "amd64" });
    let router = Router::new().route("/version", get(async || Json(old)));
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let engine = connect(&address, Access::Unencrypted).unwrap();
    let message = expect(engine.capacity().await, Class::Wait, "EngineTooOld");
    assert!(message.contains("19.03.15") && message.contains("20.10"), "{message}");
}
