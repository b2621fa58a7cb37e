//! Requests that do not pass are answered as FastAPI answers them: `fastapi/record.py` has asked a real one.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, Client, Site};

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_validate_is_refused_in_fastapis_words() {
    let site = Site::with(&["--rest-requests-per-second=0"]).await;
    // The recorded application had these.
    let templates: Vec<Value> =
        ["DEBIAN12", "FEDORA", "WINDOWS_11"].iter().map(|os| json!({"os": os, "name": "debian12"})).collect();
    site.lab.patch_cluster(json!({"spec": {"templates": templates}})).await;
    let admin = site.admin();
    crate::support::until(async || {
        let answer = admin.form("/vm", "userid=7&vm_name=x&os=NONE").await;
        answer.body.to_string().contains("WINDOWS_11")
    })
    .await;

    let recorded: Vec<Value> = serde_json::from_str(include_str!("fastapi/recorded.json")).unwrap();
    let mut refused = 0;
    for one in &recorded {
        let text = |name: &str| one[name].as_str().unwrap_or_default();
        let key = one["key"].as_str().map(|key| if key == "right" { ADMIN } else { key });
        let client = Client::new(&site.shim.url, key);
        let method: Method = text("method").parse().unwrap();
        let kind = one["type"].as_str().map(|kind| ("content-type", kind));
        let headers: Vec<_> = kind.into_iter().collect();
        // What passes makes machines, and is tried elsewhere.
        if one["status"] == 201 || one["status"] == 200 {
            continue;
        }
        let answer = client.send(method, text("path"), &headers, text("body")).await;
        refused += 1;
        assert_eq!((json!(answer.status), &answer.body), (one["status"].clone(), &one["answer"]), "{one}");
        assert_eq!(answer.allow, one["allow"].as_str().map(str::to_owned), "{one}");
    }
    assert!(refused > 50, "{refused}");
}
