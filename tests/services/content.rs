//! Files that come from a source and are put on the host.

use std::collections::BTreeSet;

use cloudfaster::docker::content::{Builder, Limits};
use k8s_openapi::{ByteString, api::core::v1::ConfigMap};
use kube::{
    Api,
    api::{ObjectMeta, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    docker::command::{docker, try_docker},
    lab::Lab,
};

/// What a repository holds that is written for `docker compose up`.
struct Repository<'a> {
    image: &'a str,
    page: &'a str,
    greeting: &'a str,
}

impl Repository<'_> {
    fn archive(&self) -> Vec<u8> {
        let Self { image, page, greeting } = self;
        let compose = format!(
            "services:
  web:
    image: {image}
    env_file: web.env
    volumes:
      - ./site:/site:ro
      - ./conf/web.conf:/etc/web.conf:ro
      - ./uploads:/site/uploads
  tool:
    build: ./tool
    volumes: ['./site:/site:ro']
"
        );
        let dockerfile = format!("FROM {image}\nCOPY . /tool\n");
        let mut builder = Builder::new(Limits::default()).unwrap();
        for (path, content) in [
            ("deploy/docker-compose.yml", compose.as_str()),
            ("deploy/web.env", &format!("GREETING={greeting}\n")),
            ("deploy/site/index.html", page),
            ("deploy/site/img/logo.svg", "<svg/>"),
            ("deploy/conf/web.conf", "listen 80\n"),
            ("deploy/tool/Dockerfile", &dockerfile),
            ("deploy/tool/run.sh", "echo done\n"),
            ("deploy/tool/notes.md", "not for the image\n"),
            ("deploy/tool/.dockerignore", "*.md\n"),
        ] {
            builder.file(path.as_bytes(), path.ends_with(".sh"), content.as_bytes()).unwrap();
        }
        let mut archive = Vec::new();
        builder.finish().unwrap().write_tar(&[], &mut archive).unwrap();
        archive
    }
}

impl Lab {
    /// Puts an archive into a ConfigMap, and asks for it.
    pub async fn publish(&self, map: &str, archive: Vec<u8>) {
        let map = ConfigMap {
            metadata: ObjectMeta { name: Some(map.to_owned()), ..ObjectMeta::default() },
            binary_data: Some([("site.tar".to_owned(), ByteString(archive))].into()),
            ..ConfigMap::default()
        };
        let maps = Api::<ConfigMap>::namespaced(self.client.clone(), "shop");
        let name = map.metadata.name.clone().unwrap();
        maps.patch(&name, &PatchParams::apply("test"), &Patch::Apply(map)).await.unwrap();
    }

    async fn revision(&self, name: &str) -> String {
        self.services().get(name).await.unwrap().status.unwrap().source.unwrap().revision
    }

    pub fn container(&self, name: &str, service: &str) -> String {
        let labels =
            [format!("label=cloudfaster.app/name={name}"), format!("label=com.docker.compose.service={service}")];
        docker(&["ps", "--quiet", "--filter", &labels[0], "--filter", &labels[1]])
    }

    /// Keys of the volumes of a service.
    pub fn volumes(&self, name: &str) -> BTreeSet<String> {
        let volumes = docker(&["volume", "ls", "--quiet", "--filter", &format!("label=cloudfaster.app/name={name}")]);
        volumes.split_whitespace().map(|volume| volume.split_once('_').unwrap().1.to_owned()).collect()
    }

    fn drop_volumes(&self, name: &str) {
        let volumes = docker(&["volume", "ls", "--quiet", "--filter", &format!("label=cloudfaster.app/name={name}")]);
        for volume in volumes.split_whitespace() {
            docker(&["volume", "rm", volume]);
        }
    }
}

fn source(map: &str) -> Value {
    json!({
        "compose": null, "composeFile": "docker-compose.yml",
        "source": {"archive": {"configMapRef": {"name": map, "key": "site.tar"}}, "path": "deploy"},
    })
}

async fn open_builds(lab: &Lab) {
    let open = json!([{"op": "add", "path": "/spec/tenants/0/allow/build", "value": {}}]);
    let open = Patch::Json::<()>(serde_json::from_value(open).unwrap());
    lab.hosts().patch("local", &PatchParams::default(), &open).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_written_for_compose_runs_unchanged_on_another_host() {
    let lab = Lab::new().await;
    open_builds(&lab).await;
    let image = &lab.image;
    let name = lab.apply("repository", "", source("site")).await;
    lab.until_told(&name, "DependencyNotFound", &["spec.source.archive.configMapRef", "no ConfigMap site"]).await;
    lab.publish("site", Repository { image, page: "first", greeting: "hello" }.archive()).await;
    lab.until_ready(&name).await;

    let (web, tool) = (lab.container(&name, "web"), lab.container(&name, "tool"));
    let cat = |container: &str, path: &str| docker(&["exec", container, "cat", path]);
    assert_eq!(cat(&web, "/site/index.html"), "first");
    assert_eq!(cat(&web, "/site/img/logo.svg"), "<svg/>");
    assert_eq!(cat(&web, "/etc/web.conf"), "listen 80");
    assert_eq!(docker(&["exec", &web, "sh", "-c", "echo $GREETING; echo kept > /site/uploads/file"]), "hello");
    assert_eq!(
        docker(&["exec", &tool, "sh", "-c", "cd /tool; ls; test -x run.sh && sh run.sh"]),
        "Dockerfile\nrun.sh\ndone"
    );
    assert!(!try_docker(&["exec", &web, "touch", "/site/index.html"], b"").status.success(), "it is read-only");
    let volumes = lab.volumes(&name);
    assert_eq!(volumes.len(), 2, "{volumes:?}");
    let all = docker(&["ps", "--all", "--quiet", "--filter", &format!("label=cloudfaster.app/name={name}")]);
    assert_eq!(all.lines().count(), 2, "nothing is left of the delivery");
    let first = lab.revision(&name).await;

    // Nothing is new: nothing happens.
    lab.publish("site", Repository { image, page: "first", greeting: "hello" }.archive()).await;
    lab.fetch_now(&name).await;
    lab.until_ready(&name).await;
    assert_eq!((lab.container(&name, "web"), lab.container(&name, "tool")), (web.clone(), tool.clone()));
    // Another page: another volume in the place of the former, and what users wrote is there.
    lab.publish("site", Repository { image, page: "second", greeting: "hello" }.archive()).await;
    lab.fetch(&name).await;
    lab.until(&name, "the next revision", |status| {
        status.source.as_ref().is_some_and(|source| source.revision != first)
    })
    .await;
    lab.until_ready(&name).await;
    let web = lab.container(&name, "web");
    assert_eq!(cat(&web, "/site/index.html"), "second");
    assert_eq!(cat(&web, "/site/uploads/file"), "kept");
    let after = lab.volumes(&name);
    assert_eq!((after.len(), after.intersection(&volumes).count()), (2, 1), "{volumes:?} {after:?}");

    // One that cannot be used changes nothing.
    lab.publish("site", b"this is no archive".to_vec()).await;
    lab.fetch(&name).await;
    lab.until_told(&name, "InvalidArchive", &["spec.source", "no archive"]).await;
    assert_eq!(lab.container(&name, "web"), web);

    lab.change(&name, json!({"deletionPolicy": "KeepVolumes"})).await;
    lab.delete(&name).await;
    let left = lab.volumes(&name);
    assert!(left.len() == 1 && left.iter().all(|volume| volume.starts_with("data-uploads-")), "{left:?}");
    lab.drop_volumes(&name);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_users_wrote_into_delivered_files_is_told_when_it_goes() {
    let lab = Lab::new().await;
    let archive = |page: &str| {
        let mut builder = Builder::new(Limits::default()).unwrap();
        builder.file(b"site/index.html", false, page.as_bytes()).unwrap();
        builder.file(b"site/about.html", false, &b"about"[..]).unwrap();
        let mut archive = Vec::new();
        builder.finish().unwrap().write_tar(&[], &mut archive).unwrap();
        archive
    };
    lab.publish("pages", archive("first")).await;
    let compose = format!("services: {{web: {{image: {}, volumes: ['./site:/site']}}}}", lab.image);
    let source = json!({"source": {"archive": {"configMapRef": {"name": "pages", "key": "site.tar"}}}});
    let name = lab.apply("edits", &compose, source).await;
    lab.until_ready(&name).await;
    let first = lab.revision(&name).await;
    let write = "echo mine > /site/about.html; mkdir /site/img; echo new > /site/img/photo";
    docker(&["exec", &lab.container(&name, "web"), "sh", "-c", write]);
    lab.publish("pages", archive("second")).await;
    lab.fetch(&name).await;
    lab.until(&name, "what is gone", |status| {
        let warning = status.conditions.iter().find(|condition| condition.type_ == "Warning");
        let told = "2 files in it were written by the service or its users: about.html, img/photo";
        let next = status.source.as_ref().is_some_and(|source| source.revision != first);
        next && warning.is_some_and(|warning| warning.reason == "EditsDropped" && warning.message.contains(told))
    })
    .await;
    lab.until_ready(&name).await;
    assert_eq!(docker(&["exec", &lab.container(&name, "web"), "cat", "/site/index.html"]), "second");
    let all = docker(&["ps", "--all", "--quiet", "--filter", &format!("label=cloudfaster.app/name={name}")]);
    assert_eq!((all.lines().count(), lab.volumes(&name).len()), (1, 1));
    lab.delete(&name).await;
}
