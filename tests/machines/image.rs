//! The operator's image: its final stage is built by a real Docker engine and runs as the manifests run it, on a control
//! plane and a Proxmox outside. No image can be pulled here, so the base is stood in for by the libraries that the program
//! names, and the stage that compiles by the program that is compiled already.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Lab, small};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cloudfaster");

/// Everything that the manifests deny to the container.
const CONFINED: [&str; 8] = [
    "--read-only",
    "--user=65532:65532",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--memory=256m",
    "--memory-swap=256m",
    "--pids-limit=64",
    "--rm",
];

/// Runs the command line of Docker that `DOCKER` names, else the one in `PATH`.
fn docker(arguments: &[&str], input: Option<&[u8]>) -> Output {
    let program = std::env::var_os("DOCKER").unwrap_or_else(|| "docker".into());
    let mut child = Command::new(program)
        .args(arguments)
        .env("DOCKER_BUILDKIT", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Docker is needed: `docker` in PATH, or named by the variable DOCKER");
    // Whether it takes its input shows in how it ends.
    let _ = child.stdin.take().unwrap().write_all(input.unwrap_or_default());
    child.wait_with_output().unwrap()
}

fn done(arguments: &[&str], input: Option<&[u8]>) -> String {
    let output = docker(arguments, input);
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "docker {}: {complaint}{said}\n(a Docker engine with BuildKit is needed: one that DOCKER_HOST or its socket names)",
        arguments.join(" ")
    );
    said.trim().to_owned()
}

/// An archive of files, each at its own path or, from a folder, at the root.
fn archive(folder: &str, files: &[&str]) -> Vec<u8> {
    let output = Command::new("tar")
        .args(["--create", "--dereference", "--absolute-names", "--directory", folder])
        .args(files)
        .output()
        .expect("tar is needed");
    assert!(output.status.success(), "tar: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The image, and those it was made of; they go with it.
struct Image {
    name: String,
    parts: Vec<String>,
}

impl Image {
    fn build() -> Self {
        let id = Uuid::new_v4().simple().to_string();
        let [base, program, name] = ["base", "program", "image"].map(|part| format!("cloudfaster-test/{part}:{id}"));
        let image = Self { name: name.clone(), parts: vec![name.clone(), base.clone(), program.clone()] };

        let needs = Command::new("ldd").arg(PROGRAM).output().expect("ldd is needed");
        let needs = String::from_utf8(needs.stdout).unwrap();
        let libraries = needs.split_whitespace().filter(|word| word.starts_with('/'));
        let files: Vec<&str> = libraries.chain(["/etc/ssl/certs/ca-certificates.crt"]).collect();
        assert!(files.iter().any(|file| file.contains("libc.so")), "{needs}");
        done(&["import", "-", &base], Some(&archive("/", &files)));
        let folder = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
        done(&["import", "-", &program], Some(&archive(folder, &["cloudfaster"])));

        let project = env!("CARGO_MANIFEST_DIR");
        let file = format!("{project}/manifests/image/Dockerfile");
        let (base, program) = (format!("BASE={base}"), format!("PROGRAM={program}"));
        let arguments = ["--build-arg", &base, "--build-arg", &program, "--file", &file, "--tag", &name, project];
        done(&[&["build", "--quiet", "--network=none"], &arguments[..]].concat(), None);
        image
    }

    /// Runs a command of the program without a network.
    fn run(&self, arguments: &[&str]) -> String {
        done(&[&["run", "--network=none"], &CONFINED[..], &[&self.name], arguments].concat(), None)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        for part in &self.parts {
            docker(&["image", "rm", "--force", part], None);
        }
    }
}

/// A container that runs until it is dropped.
struct Container(String);

impl Container {
    fn start(arguments: &[&str]) -> Self {
        let name = format!("cloudfaster-test-{}", Uuid::new_v4().simple());
        let name_it = format!("--name={name}");
        done(&[&["run", "--detach", &name_it], &CONFINED[..], arguments].concat(), None);
        Self(name)
    }

    fn logs(&self) -> String {
        let output = docker(&["logs", &self.0], None);
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        docker(&["rm", "--force", &self.0], None);
    }
}

/// A copy that the container's user can read: it holds the test's token alone.
fn readable(kubeconfig: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let folder = kubeconfig.parent().unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(kubeconfig, std::fs::Permissions::from_mode(0o644)).unwrap();
    kubeconfig.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_runs_the_operator_confined_as_the_manifests_say() {
    let image = tokio::task::spawn_blocking(Image::build).await.unwrap();
    assert_eq!(image.run(&["--version"]), format!("cloudfaster {}", env!("CARGO_PKG_VERSION")));
    let config: Value =
        serde_json::from_str(&done(&["inspect", "--format={{json .Config}}", &image.name], None)).unwrap();
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Cmd"], json!(["controller"]));
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));

    let lab = Lab::bare(small(2)).await;
    let folder = tempfile::tempdir().unwrap();
    let (serving, kubeconfig) = lab.serve(folder.path()).await;
    let mount = format!("--volume={}:/kubeconfig:ro", readable(&kubeconfig).display());
    let arguments = ["controller", "--kubeconfig=/kubeconfig", "--health-listen=127.0.0.1:0"];
    let controller = [&["--network=host", &mount, &image.name], &arguments[..]].concat();
    let container = Container::start(&controller);
    lab.connect().await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    lab.assert_exactly(&["one"], "made from inside the container");
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("removed from inside the container");
    let logs = container.logs();
    assert!(logs.contains("controller starts") && !logs.contains("Read-only file system"), "{logs}");
    drop(serving);
}
