//! A git server over SSH: OpenSSH's, on loopback.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

pub struct Sshd {
    folder: TempDir,
    pub port: u16,
    process: Child,
}

impl Sshd {
    /// A server; it takes over the version of the protocol that the client asks for if it is told to.
    pub fn start(new_protocol: bool) -> Self {
        Self::configured(if new_protocol { "AcceptEnv GIT_PROTOCOL" } else { "" })
    }

    pub fn configured(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["host", "user", "other"] {
            let made =
                Command::new("ssh-keygen").args(["-q", "-N", "", "-t", "ed25519", "-f"]).arg(path(name)).status();
            assert!(made.is_ok_and(|status| status.success()), "ssh-keygen is missing: install openssh-client");
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
             PermitRootLogin yes\nPasswordAuthentication no\n{}\n",
            path("host").display(),
            path("user.pub").display(),
            more,
        );
        fs::write(path("config"), config).unwrap();
        fs::create_dir_all("/run/sshd").ok();
        let program = Path::new("/usr/sbin/sshd");
        assert!(program.exists(), "sshd is missing: install openssh-server");
        let mut process = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(path("config"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("Server listening") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "sshd ends");
        }
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { folder, port, process }
    }

    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// The line of a host key.
    pub fn known(&self, name: &str) -> String {
        format!("[127.0.0.1]:{} {}", self.port, self.file(name))
    }

    pub fn url(&self, path: &Path) -> String {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap();
        format!("ssh://{}@127.0.0.1:{}{}", user.trim(), self.port, path.display())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
