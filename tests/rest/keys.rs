//! API keys: what each opens, and how it ends.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use reqwest::Method;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::{Site, detail, machine, service, until};

/// Whose things are asked for, from the view of the user `1` to whom some keys are bound.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Of {
    Own,
    Other,
}

/// Which scopes open an endpoint, and what it answers then.
const ENDPOINTS: [(&str, &str, &[&str], u16); 8] = [
    ("GET", "/vm/{vm}", &["read", "vms"], 200),
    ("POST", "/control-vm/{vm}/start", &["vms"], 200),
    ("POST", "/vm", &["vms"], 409),
    ("GET", "/service/{service}", &["read", "services"], 200),
    ("POST", "/control-service/{service}/start", &["services"], 200),
    ("POST", "/service", &["services"], 409),
    ("GET", "/users/{user}", &["read"], 200),
    ("POST", "/users", &[], 400),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_what_its_scope_says_and_of_its_user_alone() {
    let site = Site::with(&["--rest-requests-per-second=0"]).await;
    let admin = site.admin();
    site.docker_host(json!({})).await;
    let (mut numbers, mut services) = (Vec::new(), Vec::new());
    for user in ["1", "2"] {
        assert_eq!(admin.form("/users", &format!("userid={user}&username=x")).await.status, 200);
        let made = admin.form("/vm?wait=120", &machine(user, "web")).await;
        assert_eq!(made.status, 201, "{made:?}");
        numbers.push(made.body["vm_id"].as_str().unwrap().to_owned());
        let made = admin.form("/service", &service(user, "shop")).await;
        assert_eq!(made.status, 201, "{made:?}");
        services.push(made.body["service_id"].as_str().unwrap().to_owned());
        let path = format!("/service/{}", services.last().unwrap());
        until(async || admin.get(&path).await.status == 200).await;
    }
    for scope in ["read", "vms", "services", "admin"] {
        for bound in [None, Some("1")] {
            let key = format!("the key {scope} {bound:?}");
            site.key(&format!("{scope}-{}", bound.unwrap_or("all")), &key, scope, bound).await;
            site.until_right(&key).await;
            let client = site.shim.client(&key);
            for (method, path, scopes, open) in ENDPOINTS {
                for of in [Of::Own, Of::Other] {
                    let (user, index) = if of == Of::Own { ("1", 0) } else { ("2", 1) };
                    let path = path.replace("{vm}", &numbers[index]).replace("{service}", &services[index]);
                    let path = path.replace("{user}", user);
                    let method: Method = method.parse().unwrap();
                    let answer = match path.as_str() {
                        // Both are there already: whoever may is told that.
                        "/vm" => client.form("/vm", &machine(user, "web")).await,
                        "/service" => client.form("/service", &service(user, "shop")).await,
                        "/users" => client.form("/users", &format!("userid={user}&username=x")).await,
                        _ => client.send(method.clone(), &path, &[], "").await,
                    };
                    let may = scope == "admin" || scopes.contains(&scope);
                    let reaches = bound.is_none() || of == Of::Own;
                    let expected = match (may, reaches) {
                        (false, _) => 403,
                        (true, true) => open,
                        // What is another's is not there, and nothing is made for others.
                        (true, false) if ["/vm", "/service", "/users"].contains(&path.as_str()) => 403,
                        (true, false) => 404,
                    };
                    assert_eq!(answer.status, expected, "{scope} bound to {bound:?}: {method} {path}: {answer:?}");
                }
            }
        }
    }
    let machines = site.lab.seen();
    let untouched = machines.values().all(|vm| vm.metadata.generation == Some(1));
    assert!(machines.len() == 2 && untouched, "somebody changed something");
    for service in site.services().list(&ListParams::default()).await.unwrap() {
        assert_eq!(service.metadata.generation, Some(1), "somebody changed something");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_opens_nothing_any_more_and_nobody_restarts_anything() {
    let site = Site::bare(&[]).await;
    site.key("panel", "the panel's key", "read", None).await;
    site.until_right("the panel's key").await;
    let keys = Api::<Secret>::namespaced(site.lab.client.clone(), cloudfaster::rest::NAMESPACE);
    keys.delete("panel", &DeleteParams::default()).await.unwrap();
    let panel = site.shim.client("the panel's key");
    until(async || panel.get("/protected").await.status == 401).await;
    assert_eq!(detail(&panel.get("/protected").await), "Invalid or expired API Key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_has_ended_is_answered_as_a_wrong_one_is() {
    let site = Site::bare(&[]).await;
    let data = json!({
        "hash": hex::encode(Sha256::digest("the old key")), "owner": "a test", "scopes": "admin",
        "expires": "2026-01-01T00:00:00Z",
    });
    let metadata = json!({"name": "old", "labels": {"cloudfaster.app/api-key": "true"}});
    let secret = json!({"metadata": metadata, "type": "cloudfaster.app/api-key", "stringData": data});
    site.lab.create_in::<Secret>(cloudfaster::rest::NAMESPACE, secret).await;
    let counted = || site.shim.telemetry.metrics.encode().unwrap();
    let old = site.shim.client("the old key");
    until(async || {
        let refused = old.get("/protected").await;
        assert!([401, 429].contains(&refused.status), "{refused:?}");
        counted().contains("cloudfaster_rest_keys_refused_total{reason=\"expired\"}")
    })
    .await;
    let refused = old.get("/protected").await;
    assert!(refused.status == 429 || detail(&refused) == "Invalid or expired API Key", "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_are_counted_and_slowed_down_and_the_right_one_is_not() {
    let site = Site::bare(&[]).await;
    let wrong = site.shim.client("wrong");
    until(async || wrong.get("/protected").await.status == 429).await;
    let slowed = wrong.get("/protected").await;
    assert!(slowed.status == 429 && slowed.retry_after.is_some(), "{slowed:?}");
    assert_eq!(site.admin().get("/protected").await.status, 200);
    let counted = site.shim.telemetry.metrics.encode().unwrap();
    assert!(counted.contains("cloudfaster_rest_keys_refused_total{reason=\"unknown\"}"), "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_with_a_key_are_put_off() {
    let site = Site::bare(&["--rest-requests-per-second=1"]).await;
    let admin = site.admin();
    until(async || admin.get("/protected").await.status == 429).await;
    let later = admin.get("/protected").await;
    assert_eq!((later.status, later.retry_after.as_deref()), (429, Some("1")), "{later:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_have_routes_without_numbers() {
    let site = Site::bare(&[]).await;
    let admin = site.admin();
    for path in ["/vm/1003", "/vm/1004", "/service/ana", "/users/ana", "/nothing/at/all"] {
        admin.get(path).await;
    }
    let counted = site.shim.telemetry.metrics.encode().unwrap();
    let line = "cloudfaster_rest_requests_total{method=\"GET\",route=\"/vm/{vm_id}\",status=\"404\"} 2";
    assert!(counted.contains(line), "{counted}");
    for name in ["1003", "ana", "nothing"] {
        assert!(!counted.contains(name), "{name}: {counted}");
    }
    assert_eq!(admin.get("/users/x").await.body, json!({"detail": "User not found"}));
}
