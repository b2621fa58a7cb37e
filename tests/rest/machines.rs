//! What becomes of requests for machines that are sent twice, at the same time, or in vain.

use std::convert::Infallible;

use bytes::Bytes;
use futures::future::join_all;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Value, json};

use crate::support::{Shim, Site, detail, faults, machine, settings, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_an_idempotency_key_makes_one_machine_however_often_it_is_sent() {
    let site = Site::new().await;
    let admin = site.admin();
    let form = machine("7", "web");
    let answers = join_all((0..6).map(|_| admin.once("/vm", "k-1", &form))).await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    let number = &answers[0].body["vm_id"];
    assert!(answers.iter().all(|answer| answer.body["vm_id"] == *number), "{answers:?}");

    // Another shim, as after a restart.
    let other = Shim::start(site.lab.client.clone(), settings(&[])).await;
    let client = other.client(crate::support::ADMIN);
    until(async || client.get("/protected").await.status == 200).await;
    let again = client.once("/vm", "k-1", &form).await;
    assert_eq!((again.status, &again.body["vm_id"]), (201, number));

    for body in [machine("7", "web") + "&cores=2", machine("7", "other")] {
        let reused = client.once("/vm", "k-1", &body).await;
        assert_eq!((reused.status, faults(&reused)[0].0.as_str()), (422, "value_error"), "{reused:?}");
    }
    // Another user's key of the same text is another key.
    assert_eq!(client.once("/vm", "k-1", &machine("8", "web")).await.status, 201);
    assert_eq!(site.lab.seen().len(), 2);
    let wrong = client.once("/vm", &"k".repeat(300), &form).await;
    assert_eq!(faults(&wrong), [("string_too_long".to_owned(), json!(["header", "idempotency-key"]))]);
    let empty = client.once("/vm", "", &form).await;
    assert_eq!(faults(&empty), [("string_too_short".to_owned(), json!(["header", "idempotency-key"]))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_different_requests_with_one_idempotency_key_at_most_one_makes_a_machine() {
    let site = Site::new().await;
    let admin = site.admin();
    let mut kept = 0;
    for round in 0..6 {
        let forms = ["web", "other"].map(|name| machine("7", &format!("{name}-{round}")));
        let key = format!("k-{round}");
        let answers = join_all(forms.iter().map(|form| admin.once("/vm", &key, form))).await;
        let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
        assert!(made.len() <= 1, "{answers:?}");
        for answer in refused {
            assert_eq!(faults(answer), [("value_error".to_owned(), json!(["header", "idempotency-key"]))]);
        }
        kept += made.len();
    }
    site.lab.until("only what was answered with a number stays", |lab| lab.seen().len() == kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_user_has_is_refused_and_says_so() {
    let site = Site::new().await;
    let admin = site.admin();
    let answers = join_all((0..4).map(|_| admin.form("/vm", "userid=7&vm_name=web&os=DEBIAN12&disksize=10"))).await;
    let mut made: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    made.sort_unstable();
    assert_eq!(made, [201, 409, 409, 409]);
    let refused = answers.iter().find(|answer| answer.status == 409).unwrap();
    assert_eq!(detail(refused), "The user has a VM named web already");
    assert_eq!(site.lab.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_cannot_be_made_is_told_and_leaves_nothing() {
    let site = Site::with(&["--rest-vmid-wait=1s"]).await;
    let admin = site.admin();
    // The node is full: it could come free, so it is put off.
    let full = admin.form("/vm", "userid=7&vm_name=big&os=DEBIAN12&disksize=500").await;
    assert_eq!(full.status, 503, "{full:?}");
    assert!(full.retry_after.is_some() && detail(&full).contains("could not be made in time"), "{full:?}");
    site.lab.until("nothing is left", |lab| lab.seen().is_empty()).await;

    // The administrator allows less: that does not pass by itself.
    let tenants = json!([{
        "namespaceSelector": {"matchLabels": {"cloudfaster.app/rest": "true"}}, "limits": {"memory": "1Gi"},
    }]);
    site.lab.patch_cluster(json!({"spec": {"tenants": tenants}})).await;
    let refused = admin.form("/vm", "userid=7&vm_name=big&os=DEBIAN12&disksize=10&memory=4096").await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(detail(&refused).contains("memory"), "{refused:?}");
    site.lab.until("nothing is left", |lab| lab.seen().is_empty()).await;
    assert!(site.lab.made().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_an_idempotency_key_goes_on_where_it_ended() {
    let mut site = Site::with(&["--rest-vmid-wait=200ms"]).await;
    site.lab.kill();
    let admin = site.admin();
    let put_off = admin.once("/vm", "k", &machine("7", "web")).await;
    assert_eq!(put_off.status, 503, "{put_off:?}");
    assert_eq!(site.lab.seen().len(), 1, "it is kept for the next time");
    site.lab.start();
    until(async || admin.once("/vm", "k", &machine("7", "web")).await.status == 201).await;
    assert_eq!(site.lab.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_system_is_refused_with_the_known_ones() {
    let site = Site::new().await;
    let answer = site.admin().form("/vm", "userid=7&vm_name=web&sistema=BEOS").await;
    let expected = json!([{
        "type": "enum", "loc": ["body", "sistema"], "msg": "Input should be 'DEBIAN12'", "input": "BEOS",
        "ctx": {"expected": "'DEBIAN12'"},
    }]);
    assert_eq!((answer.status, &answer.body["detail"]), (422, &expected));
    for keys in ["nonsense".to_owned(), "ssh-ed25519+AAAAC3NzaC1lZDI1NTE5AAAA%0A".repeat(65)] {
        let refused = site.admin().form("/vm", &(machine("7", "web") + "&ssh_pub_key=" + &keys)).await;
        assert_eq!(faults(&refused), [("value_error".to_owned(), json!(["body", "ssh_pub_key"]))]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let site = Site::bare(&[]).await;
    let address = site.shim.url.trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /vm HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: 1000000000\r\n\r\n",
        crate::support::ADMIN
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let length = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains(r#"{"detail":"The body is larger"#), "{answer}");

    // Without a length it is noticed on the way: at the last byte here, so that all of it can be sent.
    let parts = "--B\r\nContent-Disposition: form-data; name=\"userid\"\r\n\r\n";
    for (kind, head, foot) in [
        ("application/x-www-form-urlencoded", "userid=", ""),
        ("multipart/form-data; boundary=B", parts, "\r\n--B--\r\n"),
    ] {
        let body = format!("{head}{}{foot}", "7".repeat(64 * 1024 + 1 - head.len() - foot.len()));
        let chunks: Vec<_> = body.as_bytes().chunks(1000).map(|chunk| Ok::<_, Infallible>(frame(chunk))).collect();
        let body = reqwest::Body::wrap(StreamBody::new(futures::stream::iter(chunks)));
        let request = reqwest::Client::new().post(format!("{}/vm", site.shim.url));
        let request = request.header("X-API-Key", crate::support::ADMIN).header("content-type", kind);
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status(), 413, "{kind}");
        let told: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert!(told["detail"].as_str().unwrap().contains("larger"));
    }
}

fn frame(chunk: &[u8]) -> Frame<Bytes> {
    Frame::data(Bytes::copy_from_slice(chunk))
}
