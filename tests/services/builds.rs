//! Images that are built on the host.

use axum::{Router, routing::get};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{docker::command::docker, lab::Lab};

/// Serves a context whose image has this label, and says its URL.
async fn serve(image: &str) -> String {
    let mut archive = tar::Builder::new(Vec::new());
    let dockerfile = format!("FROM {image}\nARG FLAVOUR=none\nENV FLAVOUR=$FLAVOUR\n");
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(dockerfile.len() as u64);
    archive.append_data(&mut header, "deploy/Dockerfile", dockerfile.as_bytes()).unwrap();
    let content = archive.into_inner().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/context.tar", listener.local_addr().unwrap());
    let router = Router::new().route("/context.tar", get(async move || content.clone()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_built_from_a_context_that_the_engine_fetches_and_from_what_the_file_says() {
    let lab = Lab::new().await;
    let url = serve(&lab.image).await;
    let image = &lab.image;
    let compose = |build: &str| format!("services:\n  web:\n    build:\n{build}");
    let remote = compose(&format!(
        "      context: {url}\n      dockerfile: deploy/Dockerfile\n      args: {{FLAVOUR: remote}}\n"
    ));
    let name = lab.apply("build", &remote, json!({})).await;
    lab.until_told(&name, "NotAllowed", &["services.web.build", "no image may be built"]).await;
    let open = json!([{"op": "add", "path": "/spec/tenants/0/allow/build", "value": {"remoteContexts": ["http://127.0.0.1:*"]}}]);
    let open = Patch::Json::<()>(serde_json::from_value(open).unwrap());
    lab.hosts().patch("local", &PatchParams::default(), &open).await.unwrap();
    lab.until_ready(&name).await;
    let flavour = || {
        let container = lab.running(&name).into_iter().next().unwrap();
        docker(&["exec", &container, "sh", "-c", "echo $FLAVOUR"])
    };
    assert_eq!(flavour(), "remote");
    let inline = compose(&format!("      dockerfile_inline: |\n        FROM {image}\n        ENV FLAVOUR=inline\n"));
    lab.change(&name, json!({"compose": inline})).await;
    lab.until_ready(&name).await;
    assert_eq!(flavour(), "inline");
    // What the engine cannot do is not left out in silence.
    let before = lab.running(&name);
    for (attribute, value) in
        [("cache_to", "[type=inline]"), ("ulimits", "{nofile: 100}"), ("platforms", "[linux/amd64]")]
    {
        let beyond = format!("{inline}      {attribute}: {value}\n");
        lab.change(&name, json!({"compose": beyond})).await;
        lab.until_told(&name, "InvalidRequest", &["compose.yaml:3", &format!("services.web.build.{attribute}")]).await;
        assert_eq!(lab.running(&name), before);
    }
    lab.delete(&name).await;
}
