//! The contract of the old API, request by request.

use serde_json::json;

use crate::support::{Site, detail, machine, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_old_client_makes_reads_controls_and_deletes_a_machine() {
    let site = Site::new().await;
    let admin = site.admin();
    let form = "userid=7&vm_name=My+web_1&sistema=DEBIAN12&disksize=10&cores=1&memory=1024&ssh_pub_key=ssh-ed25519+AAAAC3NzaC1lZDI1NTE5AAAA+ana%0A";
    let made = admin.form("/vm?wait=120", form).await;
    assert_eq!(made.status, 201, "{made:?}");
    let info = json!({
        "userid": "7", "vm_name": "My-web-1", "os": "DEBIAN12", "disksize": 10, "cores": 1, "memory": 1024,
        "ssh_pub_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA ana",
    });
    assert_eq!(made.body, json!({"vm_id": "1000", "info": info, "status": "enabled"}));
    let machine = &site.lab.made()[0];
    assert!(machine.running && machine.vmid == 1000, "{machine:?}");

    assert_eq!(admin.get("/vm/1000").await.body, made.body);
    let is = async |status: &str| admin.get("/vm/1000").await.body["status"] == status;
    for (action, status, running) in [
        ("apagar", "disabled", false),
        ("encender", "enabled", true),
        ("pause", "disabled", true),
        ("start", "enabled", true),
        ("shutdown", "disabled", false),
        ("start", "enabled", true),
        ("pausar", "disabled", true),
    ] {
        let answer = admin.post(&format!("/control-vm/1000/{action}")).await;
        assert_eq!((answer.status, answer.body), (200, json!({"status": "Ok"})), "{action}");
        until(async || is(status).await).await;
        assert_eq!(site.lab.made()[0].running, running, "{action}");
    }
    assert_eq!(admin.post("/control-vm/1000/eliminar").await.body, json!({"status": "Ok"}));
    until(async || admin.get("/vm/1000").await.status == 404).await;
    site.lab.until("nothing is left", |lab| lab.made().is_empty() && lab.seen().is_empty()).await;
    let again = admin.post("/control-vm/1000/delete").await;
    assert_eq!((again.status, detail(&again)), (404, "VM not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_as_soon_as_proxmox_holds_the_number() {
    let site = Site::new().await;
    let made = site.admin().form("/vm", &machine("7", "web")).await;
    assert_eq!(made.status, 201, "{made:?}");
    let vmid: u32 = made.body["vm_id"].as_str().unwrap().parse().unwrap();
    assert!(site.lab.simulator.vm(vmid).is_some(), "Proxmox does not hold {vmid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_as_the_contract_has_it() {
    let site = Site::bare(&[]).await;
    let admin = site.admin();
    for (answer, status, told) in [
        (admin.get("/vm/1003").await, 404, "VM not found"),
        (admin.get("/vm/abc").await, 404, "VM not found"),
        (admin.post("/control-vm/1003/start").await, 404, "VM not found"),
        (admin.post("/control-vm/abc/start").await, 400, "VM ID must be an integer"),
        (admin.get("/users/9").await, 404, "User not found"),
        (admin.nameless().get("/protected").await, 401, "API Key header is missing"),
        (site.shim.client("wrong").get("/protected").await, 401, "Invalid or expired API Key"),
        (admin.get("/vm/99999999999999999999").await, 404, "VM not found"),
        (admin.post("/control-vm/99999999999999999999/start").await, 404, "VM not found"),
        (admin.get("/vm/1/2/3").await, 404, "Not Found"),
        (admin.get("/nothing/").await, 404, "Not Found"),
        (admin.get("//example.com/").await, 404, "Not Found"),
        (admin.get("/vm/%FF").await, 404, "Not Found"),
        (admin.post("/control-vm/%FF/start").await, 404, "Not Found"),
    ] {
        assert_eq!((answer.status, detail(&answer)), (status, told));
    }
    for path in ["/", "/heartbeat"] {
        assert_eq!(admin.nameless().get(path).await.status, 200, "{path}");
    }
    assert_eq!(admin.get("/heartbeat").await.body, json!({"status": "Ok"}));
    assert_eq!(admin.get("/protected").await.status, 200);
    for (path, shorter) in [
        ("/heartbeat/", "/heartbeat"),
        ("/vm/1003//", "/vm/1003"),
        ("/vm/?wait=1", "/vm?wait=1"),
        ("/users/7/", "/users/7"),
    ] {
        let answer = admin.get(path).await;
        assert_eq!((answer.status, answer.location.as_deref()), (307, Some(shorter)), "{path}");
    }
    // Whoever watches over it may ask for the head alone, which FastAPI refused.
    let head = reqwest::Client::new().head(format!("{}/heartbeat", site.shim.url)).send().await.unwrap();
    assert_eq!(head.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_multipart_form_does_as_well() {
    let site = Site::new().await;
    let part =
        |name: &str, value: &str| format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let parts = [("userid", "ana"), ("vm_name", "web"), ("os", "DEBIAN12"), ("disksize", "10"), ("memory", " 1_024 ")];
    let body: String = parts.iter().map(|(name, value)| part(name, value)).collect();
    let headers = [("content-type", "multipart/form-data; boundary=B")];
    let made = site.admin().send(reqwest::Method::POST, "/vm", &headers, &format!("{body}--B--\r\n")).await;
    assert_eq!((made.status, &made.body["info"]["userid"]), (201, &json!("ana")), "{made:?}");
    assert_eq!(made.body["info"]["memory"], 1024);
}
