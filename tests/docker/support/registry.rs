//! A registry with authentication.

use std::{fs, net::TcpListener, path::PathBuf};

use tempfile::TempDir;

use crate::process::Process;

use super::command::{docker, docker_with};

pub const USER: &str = "tenant";
pub const PASSWORD: &str = "open sesame";
/// What `htpasswd -nbB` makes of the two: the registry takes bcrypt only.
const HTPASSWD: &str = include_str!("htpasswd");

/// A registry on a port of its own; it ends when this is dropped.
pub struct Registry {
    /// `127.0.0.1:PORT`
    pub address: String,
    folder: TempDir,
    _process: Process,
}

impl Registry {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let users = folder.path().join("htpasswd");
        fs::write(&users, HTPASSWD).unwrap();
        let settings = serde_json::json!({
            "version": "0.1",
            "log": { "level": "info", "formatter": "text" },
            "storage": { "filesystem": { "rootdirectory": folder.path().join("data") } },
            "http": { "addr": address },
            "auth": { "htpasswd": { "realm": "tests", "path": users } },
        });
        let file = folder.path().join("config.yml");
        fs::write(&file, settings.to_string()).unwrap();
        let program = ["/usr/bin/docker-registry", "/usr/local/bin/docker-registry"].map(PathBuf::from);
        let program = program.into_iter().find(|program| program.exists());
        let program = program.expect("docker-registry is missing: install the package docker-registry");
        let arguments = ["serve".as_ref(), file.as_os_str()];
        let mut process = Process::start(folder.path(), "docker-registry", program, arguments, &[]).await;
        process.said("that it listens", |line| line.contains("listening on").then_some(())).await;
        Self { address, folder, _process: process }
    }

    /// Takes an image of the engine's, and removes it there under the name that it has here, which is returned.
    pub fn push(&self, image: &str, path: &str) -> String {
        let name = format!("{}/{path}", self.address);
        docker(&["tag", image, &name]);
        let settings = self.folder.path().join("client");
        let settings = settings.to_str().unwrap();
        docker_with(
            &["--config", settings, "login", "--username", USER, "--password-stdin", &self.address],
            PASSWORD.as_bytes(),
        );
        docker(&["--config", settings, "push", "--quiet", &name]);
        docker(&["rmi", &name]);
        name
    }
}
