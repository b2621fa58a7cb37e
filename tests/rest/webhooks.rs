//! Forges tell that something was pushed.

use cloudfaster::{api::docker_service::FETCH_AT, rest::USERS_NAMESPACE};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use reqwest::Method;
use ring::hmac;
use serde_json::json;

use crate::support::{Site, detail, until};

const SECRET: &str = "what the forge knows";
const BODY: &str = r#"{"ref": "refs/heads/main"}"#;

fn signature(secret: &str) -> String {
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), BODY.as_bytes());
    format!("sha256={}", hex::encode(signed))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_knows_the_secret_has_the_repository_fetched() {
    let site = Site::bare(&[]).await;
    let service = |name: &str, secret: &str| {
        json!({
            "apiVersion": "cloudfaster.app/v1alpha1", "kind": "DockerService", "metadata": {"name": name},
            "spec": {"hostRef": {"name": "docker1"}, "types": ["PHP"],
                     "source": {"git": {"url": "https://git.example.com/shop.git", "secretRef": {"name": secret}}}},
        })
    };
    let secret = |name: &str, key: &str, value: &str| json!({"metadata": {"name": name}, "stringData": {key: value}});
    for (name, secret) in [("shop", "forge"), ("none", "elsewhere"), ("weak", "weak"), ("other", "other")] {
        site.lab.create_in::<cloudfaster::api::DockerService>(USERS_NAMESPACE, service(name, secret)).await;
    }
    for (name, key, value) in
        [("forge", "webhook-secret", SECRET), ("weak", "webhook-secret", "short"), ("other", "password", SECRET)]
    {
        site.lab.create_in::<Secret>(USERS_NAMESPACE, secret(name, key, value)).await;
    }
    let forge = site.admin().nameless();
    let call = async |service: &str, header: &str, value: &str| {
        let path = format!("/webhooks/{USERS_NAMESPACE}/{service}");
        forge.send(Method::POST, &path, &[(header, value)], BODY).await
    };
    let right = signature(SECRET);
    until(async || call("shop", "X-Hub-Signature-256", &right).await.status == 202).await;
    let mut last = String::new();
    for (header, value) in
        [("X-Hub-Signature-256", right.as_str()), ("X-Hub-Signature", &right), ("X-Gitlab-Token", SECRET)]
    {
        let answer = call("shop", header, value).await;
        assert_eq!((answer.status, answer.body), (202, json!({"status": "Ok"})), "{header}");
        let asked = site.services().get("shop").await.unwrap().annotations()[FETCH_AT].clone();
        assert_ne!(asked, last, "{header}");
        last = asked;
    }
    for (header, value) in
        [("X-Hub-Signature-256", signature("another secret").as_str()), ("X-Gitlab-Token", "another"), ("X-Other", "x")]
    {
        let refused = call("shop", header, value).await;
        assert_eq!(refused.status, 403, "{header}: {refused:?}");
    }
    for service in ["none", "weak", "other", "nowhere"] {
        let missing = call(service, "X-Hub-Signature-256", &right).await;
        assert_eq!((missing.status, detail(&missing)), (404, "Service not found"), "{service}");
    }
    assert_eq!(site.services().get("shop").await.unwrap().annotations()[FETCH_AT], last);
    // Whoever guesses is slowed down; the forge is not.
    until(async || call("shop", "X-Gitlab-Token", "another").await.status == 429).await;
    assert_eq!(call("shop", "X-Hub-Signature-256", &right).await.status, 202);
}
