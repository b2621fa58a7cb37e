//! Users, and whose the things are.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::support::{Site, detail, machine, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_made_once_and_shows_its_machines() {
    let site = Site::new().await;
    let admin = site.admin();
    assert_eq!(admin.form("/users", "userid=7&username=Ana").await.body, json!({"status": "Ok"}));
    let again = admin.form("/users", "userid=7&username=Eva").await;
    assert_eq!((again.status, detail(&again)), (400, "User already exists"));
    // Another one, though it looks alike.
    assert_eq!(admin.form("/users", "userid=07&username=Eva").await.status, 200);
    for name in ["web", "db"] {
        assert_eq!(admin.form("/vm", &machine("7", name)).await.status, 201);
    }
    let shown = admin.get("/users/7").await.body;
    assert_eq!((&shown["userid"], &shown["username"], &shown["services"]), (&json!("7"), &json!("Ana"), &json!([])));
    let names: Vec<&Value> = shown["vms"].as_array().unwrap().iter().map(|vm| &vm["info"]["vm_name"]).collect();
    assert_eq!(names, [&json!("web"), &json!("db")]);
    assert!(shown["created_at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert_eq!(admin.get("/users/07").await.body["vms"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_kubernetes_would_not_take_are_kept() {
    let site = Site::bare(&[]).await;
    let admin = site.admin();
    for userid in ["añna/../x", "ANA@example.com", "💥", "a b", "-"] {
        let encoded: String = form_urlencoded::byte_serialize(userid.as_bytes()).collect();
        let made = admin.form("/users", &format!("userid={encoded}&username={encoded}")).await;
        assert_eq!(made.status, 200, "{userid}: {made:?}");
        let shown = admin.get(&format!("/users/{}", encoded.replace('+', "%20"))).await;
        assert_eq!((&shown.body["userid"], &shown.body["username"]), (&json!(userid), &json!(userid)), "{shown:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_user_has_a_namespace_of_its_own_if_that_is_wanted() {
    let site = Site::with(&["--rest-namespace-per-user"]).await;
    let tenants = json!([{"namespaceSelector": {"matchLabels": {"cloudfaster.app/rest": "true"}}}]);
    site.lab.patch_cluster(json!({"spec": {"tenants": tenants}})).await;
    let admin = site.admin();
    for user in ["1", "2"] {
        let made = admin.form("/vm", &machine(user, "web")).await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    assert_eq!(admin.form("/users", "userid=1&username=Ana").await.status, 200);
    let namespaces = Api::<Namespace>::all(site.lab.client.clone()).list(&Default::default()).await.unwrap();
    let own: Vec<String> =
        namespaces.iter().map(|it| it.name_any()).filter(|name| name.starts_with("cloudfaster-user-")).collect();
    assert_eq!(own.len(), 2, "{own:?}");
    let homes: Vec<String> = site.lab.seen().values().map(|vm| vm.namespace().unwrap()).collect();
    assert!(homes.iter().all(|home| own.contains(home)) && homes[0] != homes[1], "{homes:?}");
    until(async || admin.get("/users/1").await.body["vms"].as_array().unwrap().len() == 1).await;
}
