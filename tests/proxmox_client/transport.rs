//! What arrives, what is repeated, and what errors say.

use std::time::Duration;

use cloudfaster::proxmox::client::{Client, CloneRequest, ConfigChange, ConfigView, Destroy, Error, encode_ssh_keys};
use http::Method;
use serde_json::{Value, json};

use crate::server::{PveServer, Reply};

const UPID: &str = "UPID:pve1:00000193:0008C543:6B03CAC0:qmclone:9000:op@pve!full:";

#[tokio::test]
async fn text_in_the_reason_phrase_alone_is_read() {
    let text = "unable to create VM 600: config file already exists";
    for body in [r#"{"data":null}"#, "", "null"] {
        let server = PveServer::script([Reply::refusal(500, text, body)]).await;
        let clone = CloneRequest { new_id: 600, ..CloneRequest::default() };
        let error = server.client().clone_vm("pve1", 9000, &clone).await;
        let error = error.unwrap_err();
        let refusal = error.api().unwrap();
        assert_eq!((refusal.status, refusal.text.as_str()), (500, text));
        assert!(refusal.is_config_exists());
    }
}

#[tokio::test]
async fn a_field_error_names_the_field() {
    let server = PveServer::script([Reply::refusal(
        400,
        "Parameter verification failed.",
        r#"{"message":"Parameter verification failed.\n","errors":{"storage":"No such storage.","cipassword":"hunter2 is bad"},"data":null}"#,
    )])
    .await;
    let error = server.client().version().await.unwrap_err();
    assert_eq!(error.api().unwrap().fields["storage"], "No such storage.");
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("storage: No such storage."), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn an_unregistered_status_is_an_unreachable_node() {
    let server = PveServer::script([Reply::refusal(595, "No route to host", "")]).await;
    let error = server.client().vm_config("pve2", 190, ConfigView::Current).await.unwrap_err();
    let refusal = error.api().unwrap();
    assert_eq!((refusal.status, refusal.text.as_str()), (595, "No route to host"));
    assert!(refusal.node_unreachable() && error.certainly_no_effect());
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let text = "Permission check failed (/nodes/pve1, Sys.Audit)";
    let server = PveServer::script([Reply::refusal(403, text, r#"{"data":null}"#)]).await;
    let error = server.client().tasks().await.unwrap_err();
    assert_eq!(error.api().unwrap().missing_permission(), Some(("/nodes/pve1", "Sys.Audit")));
    assert!(!error.certainly_no_effect());
}

#[tokio::test]
async fn a_read_is_repeated_on_a_fresh_connection() {
    for broken in [Reply::Lost, Reply::CutOff] {
        let server = PveServer::script([
            Reply::data(json!({"version": "9.2.11"})),
            broken,
            Reply::data(json!({"version": "9.2.12"})),
        ])
        .await;
        let client = server.client();
        client.version().await.unwrap();
        assert_eq!(client.version().await.unwrap().version, "9.2.12");
        let connections: Vec<_> = server.seen().iter().map(|seen| seen.connection).collect();
        assert_eq!(connections, [1, 1, 2]);
    }
}

#[tokio::test]
async fn a_read_is_not_repeated_for_ever() {
    let server = PveServer::start(|_| Reply::Lost).await;
    let error = server.client().version().await.unwrap_err();
    assert!(matches!(error, Error::ReplyLost { .. }), "{error:?}");
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_write_whose_reply_is_lost_is_not_repeated() {
    for broken in [Reply::Lost, Reply::CutOff] {
        let server = PveServer::start(move |_| broken.clone()).await;
        let error = server.client().start("pve1", 600).await.unwrap_err();
        assert!(matches!(error, Error::ReplyLost { .. }), "{error:?}");
        assert!(!error.certainly_no_effect());
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_write_without_an_answer_times_out_with_unknown_effect() {
    let server = PveServer::start(|_| Reply::Hang).await;
    let mut settings = server.settings();
    settings.timeouts.write = Duration::from_millis(200);
    let client = Client::new(settings).unwrap();
    let error = client.start("pve1", 600).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(!error.certainly_no_effect());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_write_without_a_connection_certainly_did_nothing() {
    let server = PveServer::start(|_| Reply::Lost).await;
    let client = server.client();
    drop(server);
    tokio::task::yield_now().await;
    let error = client.start("pve1", 600).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.certainly_no_effect());
}

#[tokio::test]
async fn a_handshake_that_breaks_or_hangs_certainly_did_nothing() {
    for hangs in [false, true] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                if hangs {
                    held.push(stream);
                }
            }
        });
        let server = PveServer::start(|_| Reply::Lost).await;
        let mut settings = server.settings();
        settings.endpoints = vec![format!("https://{address}").parse().unwrap()];
        settings.timeouts.connect = Duration::from_millis(200);
        let client = Client::new(settings).unwrap();
        let error = client.start("pve1", 600).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(error.certainly_no_effect());
        accepting.abort();
    }
}

#[tokio::test]
async fn connections_that_close_after_each_refusal_are_no_hindrance() {
    let server = PveServer::start(|seen| match seen.path.ends_with("/config") {
        true => Reply::refusal(
            500,
            "Configuration file 'nodes/pve1/qemu-server/7777.conf' does not exist",
            r#"{"data":null}"#,
        ),
        false => Reply::data(json!({"version": "8.4.21"})),
    })
    .await;
    let client = server.client();
    for _ in 0..5 {
        let error = client.vm_config("pve1", 7777, ConfigView::Pending).await;
        assert!(error.unwrap_err().is_missing_config());
        client.version().await.unwrap();
    }
    assert_eq!(server.seen().len(), 10);
}

#[tokio::test]
async fn another_endpoint_takes_over_and_is_kept() {
    let down = PveServer::start(|_| Reply::Lost).await;
    let up = PveServer::start(|_| Reply::data(json!({"version": "9.2.11"}))).await;
    let mut settings = up.settings();
    settings.endpoints.insert(0, down.endpoint());
    drop(down);
    tokio::task::yield_now().await;
    let client = Client::new(settings).unwrap();
    client.version().await.unwrap();
    client.version().await.unwrap();
    assert_eq!(up.seen().len(), 2);
}

#[tokio::test]
async fn a_write_whose_reply_is_lost_does_not_move_to_another_endpoint() {
    let first = PveServer::start(|_| Reply::Lost).await;
    let second = PveServer::start(|_| Reply::data(UPID)).await;
    let mut settings = second.settings();
    settings.endpoints.insert(0, first.endpoint());
    settings.trust = cloudfaster::proxmox::client::Trust::Insecure;
    let error = Client::new(settings).unwrap().start("pve1", 600).await;
    assert!(matches!(error, Err(Error::ReplyLost { .. })));
    assert_eq!((first.seen().len(), second.seen().len()), (1, 0));
}

#[tokio::test]
async fn an_endpoint_that_hangs_is_left_for_another() {
    let first = PveServer::start(|_| Reply::Hang).await;
    let second = PveServer::start(|_| Reply::data(json!({"version": "9.2.11"}))).await;
    let mut settings = second.settings();
    settings.endpoints.insert(0, first.endpoint());
    settings.trust = cloudfaster::proxmox::client::Trust::Insecure;
    settings.timeouts.read = Duration::from_millis(200);
    let client = Client::new(settings).unwrap();
    assert!(matches!(client.version().await, Err(Error::Timeout { .. })));
    client.version().await.unwrap();
}

#[tokio::test]
async fn writes_are_forms_and_deletes_have_a_query() {
    let server = PveServer::start(|seen| match seen.method {
        Method::PUT if seen.path.ends_with("/config") => Reply::data(Value::Null),
        _ => Reply::data(UPID),
    })
    .await;
    let client = server.client();
    let clone = CloneRequest {
        new_id: 600,
        name: "web".to_owned(),
        description: "ä & b\n".to_owned(),
        full: true,
        storage: Some("data2".to_owned()),
        ..CloneRequest::default()
    };
    let upid = client.clone_vm("pve1", 9000, &clone).await.unwrap();
    assert_eq!(upid.to_string(), UPID);
    let change = ConfigChange {
        set: vec![("cores".to_owned(), "2".to_owned()), ("sshkeys".to_owned(), encode_ssh_keys("ssh-rsa A+/= x y"))],
        delete: vec!["net1".to_owned(), "net2".to_owned()],
        digest: Some("abc".to_owned()),
        ..ConfigChange::default()
    };
    client.update_config("pve1", 600, &change).await.unwrap();
    client.resize("pve1", 600, "scsi0", 40 << 30).await.unwrap();
    let destroy = Destroy { purge: true, unreferenced_disks: false };
    client.destroy("pve1", 600, destroy).await.unwrap();
    client.stop_task(&upid).await.unwrap();
    client.delete_volume("pve1", "data2:600/vm-600-disk-0.qcow2").await.unwrap();
    let lines: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| format!("{} {}?{} {}", seen.method, seen.path, seen.query, seen.body))
        .collect();
    assert_eq!(
        lines,
        [
            "POST /api2/json/nodes/pve1/qemu/9000/clone? newid=600&name=web&description=%C3%A4+%26+b%0A&full=1&storage=data2",
            "PUT /api2/json/nodes/pve1/qemu/600/config? cores=2&sshkeys=ssh-rsa%2520A%252B%252F%253D%2520x%2520y&delete=net1%2Cnet2&digest=abc",
            "PUT /api2/json/nodes/pve1/qemu/600/resize? disk=scsi0&size=42949672960",
            "DELETE /api2/json/nodes/pve1/qemu/600?purge=1&destroy-unreferenced-disks=0 ",
            "DELETE /api2/json/nodes/pve1/tasks/UPID%3Apve1%3A00000193%3A0008C543%3A6B03CAC0%3Aqmclone%3A9000%3Aop%40pve%21full%3A? ",
            "DELETE /api2/json/nodes/pve1/storage/data2/content/data2%3A600%2Fvm-600-disk-0.qcow2? ",
        ]
    );
    assert!(server.seen().iter().all(|seen| seen.header("authorization") == "PVEAPIToken=op@pve!full=s3cr3t"));
}

#[tokio::test]
async fn a_write_uses_no_connection_that_has_idled() {
    let server = PveServer::start(|_| Reply::data(UPID)).await;
    let client = server.client();
    for _ in 0..3 {
        client.start("pve1", 600).await.unwrap();
    }
    assert_eq!(server.connections(), 1);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    client.start("pve1", 600).await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = PveServer::start(|_| Reply::refusal(302, "Found", "")).await;
    let error = server.client().version().await.unwrap_err();
    assert_eq!(error.api().unwrap().status, 302);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_not_understood_is_said_so() {
    let server = PveServer::start(|_| Reply::data("no task")).await;
    let error = server.client().start("pve1", 600).await.unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error:?}");
    assert!(!error.certainly_no_effect());
}
