//! What the scenarios share: the two control planes, kubectl, the simulated Proxmox, manifests.

#[allow(dead_code, reason = "the tests of the engine use the rest")]
#[path = "../../docker/support/command.rs"]
pub mod command;
#[allow(dead_code, reason = "the tests of the engine use the rest")]
#[path = "../../docker/support/images.rs"]
pub mod images;
#[path = "../../support/kubectl.rs"]
pub mod kubectl;
#[path = "../../support/kubernetes.rs"]
pub mod kubernetes;
pub mod manifests;
pub mod plane;
#[path = "../../support/process.rs"]
pub mod process;
pub mod proxmox;
#[allow(dead_code, reason = "the tests of the engine use the rest")]
#[path = "../../docker/support/run.rs"]
pub mod run;
pub mod supervised;
pub mod tokens;

use std::path::{Path, PathBuf};

pub use kubectl::Kubectl;
pub use manifests::Manifests;
pub use plane::{Plane, Which};
pub use proxmox::Proxmox;

/// What a scenario needs: a control plane with the operator, and a simulated Proxmox of three nodes with its
/// `ProxmoxCluster` applied.
pub struct Bench {
    pub plane: Plane,
    pub proxmox: Proxmox,
    pub manifests: Manifests,
}

impl Bench {
    /// Starts everything, and waits until the operator reaches Proxmox.
    pub async fn start(which: Which) -> Self {
        let scenario = fixture("scenario.yaml");
        let (plane, proxmox) = tokio::join!(Plane::start(which), Proxmox::start(&scenario));
        let manifests = Manifests::new(&proxmox);
        plane.kubectl.works_with(&["apply", "-f", "-"], &manifests.administrator()).await;
        plane.kubectl.works(&["wait", "--for=condition=Ready", "pxc/main", "--timeout=60s"]).await;
        Self { plane, proxmox, manifests }
    }

    pub fn kubectl(&self) -> &Kubectl {
        &self.plane.kubectl
    }

    /// Applies machines of these names.
    pub async fn machines(&self, names: &[&str]) {
        let text: String = names.iter().map(|name| self.manifests.machine(name)).collect();
        self.kubectl().works_with(&["apply", "-f", "-"], &text).await;
    }

    /// Waits until these machines are Ready.
    pub async fn ready(&self, names: &[&str]) {
        self.wait(names, "condition=Ready").await;
    }

    /// Waits for a condition or a field of these machines.
    pub async fn wait(&self, names: &[&str], what: &str) {
        let mut arguments = vec!["wait", "-n", "shop", "--timeout=150s", "--for", what];
        let names: Vec<_> = names.iter().map(|name| format!("pvm/{name}")).collect();
        arguments.extend(names.iter().map(String::as_str));
        let output = self.kubectl().run(&arguments).await;
        if !output.ok() {
            let state = self.kubectl().run(&["get", "pvm", "-A", "-o", "yaml"]).await;
            panic!("{what}: {}\n{}\n{:#}\n{}", output.err, state.out, self.proxmox.state().await, self.plane.output());
        }
    }

    /// Deletes these machines, and waits until nothing of them is left.
    pub async fn remove(&self, names: &[&str]) {
        let mut arguments = vec!["delete", "pvm", "-n", "shop", "--timeout=150s"];
        arguments.extend(names);
        self.kubectl().works(&arguments).await;
        self.proxmox.until_nothing_is_left().await;
    }
}

/// A file beside the scenarios.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite").join(name)
}
