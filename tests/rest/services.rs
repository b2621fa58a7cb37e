//! The contract of the old API for services, request by request. No controller runs: what becomes of the objects is another
//! test's business.

use std::io::Read;

use cloudfaster::{
    api::{
        DockerService,
        docker_service::{DeletionPolicy, ServiceState},
        power::RESTARTED_AT,
    },
    artifacts::Artifact,
    rest::USERS_NAMESPACE,
};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{ADMIN, Part, Shim, Site, detail, faults, service, settings, store, text, until, zip};

/// The only service that there is.
async fn only(site: &Site) -> DockerService {
    let mut all = site.services().list(&ListParams::default()).await.unwrap().items;
    assert_eq!(all.len(), 1);
    all.remove(0)
}

async fn count(site: &Site) -> usize {
    site.services().list(&ListParams::default()).await.unwrap().items.len()
}

/// What a controller would say.
async fn tell(site: &Site, name: &str, status: Value) {
    let patch = Patch::Merge(json!({"status": status}));
    site.services().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

fn proxied() -> Value {
    json!({"proxy": {"kind": "Traefik", "domain": "example.com"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_client_makes_reads_controls_and_deletes_a_service() {
    let site = Site::bare(&[]).await;
    site.docker_host(proxied()).await;
    let admin = site.admin();
    assert_eq!(admin.form("/users", "userid=7&username=Ana").await.status, 200);
    let form = "userid=7&service_name=My+Shop&service_types=PHP,MySQL&git_repo_url=https%3A%2F%2Fgit.example.com%2Fshop.git\
                &admin_pass=a+long+password";
    let made = admin.form("/service", form).await;
    assert_eq!(made.status, 201, "{made:?}");
    let object = only(&site).await;
    let id = object.uid().unwrap();
    let expected = json!({
        "service_id": id, "service_name": "My Shop", "status": "creating",
        "urls": {"main": "https://my-shop.example.com", "filebrowser": "https://my-shop-filebrowser.example.com"},
        "service_types": ["PHP", "MySQL"], "primary_app_type": "PHP",
    });
    assert_eq!(made.body, expected);
    let spec = &object.spec;
    assert_eq!((spec.host_ref.name.as_str(), spec.user_id.as_deref()), ("docker1", Some("7")));
    assert_eq!((spec.hostname.as_deref(), spec.deletion_policy), (Some("my-shop"), DeletionPolicy::DeleteVolumes));
    let git = spec.source.as_ref().unwrap().git.as_ref().unwrap();
    assert_eq!(git.url, "https://git.example.com/shop.git");
    let reference = spec.filebrowser.as_ref().unwrap().password_secret_ref.as_ref().unwrap();
    let secrets = Api::<Secret>::namespaced(site.lab.client.clone(), USERS_NAMESPACE);
    let secret = secrets.get(&reference.name).await.unwrap();
    assert_eq!(secret.owner_references()[0].uid, id);
    assert_eq!(secret.data.unwrap()[&reference.key].0, b"a long password");

    let path = format!("/service/{id}");
    until(async || admin.get(&path).await.status == 200).await;
    assert_eq!(admin.get(&path).await.body, made.body);
    let name = object.name_any();
    tell(&site, &name, json!({"observedGeneration": 1, "phase": "Running", "types": ["PHP", "MySQL"]})).await;
    until(async || admin.get(&path).await.body["status"] == "enabled").await;
    assert_eq!(admin.get("/users/7").await.body["services"], json!([admin.get(&path).await.body]));

    for (action, state) in [
        ("shutdown", ServiceState::Stopped),
        ("encender", ServiceState::Running),
        ("apagar", ServiceState::Stopped),
        ("start", ServiceState::Running),
    ] {
        let answer = admin.post(&format!("/control-service/{id}/{action}")).await;
        assert_eq!((answer.status, answer.body), (200, json!({"status": "Ok"})), "{action}");
        assert_eq!(only(&site).await.spec.state, state, "{action}");
    }
    let mut restarted = Vec::new();
    for action in ["restart", "reiniciar"] {
        assert_eq!(admin.post(&format!("/control-service/{id}/{action}")).await.status, 200);
        restarted.push(only(&site).await.annotations()[RESTARTED_AT].clone());
    }
    assert_ne!(restarted[0], restarted[1]);
    let unknown = admin.post(&format!("/control-service/{id}/pause")).await;
    assert_eq!(faults(&unknown), [("enum".to_owned(), json!(["path", "action"]))]);
    assert_eq!(admin.post(&format!("/control-service/{id}/eliminar")).await.body, json!({"status": "Ok"}));
    until(async || admin.get(&path).await.status == 404).await;
    assert_eq!(count(&site).await, 0);
    for missing in [admin.get(&path).await, admin.post(&format!("/control-service/{id}/delete")).await] {
        assert_eq!((missing.status, detail(&missing)), (404, "Service not found"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_generation_uploads_an_archive() {
    let site = Site::bare(&[]).await;
    site.docker_host(json!({})).await;
    let archive = zip(&[("index.html", "hello")]);
    let file = Part { name: "archivo", file: Some("Sitio.ZIP"), content: &archive };
    let types = [text("tipo_servicio", "Static"), text("tipo_servicio", "Redis")];
    let [first, second] = types;
    let parts = [file, text("id_user", "ana"), text("nombre_servicio", "sitio"), first, second];
    let made = site.admin().multipart("/service", &parts).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.body["service_types"], json!(["Static", "Redis"]));
    // A host without a proxy leads nobody anywhere.
    assert_eq!(made.body["urls"], json!({"main": null, "filebrowser": null}));
    let sha256 = hex::encode(Sha256::digest(&archive));
    let object = only(&site).await;
    let source = object.spec.source.unwrap().archive.unwrap();
    assert_eq!(source.artifact.as_ref(), Some(&sha256));
    let artifact = Artifact { namespace: USERS_NAMESPACE.to_owned(), sha256 };
    let mut kept = Vec::new();
    store(&site.artifacts).get(&artifact, 1 << 20).await.unwrap().read_to_end(&mut kept).unwrap();
    assert_eq!(kept, archive);
    // A password is generated where none is given.
    assert_eq!(object.spec.filebrowser.unwrap().password_secret_ref, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_service_is_told_and_makes_nothing() {
    let site = Site::bare(&[]).await;
    site.docker_host(json!({})).await;
    let admin = site.admin();
    let long = format!("userid=7&service_name=a&service_types=PHP&admin_pass={}", "tiny".repeat(300));
    for (form, kind, place, words) in [
        ("service_name=a&service_types=PHP", "missing", "userid", "Field required"),
        ("userid=7&service_types=PHP", "missing", "service_name", "Field required"),
        ("userid=7&service_name=a", "missing", "service_types", "Field required"),
        ("userid=7&service_name=a&service_types=,", "missing", "service_types", "Field required"),
        ("userid=7&service_name=a&tipo_servicio=Cobol", "enum", "tipo_servicio", "'Static', 'PHP', 'Laravel'"),
        ("userid=7&service_name=a&service_types=PHP,Static", "value_error", "service_types", "would both answer"),
        ("userid=7&service_name=a&service_types=React", "value_error", "service_types", "needs a source"),
        ("userid=7&service_name=a&service_types=PHP&admin_pass=tiny", "string_too_short", "admin_pass", "at least 12"),
        ("userid=7&service_name=a&service_types=PHP&git_repo_url=/etc", "value_error", "git_repo_url", "Value error"),
        ("userid=7&service_name=a&service_types=PHP&git_repo_url=file:///etc", "value_error", "git_repo_url", "file"),
        (
            "userid=7&service_name=a&service_types=MySQL&git_repo_url=https://example.com/a.git",
            "value_error",
            "service_types",
            "cannot use a source",
        ),
        ("userid=7&service_name=a&service_types=PHP&zip_file=text", "value_error", "zip_file", "Expected UploadFile"),
        (&long, "string_too_long", "admin_pass", "at most 1024"),
    ] {
        let refused = admin.form("/service", form).await;
        assert_eq!(
            (refused.status, faults(&refused)),
            (422, vec![(kind.to_owned(), json!(["body", place]))]),
            "{form}"
        );
        let told = refused.body["detail"][0]["msg"].as_str().unwrap();
        assert!(told.contains(words) && !refused.body.to_string().contains("tiny"), "{form}: {told}");
    }
    let site_zip = zip(&[("index.html", "hello")]);
    let escaping = zip(&[("../index.html", "hello")]);
    let cut = &site_zip[..site_zip.len() - 5];
    for (file, content, status, told) in [
        ("site.rar", site_zip.as_slice(), 400, "File must be a .zip"),
        ("site.zip", b"nothing of the kind", 400, "is no archive"),
        ("site.zip", cut, 400, "damaged"),
        ("site.zip", &escaping, 400, "`..`"),
    ] {
        let file = Part { name: "zip_file", file: Some(file), content };
        let parts = [text("userid", "7"), text("service_name", "a"), text("service_types", "Static"), file];
        let refused = admin.multipart("/service", &parts).await;
        assert!(refused.status == status && detail(&refused).contains(told), "{told}: {refused:?}");
    }
    let both = [
        text("userid", "7"),
        text("service_name", "a"),
        text("service_types", "Static"),
        text("git_repo_url", "https://example.com/a.git"),
        Part { name: "zip_file", file: Some("a.zip"), content: &site_zip },
    ];
    let refused = admin.multipart("/service", &both).await;
    assert_eq!(faults(&refused), [("value_error".to_owned(), json!(["body", "git_repo_url"]))]);
    assert_eq!(count(&site).await, 0);
    assert_eq!(std::fs::read_dir(site.artifacts.path()).unwrap().count(), 0, "something was kept");
    // What a browser sends for a field of which no file was chosen.
    let none = Part { name: "zip_file", file: Some(""), content: b"" };
    let parts = [text("userid", "7"), text("service_name", "a"), text("service_types", "MySQL"), none];
    let made = admin.multipart("/service", &parts).await;
    assert_eq!((made.status, &made.body["primary_app_type"]), (201, &json!("MySQL")), "{made:?}");
    assert_eq!(only(&site).await.spec.filebrowser, None, "databases have none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_refused_and_says_so() {
    let site = Site::bare(&[]).await;
    site.docker_host(proxied()).await;
    let admin = site.admin();
    assert_eq!(admin.form("/service", &service("7", "shop")).await.status, 201);
    let same = admin.form("/service", &service("7", "shop")).await;
    assert_eq!((same.status, detail(&same)), (409, "The user has a service named shop already"));
    until(async || {
        let others = admin.form("/service", &service("8", "Shop")).await;
        others.status == 409 && detail(&others) == "The name shop is that of another service; choose another"
    })
    .await;
    // What would be that of its Filebrowser.
    let mimic = admin.form("/service", &service("8", "shop-filebrowser")).await;
    assert_eq!(
        (mimic.status, detail(&mimic)),
        (409, "The name shop-filebrowser is that of another service; choose another")
    );
    // Databases alone have no name that anybody could take.
    let databases = "userid=8&service_name=db&service_types=Redis";
    assert_eq!(admin.form("/service", databases).await.status, 201);
    let at_once =
        join_all((0..4).map(|_| admin.form("/service", "userid=7&service_name=db&service_types=Redis"))).await;
    let mut statuses: Vec<u16> = at_once.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_an_idempotency_key_makes_one_service() {
    let site = Site::bare(&[]).await;
    site.docker_host(proxied()).await;
    let admin = site.admin();
    let form = service("7", "shop") + "&admin_pass=a+long+password";
    let answers = join_all((0..5).map(|_| admin.once("/service", "k-1", &form))).await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    assert!(answers.iter().all(|answer| answer.body["service_id"] == answers[0].body["service_id"]), "{answers:?}");
    let reused = admin.once("/service", "k-1", &(service("7", "shop") + "&service_types=Redis")).await;
    assert_eq!(faults(&reused), [("value_error".to_owned(), json!(["header", "idempotency-key"]))]);
    assert_eq!(reused.body["detail"][0]["input"], "k-1");
    assert_eq!(count(&site).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_waits_for_the_service_if_it_is_asked_to() {
    let site = Site::bare(&[]).await;
    site.docker_host(json!({})).await;
    let admin = site.admin();
    let (made, ()) =
        tokio::join!(admin.form("/service?wait=60", "userid=7&service_name=shop&service_types=PHP"), async {
            until(async || count(&site).await == 1).await;
            let ready = json!({
                "type": "Ready", "status": "True", "reason": "Running", "message": "", "observedGeneration": 1,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            });
            let status = json!({
                "observedGeneration": 1, "phase": "Running", "conditions": [ready], "url": "http://docker1:30000",
                "types": ["PHP"],
            });
            let name = only(&site).await.name_any();
            tell(&site, &name, status).await;
        });
    assert_eq!((made.status, &made.body["status"]), (201, &json!("enabled")), "{made:?}");
    assert_eq!(made.body["urls"]["main"], "http://docker1:30000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_large_is_refused_before_all_of_it_is_read() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let site = Site::bare(&["--rest-upload-limit=1Mi"]).await;
    site.docker_host(json!({})).await;
    let file = Part { name: "zip_file", file: Some("a.zip"), content: &vec![7; (1 << 20) + 1] };
    let refused = site.admin().multipart("/service", &[file]).await;
    assert!(refused.status == 413 && detail(&refused).contains("larger than 1048576 bytes"), "{refused:?}");
    let address = site.shim.url.trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /service HTTP/1.1\r\nHost: x\r\nX-API-Key: {ADMIN}\r\nContent-Type: multipart/form-data; boundary=B\r\n\
         Content-Length: 3000000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let length = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // Texts are kept in memory, and have the limit of forms without files.
    let long = "x".repeat(70_000);
    let refused = site.admin().multipart("/service", &[text("userid", &long)]).await;
    assert!(refused.status == 413 && detail(&refused).contains("larger than 65536 bytes"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_host_or_a_place_for_uploads_it_is_put_off() {
    let site = Site::bare(&[]).await;
    let put_off = site.admin().form("/service", &service("7", "shop")).await;
    assert!(put_off.status == 503 && put_off.retry_after.is_some(), "{put_off:?}");
    assert_eq!(detail(&put_off), "There is no DockerHost yet");
    let shim = Shim::start(site.lab.client.clone(), settings(&["--rest-docker-host=docker2"])).await;
    let client = shim.client(ADMIN);
    until(async || client.get("/protected").await.status == 200).await;
    assert_eq!(detail(&client.form("/service", &service("7", "shop")).await), "There is no DockerHost docker2 yet");
    let content = zip(&[("index.html", "hello")]);
    let file = Part { name: "zip_file", file: Some("a.zip"), content: &content };
    let put_off = client.multipart("/service", &[file]).await;
    assert!(put_off.status == 503 && detail(&put_off).contains("no artifact store"), "{put_off:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_uploads_keep_others_from_uploading_and_from_nothing_else() {
    use tokio::io::AsyncWriteExt;
    let site = Site::bare(&[]).await;
    site.docker_host(json!({})).await;
    let admin = site.admin();
    let address = site.shim.url.trim_start_matches("http://").to_owned();
    let begun = format!(
        "POST /service HTTP/1.1\r\nHost: x\r\nX-API-Key: {ADMIN}\r\nContent-Type: multipart/form-data; boundary=B\r\n\
         Content-Length: 1000\r\n\r\n--B\r\nContent-Disposition: form-data; name=\"zip_file\"; filename=\"a.zip\"\r\n\r\nPK"
    );
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let content = zip(&[("index.html", "hello")]);
    let upload = async || {
        let file = Part { name: "zip_file", file: Some("a.zip"), content: &content };
        let parts = [text("userid", "7"), text("service_name", "a"), text("service_types", "Static"), file];
        admin.multipart("/service", &parts).await
    };
    until(async || {
        let answer = upload().await;
        answer.status == 503 && answer.retry_after.is_some() && detail(&answer).contains("Too many files")
    })
    .await;
    assert_eq!(admin.form("/service", &service("7", "shop")).await.status, 201);
    drop(slow);
    until(async || [201, 409].contains(&upload().await.status)).await;
}
