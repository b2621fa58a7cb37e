//! Every call to the engine, on the real one.

use std::{collections::HashMap, time::Duration};

use bollard::models::{ContainerCreateBody, EndpointSettings, HostConfig, NetworkCreateRequest, VolumeCreateRequest};
use bytes::Bytes;
use cloudfaster::docker::engine::{
    Archive, Build, Command, Context, Credentials, Engine, Node, OLDEST_API, Reference, Removal,
};
use tokio::sync::watch;

use crate::support::{
    Run, engine,
    images::{self, image},
    registry::{PASSWORD, Registry, USER},
};

pub fn body(image: &str, command: &[&str]) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(command.iter().map(|&part| part.to_owned()).collect()),
        ..ContainerCreateBody::default()
    }
}

/// Creates and starts a container, whose id is returned.
pub async fn run(engine: &Engine, name: &str, body: ContainerCreateBody) -> String {
    let id = engine.create_container(name, None, body).await.unwrap().id;
    engine.start_container(&id).await.unwrap();
    id
}

#[tokio::test]
async fn an_engine_says_what_it_is_and_has() {
    let engine = engine();
    engine.ping().await.unwrap();
    let capacity = engine.capacity().await.unwrap();
    assert!(capacity.api >= OLDEST_API, "{capacity:?}");
    assert!(capacity.cpus > 0 && capacity.memory > 64 << 20, "{capacity:?}");
    for text in [&capacity.id, &capacity.name, &capacity.version, &capacity.storage_driver, &capacity.log_driver] {
        assert!(!text.is_empty(), "{capacity:?}");
    }
    assert_eq!(capacity.os, "linux");
    assert!(capacity.runtimes.iter().any(|runtime| runtime == "runc"), "{capacity:?}");
    assert!(capacity.log_drivers.iter().any(|driver| driver == "json-file"), "{capacity:?}");
    assert!(capacity.time.is_some());
}

#[tokio::test]
async fn a_container_lives_from_its_creation_to_its_removal() {
    let (test, engine) = (Run::new(), engine());
    let tag = test.name("image") + ":1";
    image(&tag);
    let script = "echo out; echo err >&2; trap 'exit 3' TERM; sleep 1000 & wait";
    let name = test.name("a");
    let created = engine
        .create_container(
            &name,
            None,
            ContainerCreateBody { labels: Some(test.labels("one")), ..body(&tag, &["sh", "-c", script]) },
        )
        .await
        .unwrap();
    let id = created.id;
    let state = async || {
        let state = engine.inspect_container(&id).await.unwrap().state.unwrap();
        (state.status.unwrap().to_string(), state.exit_code.unwrap())
    };
    assert_eq!(state().await, ("created".into(), 0));
    engine.start_container(&id).await.unwrap();
    engine.start_container(&id).await.unwrap();
    let listed = engine.list_containers(&[&format!("cloudfaster.app/installation={}", test.id)]).await.unwrap();
    assert_eq!(listed.iter().map(|summary| summary.id.as_deref()).collect::<Vec<_>>(), [Some(id.as_str())]);

    let command = Command {
        arguments: ["sh", "-c", "id -u; echo $GREETING; exit 4"].map(str::to_owned).into(),
        user: Some("1000".into()),
        environment: vec!["GREETING=hello".into()],
        ..Command::default()
    };
    let executed = engine.exec(&id, &command, Duration::from_secs(60)).await.unwrap();
    assert_eq!((executed.exit_code, executed.output.as_str()), (4, "1000\nhello\n"));
    let other = test.name("b");
    engine.rename_container(&id, &other).await.unwrap();
    assert!(engine.find_container(&name).await.unwrap().is_none());
    assert_eq!(engine.inspect_container(&other).await.unwrap().id, Some(id.clone()));

    let waiting = tokio::spawn({
        let (engine, id) = (engine.clone(), id.clone());
        async move { engine.wait_container(&id).await }
    });
    engine.stop_container(&id, Some(Duration::from_secs(60))).await.unwrap();
    engine.stop_container(&id, None).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 3);
    assert_eq!(state().await, ("exited".into(), 3));
    let log = engine.log_tail(&id, 10, 1 << 16).await.unwrap();
    assert!(log.contains("out\n") && log.contains("err\n"), "{log:?}");

    engine.restart_container(&id, None).await.unwrap();
    engine.kill_container(&id, "SIGKILL").await.unwrap();
    assert_eq!(engine.wait_container(&id).await.unwrap(), 137);
    engine.remove_container(&id, Removal::default()).await.unwrap();
    engine.remove_container(&id, Removal::default()).await.unwrap();
    assert!(engine.find_container(&id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_not_waited_for() {
    let (test, engine) = (Run::new(), engine());
    let tag = test.name("image") + ":1";
    image(&tag);
    let id = run(&engine, &test.name("a"), body(&tag, &["sleep", "1000"])).await;
    let slow = Command { arguments: ["sleep", "1000"].map(str::to_owned).into(), ..Command::default() };
    let error = engine.exec(&id, &slow, Duration::from_millis(50)).await.unwrap_err();
    assert!(error.to_string().starts_with("no answer to \"run a command in container"), "{error}");
}

#[tokio::test]
async fn a_container_is_frozen_and_thawed() {
    let (test, engine) = (Run::new(), engine());
    let tag = test.name("image") + ":1";
    image(&tag);
    let id = run(&engine, &test.name("a"), body(&tag, &["sleep", "1000"])).await;
    let paused = async || engine.inspect_container(&id).await.unwrap().state.unwrap().paused;
    engine.pause_container(&id).await.unwrap();
    assert_eq!(paused().await, Some(true));
    engine.unpause_container(&id).await.unwrap();
    assert_eq!(paused().await, Some(false));
}

#[tokio::test]
async fn networks_are_used_by_id() {
    let (test, engine) = (Run::new(), engine());
    let tag = test.name("image") + ":1";
    image(&tag);
    let name = test.name("net");
    let id = engine
        .create_network(NetworkCreateRequest {
            name: name.clone(),
            labels: Some(test.labels("one")),
            ..NetworkCreateRequest::default()
        })
        .await
        .unwrap();
    assert_eq!(engine.inspect_network(&id).await.unwrap().name.as_deref(), Some(name.as_str()));
    let named = engine.networks_named(&name).await.unwrap();
    assert_eq!(named.iter().map(|network| network.id.as_deref()).collect::<Vec<_>>(), [Some(id.as_str())]);
    assert!(engine.networks_named(&test.id).await.unwrap().is_empty(), "a part of a name is no name");
    let container = run(&engine, &test.name("a"), body(&tag, &["sleep", "1000"])).await;
    let endpoint = EndpointSettings { aliases: Some(vec!["web".into()]), ..EndpointSettings::default() };
    engine.connect_network(&id, &container, endpoint).await.unwrap();
    let inspected = engine.inspect_container(&container).await.unwrap();
    let networks = inspected.network_settings.unwrap().networks.unwrap();
    assert!(networks[&name].aliases.as_ref().unwrap().contains(&"web".to_owned()));
    engine.disconnect_network(&id, &container).await.unwrap();
    engine.remove_network(&id).await.unwrap();
    engine.remove_network(&id).await.unwrap();
    assert!(engine.find_network(&id).await.unwrap().is_none());
}

#[tokio::test]
async fn files_reach_the_volume_of_a_container_that_was_not_started() {
    let (test, engine) = (Run::new(), engine());
    let tag = test.name("image") + ":1";
    image(&tag);
    let name = test.name("data");
    let volume = VolumeCreateRequest {
        name: Some(name.clone()),
        labels: Some(test.labels("one")),
        ..VolumeCreateRequest::default()
    };
    engine.create_volume(volume.clone()).await.unwrap();
    let again = VolumeCreateRequest { labels: Some(HashMap::new()), ..volume };
    let found = engine.create_volume(again).await.unwrap();
    assert_eq!(found.labels, test.labels("one"), "a volume that is there keeps its labels");

    let host = HostConfig { binds: Some(vec![format!("{name}:/data")]), ..HostConfig::default() };
    let script = "stat -c '%a %u %g' /data/conf/app.conf; cat /data/conf/app.conf; ls -l /data | tail -n 1";
    let created = ContainerCreateBody { host_config: Some(host), ..body(&tag, &["sh", "-c", script]) };
    let id = engine.create_container(&test.name("a"), None, created).await.unwrap().id;
    let mut archive = Archive::default();
    archive.insert("conf", Node::Folder { mode: 0o755, user: 0, group: 0 }).unwrap();
    let content = Bytes::from_static(b"port = 80\n");
    archive.insert("conf/app.conf", Node::File { mode: 0o440, user: 1000, group: 50, content }).unwrap();
    engine.upload(&id, "/data", archive.to_tar().unwrap()).await.unwrap();
    engine.start_container(&id).await.unwrap();
    assert_eq!(engine.wait_container(&id).await.unwrap(), 0);
    let log = engine.log_tail(&id, 10, 1 << 16).await.unwrap();
    assert!(log.starts_with("440 1000 50\nport = 80\n"), "{log}");

    let tar = engine.download(&id, "/data/conf/app.conf", 1 << 20).await.unwrap();
    let mut read = tar::Archive::new(tar.as_ref());
    let entry = read.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(std::io::read_to_string(entry).unwrap(), "port = 80\n");
    let error = engine.download(&id, "/bin/busybox", 1000).await.unwrap_err();
    assert!(error.to_string().contains("larger than 1000 bytes"), "{error}");

    engine.remove_container(&id, Removal::default()).await.unwrap();
    engine.remove_volume(&name).await.unwrap();
    engine.remove_volume(&name).await.unwrap();
    assert!(engine.find_volume(&name).await.unwrap().is_none());
}

#[tokio::test]
async fn images_are_held_by_tags_and_removed_with_the_last() {
    let (test, engine) = (Run::new(), engine());
    let tag = test.name("image") + ":1";
    // Others have an image like it: it is this one's file that makes it another.
    images::image_with(&tag, &[], &[("etc/mine", &test.id)]);
    let id = engine.inspect_image(&tag).await.unwrap().id.unwrap();
    engine.tag_image(&id, &test.name("held"), "release-1").await.unwrap();
    let pattern = test.name("held") + ":*";
    let listed = engine.list_images(&[&pattern]).await.unwrap();
    assert_eq!(listed.iter().map(|image| image.id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    engine.remove_image(&tag).await.unwrap();
    assert!(engine.find_image(&tag).await.unwrap().is_none());
    assert!(engine.find_image(&id).await.unwrap().is_some(), "the other tag holds it");
    engine.remove_image(&(test.name("held") + ":release-1")).await.unwrap();
    engine.remove_image(&(test.name("held") + ":release-1")).await.unwrap();
    assert!(engine.find_image(&id).await.unwrap().is_none());
}

#[tokio::test]
async fn an_image_is_pulled_with_credentials_and_tells_how_far_it_is() {
    let (test, engine) = (Run::new(), engine());
    let registry = Registry::start().await;
    let tag = test.name("image") + ":1";
    images::image_with(&tag, &[], &[("etc/mine", &test.id)]);
    let id = images::id(&tag);
    let name = registry.push(&tag, &format!("{}/app:1", test.id));
    engine.remove_image(&tag).await.unwrap();

    let reference: Reference = name.parse().unwrap();
    let credentials = Credentials { username: USER.into(), password: PASSWORD.into() };
    let (progress, told) = watch::channel(Default::default());
    engine.pull(&reference, None, Some(&credentials), &progress).await.unwrap();
    let told = *told.borrow();
    assert_eq!((told.layers, told.layers_done), (1, 1), "{told:?}");
    assert_eq!(told.bytes, told.bytes_total, "{told:?}");
    let pulled = engine.inspect_image(&name).await.unwrap();
    assert_eq!(pulled.id, Some(id));
    let digest = pulled.repo_digests.unwrap().remove(0);
    let pinned: Reference = digest.parse().unwrap();
    engine.pull(&pinned, None, Some(&credentials), &progress).await.unwrap();
}

#[tokio::test]
async fn an_image_is_built_from_a_context_and_tells_its_steps() {
    let (test, engine) = (Run::new(), engine());
    let base = test.name("base") + ":1";
    image(&base);
    let dockerfile = format!("FROM {base}\nARG WORD\nCOPY word.txt /word.txt\nRUN echo $WORD >> /word.txt\n");
    let mut context = Archive::default();
    let file = |content: &str| Node::File {
        mode: 0o644,
        user: 0,
        group: 0,
        content: Bytes::copy_from_slice(content.as_bytes()),
    };
    context.insert("Dockerfile", file(&dockerfile)).unwrap();
    context.insert("word.txt", file("first\n")).unwrap();
    let build = Build {
        tag: test.name("built") + ":1",
        dockerfile: "Dockerfile".into(),
        arguments: [("WORD".to_owned(), "second".to_owned())].into(),
        labels: [("made.by".to_owned(), "test".to_owned())].into(),
        no_cache: true,
        ..Build::default()
    };
    let (progress, told) = watch::channel(Default::default());
    let id = engine.build(&build, Context::Archive(context.to_tar().unwrap()), &progress).await.unwrap();
    let told = told.borrow().clone();
    assert!(told.steps >= 4 && told.step == told.steps, "{told:?}");
    let image = engine.inspect_image(&build.tag).await.unwrap();
    assert_eq!(image.id.as_ref(), Some(&id));
    assert_eq!(image.config.unwrap().labels.unwrap()["made.by"], "test");
    let container = run(&engine, &test.name("a"), body(&id, &["cat", "/word.txt"])).await;
    engine.wait_container(&container).await.unwrap();
    assert_eq!(engine.log_tail(&container, 10, 1 << 16).await.unwrap(), "first\nsecond\n");
}
