//! The resource pool that a machine is in.

use cloudfaster::simulator::Scenario;
use serde_json::json;

use crate::support::{Lab, reason, small};

async fn lab(pools: &[&str]) -> Lab {
    let pools = pools.iter().map(|pool| (*pool).to_owned()).collect();
    let lab = Lab::new(Scenario { boot_seconds: 0, pools, ..small(1) }).await;
    let tenants = json!([{
        "namespaceSelector": {"matchLabels": {"cloudfaster.app/tenant": "true"}},
        "allow": {"pools": ["shop*"]},
    }]);
    lab.patch_cluster(json!({"spec": {"tenants": tenants}})).await;
    lab
}

fn pool(lab: &Lab) -> Option<String> {
    lab.vm_of("one").unwrap_or_else(|| panic!("it has no machine\n{}", lab.describe())).pool
}

fn told(lab: &Lab) -> (String, String) {
    reason(&lab.get("one").and_then(|vm| vm.status).unwrap_or_default().conditions)
}

fn pool_calls(lab: &Lab) -> usize {
    lab.simulator.requests().iter().filter(|request| request.method == "PUT" && request.path.contains("/pools")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_cloned_into_its_pool_moved_to_another_and_left_there_when_none_is_named() {
    let lab = lab(&["shop", "shop/prod", "bank"]).await;
    lab.machine("one", json!({"pool": "shop"})).await;
    lab.until_ready(&["one"]).await;
    assert_eq!((pool(&lab).as_deref(), pool_calls(&lab)), (Some("shop"), 0), "{}", lab.describe());
    lab.change("one", json!({"pool": "shop/prod"})).await;
    assert_eq!((pool(&lab).as_deref(), pool_calls(&lab)), (Some("shop/prod"), 1), "{}", lab.describe());
    lab.change("one", json!({"pool": null, "onBoot": true})).await;
    assert_eq!((pool(&lab).as_deref(), pool_calls(&lab)), (Some("shop/prod"), 1), "{}", lab.describe());
    lab.patch("one", json!({"spec": {"pool": "bank"}})).await;
    let refused = "spec.pool: \"bank\" may not be used; allowed: shop*";
    lab.until("another's pool is refused", |lab| told(lab).0 == "NotAllowed" && told(lab).1.contains(refused)).await;
    assert_eq!(pool(&lab).as_deref(), Some("shop/prod"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_not_there_yet_is_awaited() {
    let lab = lab(&[]).await;
    lab.machine("one", json!({"pool": "shop"})).await;
    let missing = "spec.pool: Proxmox has no pool shop; create it there, or name another";
    lab.until("it waits for the pool", |lab| told(lab) == ("PoolNotFound".to_owned(), missing.to_owned())).await;
    assert!(lab.made().is_empty(), "{}", lab.describe());
    lab.simulator.add_pool("shop");
    lab.until_ready(&["one"]).await;
    lab.assert_exactly(&["one"], "its pool was made");
    assert_eq!(pool(&lab).as_deref(), Some("shop"));
    lab.patch("one", json!({"spec": {"pool": "shop2"}})).await;
    lab.until("it waits for the other pool", |lab| told(lab).0 == "PoolNotFound").await;
    lab.simulator.add_pool("shop2");
    lab.until_ready(&["one"]).await;
    assert_eq!(pool(&lab).as_deref(), Some("shop2"));
}
