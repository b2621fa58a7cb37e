//! A real Kubernetes control plane on loopback: etcd and kube-apiserver with certificates, RBAC, the admission plugins of
//! a cluster, and an audit log.
//!
//! The programs are in the folder that `KUBEBUILDER_ASSETS` names, as envtest has it, or where `make setup` builds them.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;

use super::{
    kubectl::Kubectl,
    process::{LIMIT, Process},
};

/// Everything but reading of what is always asked for; one line a request, when it is answered.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules: [{level: Metadata}]
";

/// A running control plane.
pub struct Kubernetes {
    directory: TempDir,
    programs: PathBuf,
    authority: Authority,
    etcd_port: u16,
    peer_port: u16,
    port: u16,
    etcd: Option<Process>,
    apiserver: Option<Process>,
}

impl Kubernetes {
    /// Starts one with nothing in it, and waits until it is ready.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new(directory.path());
        authority.issue("server", ExtendedKeyUsagePurpose::ServerAuth, &["127.0.0.1", "localhost"], None);
        authority.issue("admin", ExtendedKeyUsagePurpose::ClientAuth, &[], Some("system:masters"));
        let accounts = KeyPair::generate().unwrap();
        fs::write(directory.path().join("accounts.key"), accounts.serialize_pem()).unwrap();
        fs::write(directory.path().join("accounts.pub"), accounts.public_key_pem()).unwrap();
        fs::write(directory.path().join("audit-policy.yaml"), AUDIT_POLICY).unwrap();
        let [etcd_port, peer_port, port] = free_ports();
        let programs = programs();
        let mut plane =
            Self { directory, programs, authority, etcd_port, peer_port, port, etcd: None, apiserver: None };
        let admin = plane.authority.client("admin");
        plane.write_kubeconfig("admin.kubeconfig", &admin);
        plane.start_etcd().await;
        plane.start_apiserver().await;
        plane
    }

    /// What the programs say of themselves.
    pub fn describe() -> String {
        let say = |program: &str| {
            let output = std::process::Command::new(programs().join(program)).arg("--version").output().unwrap();
            String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()
        };
        let version = say("kube-apiserver").replace("Kubernetes ", "kube-apiserver ");
        format!("{version} with {}", say("etcd").replace("etcd Version: ", "etcd "))
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// An administrator.
    pub fn admin(&self) -> Kubectl {
        Kubectl::new(&self.directory.path().join("admin.kubeconfig"))
    }

    /// A kubeconfig for whoever has a token in a file of its own, which can be replaced.
    pub fn kubeconfig_with_token(&self, name: &str, token: &str) -> PathBuf {
        let file = self.directory.path().join(format!("{name}.token"));
        fs::write(&file, token).unwrap();
        self.write_kubeconfig(&format!("{name}.kubeconfig"), &format!("tokenFile: {}", file.display()))
    }

    /// The key that signs the tokens of service accounts.
    pub fn accounts_key(&self) -> KeyPair {
        KeyPair::from_pem(&fs::read_to_string(self.directory.path().join("accounts.key")).unwrap()).unwrap()
    }

    /// What was asked of the API server: one JSON object a line, named `audit*.log`.
    pub fn audit_logs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| {
                path.file_name().unwrap().to_string_lossy().starts_with("audit")
                    && path.extension().is_some_and(|end| end == "log")
            })
            .collect()
    }

    fn write_kubeconfig(&self, name: &str, user: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        let Self { port, .. } = self;
        let ca = self.authority.certificate.display();
        let user = user.replace('\n', "\n      ");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\ncontexts:\n  - name: test\n    context:\n      cluster: test\n      \
             user: test\nclusters:\n  - name: test\n    cluster:\n      server: https://127.0.0.1:{port}\n      \
             certificate-authority: {ca}\nusers:\n  - name: test\n    user:\n      {user}\n"
        );
        fs::write(&path, text).unwrap();
        path
    }

    pub async fn start_etcd(&mut self) {
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let arguments = [
            "--data-dir".to_owned(),
            self.etcd_data().display().to_string(),
            // What is lost with the machine is a test's.
            "--unsafe-no-fsync".to_owned(),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
        ];
        let mut etcd = Process::start(self.directory.path(), "etcd", self.programs.join("etcd"), arguments, &[]).await;
        etcd.said("that it is ready", |line| line.contains("ready to serve client requests").then_some(())).await;
        self.etcd = Some(etcd);
    }

    pub async fn start_apiserver(&mut self) {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let arguments = [
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--secure-port={}", self.port),
            format!("--tls-cert-file={}", path("server.crt")),
            format!("--tls-private-key-file={}", path("server.key")),
            format!("--client-ca-file={}", path("ca.crt")),
            format!("--service-account-key-file={}", path("accounts.pub")),
            format!("--service-account-signing-key-file={}", path("accounts.key")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            // So that it is the namespace's policy that refuses a privileged pod.
            "--allow-privileged=true".to_owned(),
            format!("--audit-policy-file={}", path("audit-policy.yaml")),
            format!("--audit-log-path={}", path("audit.log")),
            "--audit-log-mode=blocking".to_owned(),
        ];
        let program = self.programs.join("kube-apiserver");
        let mut apiserver = Process::start(self.directory.path(), "kube-apiserver", program, arguments, &[]).await;
        apiserver.said("that it serves", |line| line.contains("Serving securely on").then_some(())).await;
        self.apiserver = Some(apiserver);
        self.ready().await;
    }

    /// Its start goes on for a moment behind the open port, and it tells of the end in no other way than when it is asked.
    async fn ready(&self) {
        let admin = self.admin();
        let waiting = async {
            while !admin.run(&["get", "--raw", "/readyz"]).await.ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            admin.works(&["wait", "--for=create", "namespace/default"]).await;
        };
        if tokio::time::timeout(LIMIT, waiting).await.is_err() {
            panic!("kube-apiserver does not become ready\n{}", self.apiserver.as_ref().unwrap().output());
        }
    }

    /// `kill -9` to the API server.
    pub async fn kill_apiserver(&mut self) {
        self.apiserver.take().unwrap().kill().await;
    }

    /// Ends both. The API server would wait a minute for its watches to end.
    pub async fn stop(&mut self) {
        self.kill_apiserver().await;
        self.etcd.take().unwrap().stop().await;
    }

    /// Starts both again.
    pub async fn resume(&mut self) {
        self.start_etcd().await;
        self.start_apiserver().await;
    }

    /// Where etcd keeps everything; to be copied or replaced while it does not run.
    pub fn etcd_data(&self) -> PathBuf {
        self.directory.path().join("etcd")
    }
}

/// The folder of the programs.
fn programs() -> PathBuf {
    let folder = std::env::var_os("KUBEBUILDER_ASSETS").map_or_else(built, PathBuf::from);
    for program in ["etcd", "kube-apiserver"] {
        assert!(
            folder.join(program).exists(),
            "{program} is missing: it is not in {}; `make setup` builds it, KUBEBUILDER_ASSETS names another folder",
            folder.display()
        );
    }
    folder
}

fn built() -> PathBuf {
    let version = include_str!("../kubernetes/version").trim();
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    cache.join(format!("cloudfaster/kubernetes-{version}"))
}

/// Ports that are free now; they are all held until the last one is known, so that they differ.
fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

/// Signs the certificates of the server and of the administrator.
struct Authority {
    directory: PathBuf,
    certificate: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(directory: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, "test");
        let certificate = directory.join("ca.crt");
        fs::write(&certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { directory: directory.to_owned(), certificate, issuer: Issuer::new(params, key) }
    }

    /// Writes `NAME.crt` and `NAME.key`.
    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose, hosts: &[&str], group: Option<&str>) {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.directory.join(format!("{name}.crt")), certificate.pem()).unwrap();
        fs::write(self.directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// The user of a kubeconfig who shows the certificate of this name.
    fn client(&self, name: &str) -> String {
        let directory = self.directory.display();
        format!("client-certificate: {directory}/{name}.crt\nclient-key: {directory}/{name}.key")
    }
}
