//! Repositories, made by git itself.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Runs git, with nothing of this machine's configuration.
pub fn git(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> String {
    let output = command("git")
        .current_dir(folder)
        .args(["-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .output()
        .expect("git is missing: install git");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A program that sees nothing of this machine's configuration of git.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", "/nonexistent");
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Test").env(format!("GIT_{who}_EMAIL"), "test@example.com");
    }
    command
}

/// A bare repository that a server serves, and a clone to make commits in.
pub struct Repository {
    pub bare: PathBuf,
    pub clone: PathBuf,
}

impl Repository {
    /// A repository below a folder, with one commit.
    pub fn new(root: &Path, name: &str) -> Self {
        let bare = root.join("served").join(name);
        let clone = root.join("clones").join(name);
        fs::create_dir_all(&bare).unwrap();
        fs::create_dir_all(&clone).unwrap();
        git(&bare, &["init", "-q", "--bare", "."]);
        git(&clone, &["init", "-q", "."]);
        git(&clone, &["remote", "add", "origin", bare.to_str().unwrap()]);
        let repository = Self { bare, clone };
        repository.commit(&[("compose.yaml", "services: {}\n")]);
        repository
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.clone, arguments)
    }

    /// Writes files, commits and pushes them. The commit's name.
    pub fn commit(&self, files: &[(&str, impl AsRef<[u8]>)]) -> String {
        for (path, content) in files {
            let path = self.clone.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "change"]);
        self.push();
        self.head()
    }

    pub fn push(&self) {
        self.git(&["push", "-q", "--force", "origin", "HEAD"]);
        self.git(&["push", "-q", "--force", "--tags", "origin"]);
    }

    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn configure(&self, key: &str, value: &str) {
        git(&self.bare, &["config", key, value]);
    }
}
