//! What the real engine says when something cannot be done, and what is made of it.

use std::{net::TcpListener, time::Duration};

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointSettings, HostConfig, HostConfigLogConfig, Ipam, IpamConfig, Mount,
    MountType, NetworkCreateRequest, PortBinding, VolumeCreateRequest,
};
use bytes::Bytes;
use cloudfaster::docker::engine::{
    Access, Archive, Build, Context, Credentials, Engine, Error, Limits, Node, Reference, Removal, Settings,
    outcome::{self, Class},
};
use tokio::sync::watch;

use crate::{
    calls::{body, run},
    support::{
        Run, engine,
        images::{self, image},
        registry::{PASSWORD, Registry, USER},
    },
};

#[track_caller]
fn expect<T: std::fmt::Debug>(answer: Result<T, Error>, class: Class, word: &str) -> String {
    let failure = outcome::of(&answer.unwrap_err());
    assert_eq!((failure.class, failure.word), (class, word), "{}", failure.message);
    failure.message
}

fn port(host: u16) -> HostConfig {
    let binding = PortBinding { host_ip: Some("127.0.0.1".into()), host_port: Some(host.to_string()) };
    HostConfig { port_bindings: Some([("80/tcp".to_owned(), Some(vec![binding]))].into()), ..HostConfig::default() }
}

#[tokio::test]
async fn what_containers_cannot_be_is_told_apart() {
    let (test, engine) = (Run::new(), engine());
    let tag = test.name("image") + ":1";
    image(&tag);
    let create =
        async |name: &str, body: ContainerCreateBody| engine.create_container(&test.name(name), None, body).await;
    let with = |host: HostConfig| ContainerCreateBody { host_config: Some(host), ..body(&tag, &["sleep", "1000"]) };

    let none = body(&(test.name("none") + ":1"), &[]);
    let message = expect(create("a", none).await, Class::LookAgain, "NotFound");
    assert!(message.contains("No such image"), "{message}");
    let id = create("a", body(&tag, &["sleep", "1000"])).await.unwrap().id;
    let taken = create("a", body(&tag, &[])).await;
    assert!(taken.as_ref().unwrap_err().is_conflict());
    expect(taken, Class::LookAgain, "NameTaken");
    let other = create("b", body(&tag, &["sleep", "1000"])).await.unwrap().id;
    expect(engine.rename_container(&other, &test.name("a")).await, Class::LookAgain, "NameTaken");
    expect(engine.kill_container(&id, "SIGTERM").await, Class::LookAgain, "OtherState");
    expect(engine.pause_container(&id).await, Class::LookAgain, "OtherState");
    expect(engine.start_container("doesnotexist").await, Class::LookAgain, "NotFound");
    engine.start_container(&id).await.unwrap();
    expect(engine.remove_container(&id, Removal::default()).await, Class::LookAgain, "OtherState");
    expect(engine.unpause_container(&id).await, Class::LookAgain, "OtherState");

    let small = with(HostConfig { memory: Some(1 << 20), ..HostConfig::default() });
    expect(create("c", small).await, Class::Stalled, "Refused");
    let mount = Mount {
        target: Some("/x".into()),
        source: Some("/does/not/exist".into()),
        typ: Some(MountType::BIND),
        ..Mount::default()
    };
    let missing = with(HostConfig { mounts: Some(vec![mount]), ..HostConfig::default() });
    expect(create("c", missing).await, Class::Wait, "HostPathMissing");
    let log = HostConfigLogConfig { typ: Some("nonsense".into()), config: None };
    let driver = with(HostConfig { log_config: Some(log), ..HostConfig::default() });
    let created = create("c", driver).await;
    expect(
        match created {
            Ok(created) => engine.start_container(&created.id).await.map(drop),
            Err(error) => Err(error),
        },
        Class::Wait,
        "DriverMissing",
    );
    let runtime = with(HostConfig { runtime: Some("nonsense".into()), ..HostConfig::default() });
    expect(
        match create("d", runtime).await {
            Ok(created) => engine.start_container(&created.id).await.map(drop),
            Err(error) => Err(error),
        },
        Class::Wait,
        "DriverMissing",
    );
    let device = DeviceMapping {
        path_on_host: Some("/dev/doesnotexist".into()),
        path_in_container: Some("/dev/x".into()),
        cgroup_permissions: Some("rwm".into()),
    };
    let device = create("e", with(HostConfig { devices: Some(vec![device]), ..HostConfig::default() })).await.unwrap();
    expect(engine.start_container(&device.id).await, Class::Wait, "DeviceMissing");
    let command = create("f", body(&tag, &["doesnotexist"])).await.unwrap();
    let message = expect(engine.start_container(&command.id).await, Class::Stalled, "CommandNotFound");
    assert!(message.contains("doesnotexist"), "{message}");

    let mut archive = Archive::default();
    archive.insert("x", Node::Folder { mode: 0o755, user: 0, group: 0 }).unwrap();
    let upload = engine.upload(&other, "/does/not/exist", archive.to_tar().unwrap()).await;
    expect(upload, Class::LookAgain, "NotFound");
    for name in ["../../networks", "a/b", "a?b", "", "a%2fb"] {
        expect(engine.inspect_container(name).await, Class::Stalled, "InvalidRequest");
    }
    expect(engine.inspect_image("//127.0.0.1:1/x").await, Class::Stalled, "InvalidRequest");
}

#[tokio::test]
async fn a_port_that_is_taken_is_waited_for() {
    let (test, engine) = (Run::new(), engine());
    let tag = test.name("image") + ":1";
    image(&tag);
    let with = |host: HostConfig| ContainerCreateBody {
        host_config: Some(host),
        exposed_ports: Some(vec!["80/tcp".into()]),
        ..body(&tag, &["sleep", "1000"])
    };
    let program = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = program.local_addr().unwrap().port();
    let id = engine.create_container(&test.name("a"), None, with(port(number))).await.unwrap().id;
    expect(engine.start_container(&id).await, Class::Wait, "PortTaken");
    drop(program);
    engine.start_container(&id).await.unwrap();
    let other = engine.create_container(&test.name("b"), None, with(port(number))).await.unwrap().id;
    let message = expect(engine.start_container(&other).await, Class::Wait, "PortTaken");
    assert!(message.contains(&number.to_string()), "{message}");
}

#[tokio::test]
async fn what_networks_and_volumes_cannot_be_is_told_apart() {
    let (test, engine) = (Run::new(), engine());
    let tag = test.name("image") + ":1";
    image(&tag);
    let network = |name: &str, subnet: Option<&str>, driver: Option<&str>| NetworkCreateRequest {
        name: test.name(name),
        driver: driver.map(str::to_owned),
        ipam: subnet.map(|subnet| Ipam {
            config: Some(vec![IpamConfig { subnet: Some(subnet.into()), ..IpamConfig::default() }]),
            ..Ipam::default()
        }),
        ..NetworkCreateRequest::default()
    };
    let id = engine.create_network(network("a", Some("10.213.77.0/24"), None)).await.unwrap();
    let overlapping = engine.create_network(network("b", Some("10.213.77.128/25"), None)).await;
    expect(overlapping, Class::Wait, "SubnetTaken");
    expect(engine.create_network(network("b", None, Some("nonsense"))).await, Class::Wait, "DriverMissing");
    let container = run(&engine, &test.name("a"), body(&tag, &["sleep", "1000"])).await;
    let address = |address: &str| EndpointSettings {
        ipam_config: Some(bollard::models::EndpointIpamConfig {
            ipv4_address: Some(address.into()),
            ..Default::default()
        }),
        ..EndpointSettings::default()
    };
    engine.connect_network(&id, &container, address("10.213.77.9")).await.unwrap();
    let other = run(&engine, &test.name("b"), body(&tag, &["sleep", "1000"])).await;
    expect(engine.connect_network(&id, &other, address("10.213.77.9")).await, Class::Wait, "AddressTaken");
    let again = engine.connect_network(&id, &container, EndpointSettings::default()).await;
    expect(again, Class::LookAgain, "OtherState");
    expect(engine.remove_network(&id).await, Class::LookAgain, "InUse");

    let volume = |name: &str, driver: Option<&str>| VolumeCreateRequest {
        name: Some(test.name(name)),
        driver: driver.map(str::to_owned),
        ..VolumeCreateRequest::default()
    };
    expect(engine.create_volume(volume("a", Some("nonsense"))).await, Class::Wait, "DriverMissing");
    engine.create_volume(volume("a", None)).await.unwrap();
    let host = HostConfig { binds: Some(vec![format!("{}:/data", test.name("a"))]), ..HostConfig::default() };
    let user = ContainerCreateBody { host_config: Some(host), ..body(&tag, &["true"]) };
    engine.create_container(&test.name("c"), None, user).await.unwrap();
    expect(engine.remove_volume(&test.name("a")).await, Class::LookAgain, "InUse");
    engine.create_container(&test.name("d"), None, body(&tag, &["true"])).await.unwrap();
    images::image_with(&test.name("other:1"), &[], &[("etc/mine", &test.id)]);
    engine.create_container(&test.name("e"), None, body(&test.name("other:1"), &["true"])).await.unwrap();
    expect(engine.remove_image(&test.name("other:1")).await, Class::LookAgain, "InUse");
}

#[tokio::test]
async fn what_registries_refuse_is_told_apart() {
    let (test, engine) = (Run::new(), engine());
    let registry = Registry::start().await;
    let tag = test.name("image") + ":1";
    image(&tag);
    let name = registry.push(&tag, &format!("{}/app:1", test.id));
    let pull = async |name: &str, credentials: Option<&Credentials>| {
        let reference: Reference = name.parse().unwrap();
        engine.pull(&reference, None, credentials, &watch::channel(Default::default()).0).await
    };
    let right = Credentials { username: USER.into(), password: PASSWORD.into() };
    let wrong = Credentials { username: USER.into(), password: "open sesame seed".into() };
    expect(pull(&name, None).await, Class::Wait, "RegistryDenies");
    let message = expect(pull(&name, Some(&wrong)).await, Class::Wait, "RegistryDenies");
    assert!(!message.contains("sesame"), "{message}");
    let other = name.strip_suffix(":1").unwrap().to_owned() + ":2";
    expect(pull(&other, Some(&right)).await, Class::Wait, "ImageNotFound");
    expect(pull(&name.replace("/app", "/none"), Some(&right)).await, Class::Wait, "ImageNotFound");
    drop(registry);
    expect(pull(&name, Some(&right)).await, Class::Wait, "RegistryUnreachable");
}

#[tokio::test]
async fn what_cannot_be_built_is_told_apart() {
    let (test, engine) = (Run::new(), engine());
    let base = test.name("base") + ":1";
    image(&base);
    let build = async |dockerfile: &str, target: Option<&str>| {
        let mut context = Archive::default();
        let content = Bytes::copy_from_slice(dockerfile.as_bytes());
        context.insert("Dockerfile", Node::File { mode: 0o644, user: 0, group: 0, content }).unwrap();
        let build = Build {
            tag: test.name("built") + ":1",
            dockerfile: "Dockerfile".into(),
            target: target.map(str::to_owned),
            ..Build::default()
        };
        engine.build(&build, Context::Archive(context.to_tar().unwrap()), &watch::channel(Default::default()).0).await
    };
    expect(build("NONSENSE", None).await, Class::Stalled, "BuildInvalid");
    expect(build("", None).await, Class::Stalled, "BuildInvalid");
    expect(build(&format!("FROM {base}"), Some("none")).await, Class::Stalled, "BuildInvalid");
    let failing = format!("FROM {base}\nRUN echo the reason; exit 7\n");
    let message = expect(build(&failing, None).await, Class::Wait, "BuildFailed");
    assert!(message.contains("non-zero code: 7") && message.contains("the reason"), "{message}");
    expect(build(&format!("FROM {base}\nCOPY none /\n"), None).await, Class::Wait, "BuildFailed");
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let connect = |address: String, access| {
        let settings = Settings { address: address.parse().unwrap(), access, limits: Limits::default() };
        Engine::new(&settings).unwrap()
    };
    let none = connect(format!("unix://{}", folder.path().join("none.sock").display()), Access::Local);
    let message = expect(none.ping().await, Class::Retry, "HostUnreachable");
    assert!(message.ends_with("there is no such socket"), "{message}");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let closed = connect(format!("tcp://127.0.0.1:{port}"), Access::Unencrypted);
    expect(closed.capacity().await, Class::Retry, "HostUnreachable");

    // One that takes connections and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", silent.local_addr().unwrap()).parse().unwrap();
    let limits = Limits { read: Duration::from_millis(100), ..Limits::default() };
    let silent = Engine::new(&Settings { address, access: Access::Unencrypted, limits }).unwrap();
    expect(silent.ping().await, Class::LookAgain, "Timeout");

    for (address, access) in [("tcp://127.0.0.1:2376", Access::Local), ("unix:///x", Access::Unencrypted)] {
        let settings = Settings { address: address.parse().unwrap(), access, limits: Limits::default() };
        expect(Engine::new(&settings), Class::Stalled, "InvalidRequest");
    }
}
