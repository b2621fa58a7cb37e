//! Tokens, tickets, and their renewal.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use cloudfaster::proxmox::client::{Client, ConfigChange, Credentials, Error, Settings};
use serde_json::{Value, json};

use crate::server::{PveServer, Reply, Seen};

const TICKET_PATH: &str = "/api2/json/access/ticket";

/// Gives out tickets `PVE:1`, `PVE:2`, …, and accepts those from `first_good` on.
fn ticket_server(first_good: impl Fn() -> usize + Send + Sync) -> impl Fn(&Seen) -> Reply {
    let given = AtomicUsize::new(0);
    move |seen| {
        if seen.path == TICKET_PATH {
            assert_eq!(seen.body, "username=root%40pam&password=hunter2%26x");
            let number = given.fetch_add(1, Ordering::SeqCst) + 1;
            return Reply::data(json!({
                "ticket": format!("PVE:{number}"), "CSRFPreventionToken": format!("csrf{number}"),
                "username": "root@pam",
            }));
        }
        let ticket = seen.header("cookie").strip_prefix("PVEAuthCookie=PVE:");
        let number: usize = ticket.unwrap_or("0").parse().unwrap();
        if number < first_good() {
            return Reply::refusal(401, "No ticket", "");
        }
        if seen.method != http::Method::GET && seen.header("csrfpreventiontoken") != format!("csrf{number}") {
            return Reply::refusal(401, "Permission denied - invalid csrf token", "");
        }
        match seen.path.ends_with("/version") {
            true => Reply::data(json!({"version": "9.2.11"})),
            false => Reply::data(Value::Null),
        }
    }
}

fn password_settings(server: &PveServer) -> Settings {
    let mut settings = server.settings();
    settings.credentials = Credentials::Password { user: "root@pam".to_owned(), password: "hunter2&x".into() };
    settings
}

fn with_password(server: &PveServer) -> Client {
    Client::new(password_settings(server)).unwrap()
}

fn logins(server: &PveServer) -> usize {
    let seen = server.seen();
    seen.iter().filter(|seen| seen.path == TICKET_PATH).count()
}

#[tokio::test]
async fn one_login_serves_many_requests() {
    let server = PveServer::start(ticket_server(|| 1)).await;
    let client = with_password(&server);
    let all = futures::future::join_all((0..8).map(|_| client.version())).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(logins(&server), 1);
}

#[tokio::test]
async fn writes_carry_the_csrf_token_and_reads_do_not() {
    let server = PveServer::start(ticket_server(|| 1)).await;
    let client = with_password(&server);
    client.version().await.unwrap();
    let change = ConfigChange { set: vec![("cores".to_owned(), "2".to_owned())], ..ConfigChange::default() };
    client.update_config("pve1", 600, &change).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[1].header("csrfpreventiontoken"), "");
    assert_eq!(seen[2].header("csrfpreventiontoken"), "csrf1");
}

#[tokio::test]
async fn a_refused_ticket_is_renewed_once() {
    static FIRST_GOOD: AtomicUsize = AtomicUsize::new(1);
    let server = PveServer::start(ticket_server(|| FIRST_GOOD.load(Ordering::SeqCst))).await;
    let client = with_password(&server);
    client.version().await.unwrap();
    FIRST_GOOD.store(2, Ordering::SeqCst);
    client.version().await.unwrap();
    assert_eq!(logins(&server), 2);
    FIRST_GOOD.store(99, Ordering::SeqCst);
    let error = client.version().await.unwrap_err();
    assert!(error.is_auth(), "{error:?}");
    assert_eq!(error.api().unwrap().text, "No ticket");
    assert_eq!(logins(&server), 3);
}

#[tokio::test]
async fn a_write_whose_ticket_was_refused_happens_once_with_the_new_one() {
    let server = PveServer::start(ticket_server(|| 2)).await;
    let client = with_password(&server);
    let change = ConfigChange { set: vec![("cores".to_owned(), "2".to_owned())], ..ConfigChange::default() };
    client.update_config("pve1", 600, &change).await.unwrap();
    let writes: Vec<_> = server
        .seen()
        .iter()
        .filter(|seen| seen.path.ends_with("/config"))
        .map(|seen| seen.header("cookie").to_owned())
        .collect();
    assert_eq!(writes, ["PVEAuthCookie=PVE:1", "PVEAuthCookie=PVE:2"]);
}

#[tokio::test]
async fn an_old_ticket_is_renewed_before_it_expires() {
    let server = PveServer::start(ticket_server(|| 1)).await;
    let mut settings = password_settings(&server);
    settings.timeouts.ticket_age = Duration::ZERO;
    let client = Client::new(settings).unwrap();
    client.version().await.unwrap();
    client.version().await.unwrap();
    assert_eq!(logins(&server), 2);
    assert_eq!(server.seen()[3].header("cookie"), "PVEAuthCookie=PVE:2");
}

#[tokio::test]
async fn a_login_whose_reply_is_lost_is_repeated_and_the_write_is_not_lost_with_it() {
    for always in [false, true] {
        let lost = AtomicUsize::new(0);
        let good = ticket_server(|| 1);
        let server = PveServer::start(move |seen| {
            let first = lost.fetch_add(1, Ordering::SeqCst) == 0;
            if seen.path == TICKET_PATH && (always || first) {
                return Reply::Lost;
            }
            good(seen)
        })
        .await;
        let change = ConfigChange { set: vec![("cores".to_owned(), "2".to_owned())], ..ConfigChange::default() };
        let outcome = with_password(&server).update_config("pve1", 600, &change).await;
        let writes = server.seen().iter().filter(|seen| seen.path != TICKET_PATH).count();
        if always {
            assert!(outcome.unwrap_err().certainly_no_effect());
            assert_eq!(writes, 0);
        } else {
            outcome.unwrap();
            assert_eq!(writes, 1);
        }
    }
}

#[tokio::test]
async fn a_wrong_token_is_not_tried_again() {
    let server = PveServer::start(|_| Reply::refusal(401, "Authentication failed!", "")).await;
    let error = server.client().version().await.unwrap_err();
    assert!(error.is_auth() && error.certainly_no_effect());
    assert_eq!(error.api().unwrap().text, "Authentication failed!");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let server = PveServer::start(|_| {
        let body = r#"{"data":null,"message":"authentication failure\n"}"#;
        Reply::refusal(401, "authentication failure", body)
    })
    .await;
    let error = with_password(&server).version().await.unwrap_err();
    assert!(error.is_auth());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_user_with_a_second_factor_is_told_to_use_a_token() {
    let server = PveServer::start(|_| Reply::data(json!({"ticket": "PVE:!tfa!", "NeedTFA": 1}))).await;
    let error = with_password(&server).version().await.unwrap_err();
    assert!(error.to_string().contains("API token"), "{error}");
}

#[tokio::test]
async fn no_error_shows_a_secret() {
    let replies = [
        Reply::refusal(401, "Authentication failed!", ""),
        Reply::refusal(500, "", ""),
        Reply::Lost,
        Reply::data("nonsense"),
    ];
    for reply in replies {
        let server = PveServer::start(move |_| reply.clone()).await;
        for client in [server.client(), with_password(&server)] {
            let change =
                ConfigChange { set: vec![("cipassword".to_owned(), "hunter2".to_owned())], ..ConfigChange::default() };
            let errors: [Option<Error>; 2] =
                [client.update_config("pve1", 600, &change).await.err(), client.version().await.err()];
            let shown = format!("{errors:?} {client:?}");
            assert!(!shown.contains("s3cr3t") && !shown.contains("hunter2"), "{shown}");
        }
    }
}
