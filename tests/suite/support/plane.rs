//! The two control planes, as the product runs on them.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{kubectl::Kubectl, kubernetes::Kubernetes, process::Process, supervised::Supervised};
use crate::audit;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cloudfaster");
/// The user that the shipped manifests give the controller.
pub const ACCOUNT: &str = "cloudfaster-controller";
pub const OPERATOR: &str = "cloudfaster-system";
/// The user and the namespace that they give the REST shim.
pub const REST: &str = "cloudfaster-rest";

/// Which control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// `cloudfaster standalone`: the control plane and the controller in one process.
    Embedded,
    /// kube-apiserver with etcd, and `cloudfaster controller` with the rights of the shipped manifests.
    Kubernetes,
}

/// A control plane with the operator installed and running.
pub struct Plane {
    pub which: Which,
    pub kubectl: Kubectl,
    state: State,
    directory: TempDir,
    backups: u32,
    rest: Option<Rest>,
}

/// The REST shim: where it is, and its process where it has one of its own.
struct Rest {
    url: String,
    _process: Option<Process>,
}

enum State {
    Embedded { program: Option<Box<Process>> },
    Kubernetes { plane: Box<Kubernetes>, controller: Option<Supervised> },
}

impl Plane {
    /// Starts it, installs the operator, and starts the controller.
    pub async fn start(which: Which) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (kubectl, state) = match which {
            Which::Embedded => {
                (Kubectl::new(&directory.path().join("data/kubeconfig")), State::Embedded { program: None })
            }
            Which::Kubernetes => {
                let plane = Box::new(Kubernetes::start().await);
                (plane.admin(), State::Kubernetes { plane, controller: None })
            }
        };
        let mut plane = Self { which, kubectl, state, directory, backups: 0, rest: None };
        plane.install().await;
        plane.start_controller().await;
        plane
    }

    /// As docs/install.md says. The embedded one comes with everything.
    async fn install(&self) {
        if self.which == Which::Embedded {
            return;
        }
        self.kubectl.works(&["apply", "--server-side", "-k", "manifests/base"]).await;
        self.kubectl.works(&["wait", "--for=condition=Established", "crd", "--all"]).await;
        self.put_token(&self.token().await);
    }

    /// A token of the controller's service account.
    pub async fn token(&self) -> String {
        let token = self.kubectl.works(&["create", "token", ACCOUNT, "-n", OPERATOR, "--duration", "1h"]).await;
        token.trim().to_owned()
    }

    /// Gives the controller this token, as the kubelet does: in the file that its kubeconfig names.
    pub fn put_token(&self, token: &str) {
        self.kubernetes().kubeconfig_with_token(ACCOUNT, token);
    }

    /// Waits until the controller has ended by itself; it is started again at once, as the kubelet does.
    pub async fn controller_ends(&mut self) {
        match &mut self.state {
            State::Kubernetes { controller: Some(controller), .. } => controller.ended(1).await,
            State::Kubernetes { controller: None, .. } | State::Embedded { .. } => {
                panic!("no controller of its own runs")
            }
        }
    }

    /// The kubeconfig of the controller on Kubernetes, which names a file with its token.
    fn controller_kubeconfig(&self) -> PathBuf {
        self.kubernetes().directory().join(format!("{ACCOUNT}.kubeconfig"))
    }

    /// The real one.
    pub fn kubernetes(&self) -> &Kubernetes {
        match &self.state {
            State::Kubernetes { plane, .. } => plane,
            State::Embedded { .. } => panic!("only Kubernetes has this"),
        }
    }

    /// Starts the controller; on the embedded control plane this is the plane itself.
    pub async fn start_controller(&mut self) {
        match self.which {
            Which::Embedded => {
                let data = self.directory.path().join("data").display().to_string();
                let listen = ["--listen", "127.0.0.1:0", "--rest-listen", "127.0.0.1:0"];
                let arguments = ["standalone", "--data-dir", &data].into_iter().chain(listen);
                let mut started = Process::start(self.logs(), "standalone", PROGRAM, arguments, &[]).await;
                started.said("where it serves", |line| line.contains("KUBECONFIG").then_some(())).await;
                let url = started.said("where its REST API is", |line| {
                    Some(line.strip_prefix("The REST API is served on ")?.split(',').next()?.to_owned())
                });
                self.rest = Some(Rest { url: url.await, _process: None });
                self.state = State::Embedded { program: Some(Box::new(started)) };
            }
            Which::Kubernetes => {
                let (logs, kubeconfig) = (self.logs().to_owned(), self.controller_kubeconfig());
                let store = self.artifact_store();
                let started = Supervised::start(move || {
                    let (logs, kubeconfig, store) = (logs.clone(), kubeconfig.clone(), store.clone());
                    Box::pin(async move { controller(&logs, "controller", &kubeconfig, &[&store]).await })
                });
                let started = started.await;
                if let State::Kubernetes { controller, .. } = &mut self.state {
                    *controller = Some(started);
                }
            }
        }
    }

    /// Starts the REST shim with the rights of the shipped manifests; on the embedded control plane it is there already.
    pub async fn start_rest(&mut self) {
        if self.which == Which::Embedded {
            return;
        }
        self.kubectl.works(&["apply", "--server-side", "-k", "manifests/overlays/rest"]).await;
        let token = self.kubectl.works(&["create", "token", REST, "-n", REST, "--duration", "1h"]).await;
        self.kubernetes().kubeconfig_with_token(REST, token.trim());
        let kubeconfig = self.kubernetes().directory().join(format!("{REST}.kubeconfig")).display().to_string();
        let listen = ["--rest-listen=127.0.0.1:0", "--health-listen=127.0.0.1:0", &self.artifact_store()];
        let arguments = ["rest", "--kubeconfig", &kubeconfig].into_iter().chain(listen);
        let mut process = Process::start(self.logs(), "rest", PROGRAM, arguments, &[]).await;
        let address = process.said("where it serves", |line| {
            let (_, rest) = line.split_once("the REST API is served address=")?;
            Some(rest.split(' ').next()?.to_owned())
        });
        self.rest = Some(Rest { url: format!("http://{}", address.await), _process: Some(process) });
    }

    /// The flag by which the shim and the controller share uploads; the embedded one needs none.
    fn artifact_store(&self) -> String {
        format!("--artifact-store=file://{}", self.directory.path().join("artifacts").display())
    }

    /// Where the REST shim is.
    pub fn rest_url(&self) -> &str {
        &self.rest.as_ref().expect("a REST shim runs").url
    }

    /// Waits until the REST shim answers so to whoever has this key.
    pub async fn until_rest(&self, key: &str, status: u16) {
        let client = reqwest::Client::new();
        let url = format!("{}/protected", self.rest_url());
        let answers = async || {
            let answer = client.get(&url).header("X-API-Key", key).send().await;
            answer.is_ok_and(|answer| answer.status() == status)
        };
        let waiting = async {
            while !answers().await {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(super::process::LIMIT, waiting).await.expect("the REST API answers so");
    }

    /// A controller of one's own, beside the others; nobody starts it again.
    pub async fn controller(&self, name: &str, arguments: &[&str]) -> Process {
        let kubeconfig = match self.which {
            Which::Embedded => self.kubectl.kubeconfig().to_owned(),
            Which::Kubernetes => self.controller_kubeconfig(),
        };
        controller(self.logs(), name, &kubeconfig, arguments).await
    }

    fn logs(&self) -> &Path {
        self.directory.path()
    }

    /// `kill -9` to the controller, on the embedded control plane to everything; and starts it again.
    pub async fn crash(&mut self) {
        self.stop_controller().await;
        self.start_controller().await;
    }

    /// `kill -9` to the controller, on the embedded control plane to everything.
    pub async fn stop_controller(&mut self) {
        match &mut self.state {
            State::Embedded { program } => program.take().unwrap().kill().await,
            State::Kubernetes { controller, .. } => controller.take().unwrap().kill().await,
        }
    }

    /// The API server ends hard and comes back, while the controller runs on; on the embedded control plane both end.
    pub async fn restart_api(&mut self) {
        match &mut self.state {
            State::Embedded { .. } => self.crash().await,
            State::Kubernetes { plane, .. } => {
                plane.kill_apiserver().await;
                plane.start_apiserver().await;
            }
        }
    }

    /// Copies what is stored, with the API away for as long as that takes.
    pub async fn back_up(&mut self) -> PathBuf {
        self.backups += 1;
        let copy = self.directory.path().join(format!("backup-{}", self.backups));
        self.pause_api().await;
        copy_tree(&self.stored(), &copy);
        self.resume_api().await;
        copy
    }

    /// Puts the stored state back to that of a backup; what was written since is lost.
    pub async fn restore(&mut self, backup: &Path) {
        self.pause_api().await;
        std::fs::remove_dir_all(self.stored()).unwrap();
        copy_tree(backup, &self.stored());
        self.resume_api().await;
    }

    fn stored(&self) -> PathBuf {
        match &self.state {
            State::Embedded { .. } => self.directory.path().join("data"),
            State::Kubernetes { plane, .. } => plane.etcd_data(),
        }
    }

    async fn pause_api(&mut self) {
        match &mut self.state {
            State::Embedded { program } => program.take().unwrap().kill().await,
            State::Kubernetes { plane, .. } => plane.stop().await,
        }
    }

    async fn resume_api(&mut self) {
        match &mut self.state {
            State::Embedded { .. } => self.start_controller().await,
            State::Kubernetes { plane, .. } => plane.resume().await,
        }
    }

    /// What the programs have said, for whoever looks into a failure.
    pub fn output(&self) -> String {
        let mut text = String::new();
        for entry in std::fs::read_dir(self.logs()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "log") {
                text += &format!("---- {}\n{}", path.display(), std::fs::read_to_string(&path).unwrap_or_default());
            }
        }
        text
    }
}

async fn controller(logs: &Path, name: &str, kubeconfig: &Path, arguments: &[&str]) -> Process {
    let kubeconfig = kubeconfig.display().to_string();
    let fixed = ["controller", "--health-listen=127.0.0.1:0", "--kubeconfig", &kubeconfig];
    let mut program = Process::start(logs, name, PROGRAM, fixed.iter().chain(arguments), &[]).await;
    program.said("that it starts", |line| line.contains("cloudfaster").then_some(())).await;
    program
}

impl Drop for Plane {
    fn drop(&mut self) {
        let State::Kubernetes { plane, .. } = &self.state else { return };
        for (number, log) in plane.audit_logs().iter().enumerate() {
            let name = self.directory.path().file_name().unwrap().to_string_lossy();
            // A failed copy would show as rights that nothing used.
            let _ = std::fs::copy(log, audit::folder().join(format!("{name}-{number}.log")));
        }
    }
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
