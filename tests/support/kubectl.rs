//! The `kubectl` binary, as people use it.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

/// How long a run may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(180);

/// kubectl for one control plane, as one user.
#[derive(Clone, Debug)]
pub struct Kubectl {
    kubeconfig: PathBuf,
}

/// What a run came to.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Output {
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }
}

impl Kubectl {
    /// With this kubeconfig; its caches lie beside it.
    pub fn new(kubeconfig: &Path) -> Self {
        Self { kubeconfig: kubeconfig.to_owned() }
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The one that `KUBECTL` names, else the one in `PATH`.
    pub fn command(&self) -> Command {
        let mut command = Command::new(std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into()));
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.kubeconfig.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs it with `input` as its standard input.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self
            .command()
            .args(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("kubectl 1.27 or later is needed: in PATH, or named by the variable KUBECTL");
        let mut stdin = child.stdin.take().unwrap();
        // Whoever does not read its input has closed it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let done = timeout(LIMIT, child.wait_with_output()).await;
        let output = done.unwrap_or_else(|_| panic!("kubectl {arguments:?} does not end")).unwrap();
        Output {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub async fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, "").await
    }

    /// As [`Self::run`], for what must work.
    pub async fn works(&self, arguments: &[&str]) -> String {
        self.works_with(arguments, "").await
    }

    /// As [`Self::run_with`], for what must work.
    pub async fn works_with(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run_with(arguments, input).await;
        assert!(output.ok(), "kubectl {arguments:?}: {}{}", output.out, output.err);
        output.out
    }
}
