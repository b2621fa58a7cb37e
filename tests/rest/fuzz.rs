//! Requests that nobody thought of: schemathesis makes them from the document.

use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use crate::support::{ADMIN, Site, until};

#[tokio::test(flavor = "multi_thread")]
async fn no_request_that_the_document_gives_rise_to_is_answered_otherwise_than_documented() {
    let site = Site::with(&["--rest-requests-per-second=0"]).await;
    site.docker_host(json!({"proxy": {"kind": "Traefik", "domain": "example.com"}})).await;
    // The example of the document, so that machines are made, too.
    let templates = json!([{"os": "UBUNTU24_SERVER", "name": "debian12"}]);
    site.lab.patch_cluster(json!({"spec": {"templates": templates}})).await;
    let admin = site.admin();
    until(async || admin.form("/vm", "userid=7&vm_name=x&os=NONE").await.body.to_string().contains("UBUNTU24")).await;
    let program = std::env::var_os("SCHEMATHESIS").unwrap_or_else(|| "schemathesis".into());
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(program)
        .args(["--config-file", "schemathesis.toml"])
        .args(["run", &format!("{}/openapi.json", site.shim.url), "--checks", checks])
        .args(["--header", &format!("X-API-Key: {ADMIN}"), "--max-examples", "25", "--seed", "7", "--no-color"])
        .current_dir({
            std::fs::write(folder.path().join("schemathesis.toml"), "").unwrap();
            folder.path()
        })
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("schemathesis is needed (PyPI): in PATH, or named by the variable SCHEMATHESIS");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    let counted = site.shim.telemetry.metrics.encode().unwrap();
    for line in [
        "route=\"/vm\",status=\"201\"",
        "route=\"/vm/{vm_id}\",status=\"404\"",
        "route=\"/service\",status=\"201\"",
        "route=\"/service/{service_id}\",status=\"404\"",
        "route=\"/users\",status=\"200\"",
    ] {
        assert!(counted.contains(line), "{line} was not tried: {counted}\n{told}");
    }
    assert!(!counted.contains("status=\"5"), "{counted}");
}
