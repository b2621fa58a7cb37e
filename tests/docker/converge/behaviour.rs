//! What only a real engine can tell.

use super::walk::{End, Object};
use crate::support::{
    Run,
    command::docker,
    proxy::{Death, Proxy},
};
use cloudfaster::docker::desired::{Removal, State};

async fn rest(object: &mut Object) -> Vec<String> {
    let proxy = Proxy::start(Death::Never);
    assert_eq!(object.walk(&proxy).await, End::Rest);
    proxy.written()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_kept_changed_stopped_and_removed() {
    let run = Run::new();
    let mut object = Object::new(&run, "life");
    rest(&mut object).await;
    let web = format!("{}-web-1", object.project.name);
    let id = |name: &str| docker(&["inspect", "--format", "{{.Id}}", name]);
    let first = id(&web);
    assert_eq!(docker(&["exec", &web, "cat", "/srv/page"]), "hello");
    docker(&["exec", &web, "touch", "/cache/kept"]);

    // By hand.
    docker(&["kill", &web]);
    docker(&["rename", &web, &format!("{web}-mine")]);
    rest(&mut object).await;
    assert_eq!(id(&web), first, "it is brought back as it is");
    docker(&["pause", &web]);
    rest(&mut object).await;
    assert_eq!(docker(&["inspect", "--format", "{{.State.Status}}", &web]), "running");
    docker(&["update", "--memory", "64m", "--memory-swap", "64m", &web]);
    rest(&mut object).await;
    assert_ne!(id(&web), first, "what was changed is made anew");
    docker(&["exec", &web, "test", "-f", "/cache/kept"]);
    let network = format!("{}_default", object.project.name);
    let second = id(&web);
    docker(&["network", "disconnect", &network, &web]);
    rest(&mut object).await;
    assert_ne!(id(&web), second);

    // A copy by `docker commit` has all labels, and is a stranger.
    let copy = run.name("copy");
    docker(&["commit", &web, &format!("{copy}:1")]);
    docker(&["run", "--detach", "--name", &copy, &format!("{copy}:1")]);
    assert!(rest(&mut object).await.is_empty());
    object.lose_status();
    assert!(rest(&mut object).await.is_empty());
    assert_eq!(docker(&["inspect", "--format", "{{.State.Status}}", &copy]), "running");

    // Another release; the anonymous volume and the database stay.
    let db = id(&format!("{}-db-1", object.project.name));
    object.change(|project| project.configs.get_mut("page").unwrap().content = b"changed".to_vec());
    rest(&mut object).await;
    assert_eq!(docker(&["exec", &web, "cat", "/srv/page"]), "changed");
    docker(&["exec", &web, "test", "-f", "/cache/kept"]);

    object.deployment.state = State::Stopped;
    rest(&mut object).await;
    assert!(object.containers().iter().all(|line| line.ends_with(" exited")), "{:?}", object.containers());
    object.deployment.state = State::Running;
    object.deployment.restart = Some("now".into());
    rest(&mut object).await;
    assert!(rest(&mut object).await.is_empty());
    assert_ne!(db, "");

    object.removal = Some(Removal::KeepVolumes);
    assert_eq!(object.walk(&Proxy::start(Death::Never)).await, End::Released);
    assert!(object.containers().is_empty());
    assert_eq!(object.things("volume").len(), 2);
    assert_eq!(docker(&["inspect", "--format", "{{.State.Status}}", &copy]), "running", "a stranger's stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_container_whose_port_is_taken_gives_way_to_the_old_one() {
    let run = Run::new();
    let mut object = Object::new(&run, "port");
    rest(&mut object).await;
    let web = format!("{}-web-1", object.project.name);
    let old = docker(&["inspect", "--format", "{{.Id}}", &web]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    object.change(|project| {
        let web = project.services.get_mut("web").unwrap();
        web.ports = vec![
            serde_json::from_value(serde_json::json!({
                "mode": "host", "host_ip": "127.0.0.1", "target": 80, "published": { "first": port, "last": port },
                "protocol": "tcp", "name": null, "app_protocol": null
            }))
            .unwrap(),
        ];
    });
    let End::Stall(reason) = object.walk(&Proxy::start(Death::Never)).await else { panic!("it does not stall") };
    assert_eq!(reason.word, "PortTaken", "{reason:?}");
    assert_eq!(docker(&["inspect", "--format", "{{.Id}} {{.State.Status}}", &web]), format!("{old} running"));
    drop(taken);
    object.deployment.restart = Some("again".into());
    rest(&mut object).await;
    assert_ne!(docker(&["inspect", "--format", "{{.Id}}", &web]), old);
}
