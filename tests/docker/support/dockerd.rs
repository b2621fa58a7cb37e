//! An engine of a test's own, beside the one that all share.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use cloudfaster::docker::engine::{Access, Engine, Limits, Settings};
use tempfile::TempDir;

/// How long an engine may take to start or to end.
const LIMIT: Duration = Duration::from_secs(120);

/// It ends when this is dropped.
pub struct Dockerd {
    pub folder: TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
    /// Whether its files are on a file system of their own.
    mounted: bool,
    bridge: Bridge,
}

/// A bridge of its own: with none, it would remove that of the other engine.
struct Bridge(String);

impl Bridge {
    fn new() -> Self {
        let number = rand::random::<u16>();
        let bridge = Self(format!("cftb{number}"));
        let [high, low] = number.to_be_bytes();
        // Of the addresses that are set aside for tests of devices.
        let address = format!("198.{}.{low}.1/24", 18 + high % 2);
        bridge.ip(&["link", "add", &bridge.0, "type", "bridge"]);
        bridge.ip(&["address", "add", &address, "dev", &bridge.0]);
        bridge
    }

    fn ip(&self, arguments: &[&str]) {
        let done = Command::new("ip").args(arguments).status();
        let done = done.unwrap_or_else(|error| panic!("the command ip is missing: install iproute2 ({error})"));
        assert!(done.success(), "ip {} failed: the test has to be root", arguments.join(" "));
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        Command::new("ip").args(["link", "delete", &self.0]).status().ok();
    }
}

impl Dockerd {
    /// Starts one with further arguments.
    pub async fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, arguments, None).await
    }

    /// Starts one that has a disk of so many bytes.
    pub async fn start_small(bytes: u64) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[], Some(bytes)).await
    }

    pub async fn start_in(folder: TempDir, arguments: &[&str], disk: Option<u64>) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut dockerd = Self { folder, arguments, child: None, mounted: false, bridge: Bridge::new() };
        std::fs::create_dir(dockerd.path("data")).unwrap();
        if let Some(bytes) = disk {
            let size = format!("size={bytes}");
            let mounting =
                Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dockerd.path("data")).status();
            assert!(
                mounting.is_ok_and(|status| status.success()),
                "a tmpfs cannot be mounted: the test has to be root"
            );
            dockerd.mounted = true;
        }
        dockerd.run().await;
        dockerd
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    /// As the docker command takes it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// A client, by the socket.
    pub fn engine(&self) -> Engine {
        let address = self.host().parse().unwrap();
        Engine::new(&Settings { address, access: Access::Local, limits: Limits::default() }).unwrap()
    }

    /// Starts it after it was stopped.
    pub async fn run(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let child = Command::new("dockerd")
            .arg("--data-root")
            .arg(self.path("data"))
            .arg("--exec-root")
            .arg(self.path("run"))
            .arg("--pidfile")
            .arg(self.path("pid"))
            .args(["--host", &self.host(), "--bridge", &self.bridge.0, "--iptables=false", "--ip6tables=false"])
            .args(["--storage-driver", "vfs"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("dockerd is missing: {error}"));
        self.child = Some(child);
        let engine = self.engine();
        let answers = async {
            while engine.ping().await.is_err() {
                let ended = self.child.as_mut().unwrap().try_wait().unwrap();
                assert!(ended.is_none(), "dockerd ended: {}", std::fs::read_to_string(self.path("log")).unwrap());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(LIMIT, answers).await.expect("dockerd does not answer");
    }

    /// Ends it as an administrator does.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let asked = Command::new("kill").arg(child.id().to_string()).status();
            if !asked.is_ok_and(|status| status.success()) {
                child.kill().ok();
            }
            child.wait().ok();
        }
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        self.stop();
        let unmount = |path: &Path| Command::new("umount").arg(path).stderr(Stdio::null()).status().ok();
        if self.mounted {
            unmount(&self.path("data"));
        }
    }
}
