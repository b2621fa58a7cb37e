//! Each change that is asked for is logged: with which key, whose, what, and what came of it. Nothing secret is.

use crate::{
    laboratory::logs,
    support::{Site, machine},
};

const KEY: &str = "the key that the log must not have";
const BOUND: &str = "the bound key that the log must not have";
const PASSWORD: &str = "a-password-that-the-log-must-not-have";

/// Whether a line tells all of this.
fn is_told(parts: &[&str]) -> bool {
    logs::kept().lines().any(|line| line.contains("asked for a change") && parts.iter().all(|part| line.contains(part)))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_logged_with_key_user_object_and_outcome_and_nothing_secret_is() {
    let site = Site::new().await;
    site.docker_host(serde_json::json!({})).await;
    site.key("auditor", KEY, "admin", None).await;
    site.key("of-7", BOUND, "vms", Some("audited-7")).await;
    for key in [KEY, BOUND] {
        site.until_right(key).await;
    }
    let (auditor, bound) = (site.shim.client(KEY), site.shim.client(BOUND));
    assert_eq!(auditor.form("/users", "userid=audited-7&username=Ana").await.status, 200);
    let made = auditor.form("/vm", &machine("audited-8", "web")).await;
    assert_eq!(made.status, 201, "{made:?}");
    let number = made.body["vm_id"].as_str().unwrap();
    assert_eq!(auditor.form("/vm", &machine("audited-8", "web")).await.status, 409);
    let form = format!("userid=audited-8&service_name=shop&service_types=PHP&admin_pass={PASSWORD}");
    let service = auditor.form("/service", &form).await;
    assert_eq!(service.status, 201, "{service:?}");
    let short =
        auditor.form("/service", &format!("userid=audited-8&service_name=x&admin_pass={}", &PASSWORD[..9])).await;
    assert_eq!(short.status, 422);
    for (client, path, status) in [
        (&bound, format!("/control-vm/{number}/delete"), 404),
        (&bound, format!("/control-service/{}/delete", service.body["service_id"].as_str().unwrap()), 403),
        (&auditor, format!("/control-vm/{number}/apagar"), 200),
    ] {
        assert_eq!(client.post(&path).await.status, status, "{path}");
    }
    assert_eq!(bound.form("/vm", &machine("audited-8", "stolen")).await.status, 403);
    assert_eq!(bound.form("/users", "userid=audited-7&username=x").await.status, 403);

    let with_number = format!("({number})\"");
    let asked = format!("object=\"{number}\"");
    for parts in [
        &["key=\"auditor\"", "user=\"audited-7\"", "object=\"audited-7-", "change=\"create user\"", "outcome=\"done\""]
            [..],
        &["key=\"auditor\"", "user=\"audited-8\"", "object=\"web\"", "change=\"create\"", "outcome=\"done\""],
        &["key=\"auditor\"", "user=\"audited-8\"", "object=\"web\"", "change=\"create\"", "outcome=\"conflict\""],
        &["key=\"auditor\"", "object=\"shop\"", "change=\"create service\"", "outcome=\"done\""],
        &[
            "key=\"auditor\"",
            "user=\"audited-8\"",
            "object=\"web-",
            &with_number,
            "change=\"apagar\"",
            "outcome=\"done\"",
        ],
        &["key=\"of-7\"", &asked, "change=\"delete\"", "outcome=\"not_found\""],
        &["key=\"of-7\"", "object=\"", "change=\"delete\"", "outcome=\"forbidden\""],
        &["key=\"of-7\"", "user=\"audited-8\"", "object=\"stolen\"", "change=\"create\"", "outcome=\"forbidden\""],
        &["key=\"of-7\"", "change=\"create user\"", "outcome=\"forbidden\""],
    ] {
        assert!(is_told(parts), "{parts:?} is not told");
    }
    for secret in [KEY, BOUND, PASSWORD, &PASSWORD[..9]] {
        assert!(!logs::kept().contains(secret), "the log has {secret}");
    }
}
