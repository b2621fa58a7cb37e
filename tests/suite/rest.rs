//! The old REST API, called by an old client: a script of plain `curl`.

use std::{io::Write, path::Path};

use tokio::process::Command;

use crate::support::{Bench, Which, command::docker, fixture, images, run::Run};

/// Runs a part of the old client's day; what it prints last.
async fn client(bench: &Bench, key: &str, arguments: &[&str]) -> String {
    let url = bench.plane.rest_url();
    let output = Command::new(fixture("old-client.sh")).args([url, key]).args(arguments).output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}\n{}", bench.plane.output());
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap_or_default().to_owned()
}

/// `cloudfaster apikey`, as an administrator.
async fn apikey(kubeconfig: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudfaster"));
    let output = command.arg("apikey").args(arguments).arg("--kubeconfig").arg(kubeconfig).output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Has an engine known on which services of the type Static can be made, of stand-ins for its images.
async fn docker_host(bench: &Bench, run: &Run) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services/catalogue/programs");
    let programs = std::fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        (format!("usr/local/bin/{name}"), std::fs::read_to_string(&path).unwrap())
    });
    let programs: Vec<_> = programs.collect();
    let programs: Vec<_> = programs.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let nginx = [r#"ENTRYPOINT ["docker-entrypoint.sh"]"#, r#"CMD ["nginx", "-g", "daemon off;"]"#];
    for (key, changes) in [("nginx", &nginx[..]), ("filebrowser", &["VOLUME /srv /config /database"])] {
        images::image_with(&format!("{}-{key}:1", run.id), changes, &programs);
    }
    let engine = docker(&["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]);
    let engine = std::env::var("DOCKER_HOST").unwrap_or(engine);
    let host = format!(
        "
apiVersion: cloudfaster.app/v1alpha1
kind: DockerHost
metadata: {{name: local}}
spec:
  endpoint: '{engine}'
  catalogue: {{images: {{nginx: '{0}-nginx:1', filebrowser: '{0}-filebrowser:1'}}}}
  tenants:
    - namespaceSelector: {{matchLabels: {{cloudfaster.app/rest: 'true'}}}}
      allow: {{images: ['docker.io/library/*']}}
",
        run.id
    );
    bench.kubectl().works_with(&["apply", "-f", "-"], &host).await;
    bench.kubectl().works(&["wait", "--for=condition=Ready", "dkh/local", "--timeout=60s"]).await;
}

/// An archive with a page, in this folder.
fn archive(folder: &Path) -> String {
    let path = folder.join("site.zip");
    let mut writer = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    writer.start_file("index.html", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(b"welcome").unwrap();
    writer.finish().unwrap();
    path.display().to_string()
}

pub async fn an_old_client_goes_on_working(which: Which) {
    let (run, folder) = (Run::new(), tempfile::tempdir().unwrap());
    let mut bench = Bench::start(which).await;
    docker_host(&bench, &run).await;
    bench.plane.start_rest().await;
    let tenants = r#"{"spec":{"tenants":[{"namespaceSelector":{"matchLabels":{"cloudfaster.app/rest":"true"}}}]}}"#;
    bench.kubectl().works(&["patch", "pxc", "main", "--type=merge", "-p", tenants]).await;
    let kubeconfig = bench.kubectl().kubeconfig().to_owned();
    let create = ["create", "--owner", "the panel", "--scope", "admin", "--expires-in", "30d"];
    let key = apikey(&kubeconfig, &create).await.trim().to_owned();
    let listed = apikey(&kubeconfig, &["list"]).await;
    assert!(listed.contains("the panel") && !listed.contains(&key), "{listed}");
    bench.plane.until_rest(&key, 200).await;

    let made = client(&bench, &key, &["make", &archive(folder.path()), &run.id]).await;
    let (vm, service) = made.split_once(' ').unwrap();
    let object = bench.kubectl().works(&["get", "dks", "-n", "cloudfaster-users", "-o", "name"]).await;
    let object = object.trim().trim_start_matches("dockerservice.cloudfaster.app/").to_owned();
    // Everything ends hard in between, and what the client knows holds on.
    bench.plane.crash().await;
    bench.plane.start_rest().await;
    bench.plane.until_rest(&key, 200).await;
    client(&bench, &key, &["control", vm, service]).await;
    let web = format!("label=cloudfaster.app/name={object}");
    let web = docker(&["ps", "--quiet", "--filter", &web, "--filter", "label=com.docker.compose.service=web"]);
    assert_eq!(docker(&["exec", &web, "wget", "-q", "-O", "-", "http://127.0.0.1/"]), "welcome");
    client(&bench, &key, &["delete"]).await;
    bench.proxmox.until_nothing_is_left().await;
    bench.kubectl().works(&["wait", "--for=delete", "dks", "--all", "-A", "--timeout=120s"]).await;
    let left = format!("label=cloudfaster.app/name={object}");
    assert_eq!(docker(&["ps", "--all", "--quiet", "--filter", &left]), "");
    assert_eq!(docker(&["volume", "ls", "--quiet", "--filter", &left]), "");

    let id = listed.lines().find(|line| line.contains("the panel")).unwrap().split(' ').next().unwrap();
    apikey(&kubeconfig, &["revoke", id]).await;
    bench.plane.until_rest(&key, 401).await;
}
