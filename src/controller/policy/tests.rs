//! What is refused, and with which words.

use serde_json::json;

use super::*;

fn cluster() -> ProxmoxClusterSpec {
    serde_json::from_value(json!({
        "credentials": {"secretRef": {"name": "proxmox"}},
        "nodes": [{"name": "a", "templates": [{"os": "X", "tag": "Golden"}]}],
        "templates": [{"os": "DEBIAN", "tag": "debian12"}],
        "reservedTags": ["prod-*", "billing"],
        "tenants": [
            {
                "namespaceSelector": {"matchLabels": {"team": "shop"}},
                "allow": {
                    "templates": {"names": ["shop-*"], "vmids": [{"from": 9500, "to": 9599}]},
                    "adoption": [{"from": 700, "to": 700}],
                    "networks": [{"bridge": "vmbr1", "vlans": [{"from": 100, "to": 199}]}, {"bridge": "shop*"}],
                    "macPrefixes": ["bc:24:11"],
                    "addresses": ["10.20.0.0/16", "fd00:20::/32"],
                    "storages": ["fast", "shop-*"],
                    "pools": ["shop"],
                },
                "limits": {"cores": 8, "memory": "16Gi", "diskSize": "100Gi", "disks": 2, "machines": 3},
            },
            {"namespaceSelector": {}},
        ],
    }))
    .unwrap()
}

/// A machine that asks for nothing special.
fn modest() -> Request<'static> {
    Request {
        template: None,
        adopts: None,
        cores: Some(2),
        memory: Some(size("2Gi")),
        disks: vec![disk("spec.disk", "40Gi", None)],
        nics: Vec::new(),
        addresses: Vec::new(),
        pool: None,
        tags: &[],
        texts: vec![("spec.description", "the shop's own")],
    }
}

fn size(text: &str) -> Size {
    text.parse().unwrap()
}

fn disk(field: &str, of: &str, storage: Option<&'static str>) -> Disk<'static> {
    Disk { field: field.to_owned(), size: size(of), storage }
}

fn nic(bridge: &'static str, vlan: Option<i64>, mac: Option<&'static str>) -> Vec<Nic<'static>> {
    vec![Nic { field: "spec.nics[0]".to_owned(), bridge, vlan, mac }]
}

fn address(text: &str) -> Vec<(String, IpAddr)> {
    vec![("spec.nics[0].ip".to_owned(), text.parse().unwrap())]
}

fn tags(list: &[&str]) -> &'static [String] {
    Vec::leak(list.iter().map(|tag| (*tag).to_owned()).collect())
}

/// What is refused of a request in the namespace with this label.
fn refused(team: &str, request: &Request<'_>) -> String {
    let cluster = cluster();
    let labels = BTreeMap::from([("team".to_owned(), team.to_owned())]);
    let tenant = tenant_of(&cluster.tenants, &labels).unwrap().unwrap();
    check(&cluster, tenant, request).map_or_else(String::new, |reason| reason.message)
}

#[test]
fn what_is_opened_may_be_asked_for() {
    let all = Request {
        template: Some(Template::Name("shop-base")),
        adopts: Some(700),
        cores: Some(8),
        memory: Some(size("16Gi")),
        disks: vec![disk("spec.disk", "100Gi", Some("fast")), disk("spec.disks[data]", "1Gi", Some("shop-a"))],
        nics: [nic("vmbr1", Some(150), Some("BC:24:11:00:00:01")), nic("shopnet", None, None)].concat(),
        addresses: [address("10.20.3.4"), address("fd00:20::5")].concat(),
        pool: Some("shop"),
        tags: tags(&["web", "product"]),
        texts: vec![("spec.description", "cloudfaster is fine")],
    };
    assert_eq!(refused("shop", &all), "");
    assert_eq!(refused("shop", &Request { template: Some(Template::Vmid(9500)), ..modest() }), "");
}

#[test]
fn all_is_closed_that_was_not_opened() {
    let cases: Vec<(Request<'_>, &str)> = vec![
        (modest(), ""),
        (
            Request { template: Some(Template::Vmid(9001)), ..modest() },
            "spec.template.vmid: 9001 may not be used; no template may be named; give spec.os",
        ),
        (
            Request { template: Some(Template::Name("x")), ..modest() },
            "spec.template.name: \"x\" may not be used; no template may be named; give spec.os",
        ),
        (Request { adopts: Some(700), ..modest() }, "spec.adopt: VM 700 may not be adopted; no machine may be adopted"),
        (
            Request { nics: nic("vmbr0", None, None), ..modest() },
            "spec.nics[0].bridge: \"vmbr0\" may not be used; no bridge may be named",
        ),
        (
            Request { addresses: address("10.0.0.5"), ..modest() },
            "spec.nics[0].ip: the address 10.0.0.5 may not be used; no static address may be asked for",
        ),
        (
            Request { disks: vec![disk("spec.disk", "1Gi", Some("fast"))], ..modest() },
            "spec.disk.storage: \"fast\" may not be used; no storage may be named",
        ),
        (Request { pool: Some("shop"), ..modest() }, "spec.pool: \"shop\" may not be used; no pool may be named"),
    ];
    for (request, expected) in cases {
        assert_eq!(refused("other", &request), expected);
    }
}

#[test]
fn what_was_opened_is_opened_no_further() {
    let cases: Vec<(Request<'_>, &str)> = vec![
        (
            Request { template: Some(Template::Vmid(9600)), ..modest() },
            "spec.template.vmid: 9600 may not be used; allowed: shop-*, 9500–9599",
        ),
        (
            Request { template: Some(Template::Name("golden")), ..modest() },
            "spec.template.name: \"golden\" may not be used; allowed: shop-*, 9500–9599",
        ),
        (Request { adopts: Some(701), ..modest() }, "spec.adopt: VM 701 may not be adopted; allowed: 700"),
        (
            Request { nics: nic("vmbr0", Some(150), None), ..modest() },
            "spec.nics[0].bridge: \"vmbr0\" may not be used; allowed: vmbr1, shop*",
        ),
        (
            Request { nics: nic("vmbr1", Some(200), None), ..modest() },
            "spec.nics[0].vlan: 200 is not allowed on vmbr1; allowed: 100–199",
        ),
        (
            Request { nics: nic("vmbr1", None, None), ..modest() },
            "spec.nics[0].vlan: to go without a tag is not allowed on vmbr1; allowed: 100–199",
        ),
        (
            Request { nics: nic("shopnet", Some(5), None), ..modest() },
            "spec.nics[0].vlan: 5 is not allowed on shopnet; a network card there has no VLAN tag",
        ),
        (
            Request { nics: nic("shopnet", None, Some("52:54:00:00:00:01")), ..modest() },
            "spec.nics[0].mac: 52:54:00:00:00:01 may not be used; allowed: bc:24:11…",
        ),
        (
            Request { addresses: address("10.21.0.1"), ..modest() },
            "spec.nics[0].ip: the address 10.21.0.1 may not be used; allowed: 10.20.0.0/16, fd00:20::/32",
        ),
        (
            Request { disks: vec![disk("spec.disk", "1Gi", Some("faster"))], ..modest() },
            "spec.disk.storage: \"faster\" may not be used; allowed: fast, shop-*",
        ),
        (Request { pool: Some("bank"), ..modest() }, "spec.pool: \"bank\" may not be used; allowed: shop"),
        (Request { cores: Some(9), ..modest() }, "spec.cores: 9 in all are asked for, and at most 8 are allowed"),
        (
            Request { memory: Some(size("17Gi")), ..modest() },
            "spec.memory: 17Gi is asked for, and at most 16Gi is allowed",
        ),
        (
            Request { disks: vec![disk("spec.disk", "1Gi", None), disk("spec.disks[data]", "1Ti", None)], ..modest() },
            "spec.disks[data].size: 1Ti is asked for, and at most 100Gi is allowed",
        ),
        (
            Request { disks: vec![disk("spec.disk", "1Gi", None); 3], ..modest() },
            "spec.disks: 3 disks in all are asked for, and at most 2 are allowed",
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(refused("shop", &request), expected);
    }
}

#[test]
fn marks_and_reserved_tags_are_refused_to_everybody() {
    for tag in ["cloudfaster", "CloudFaster", "cloudfaster-x", "prod-1", "Billing", "debian12", "golden"] {
        let request = Request { tags: tags(&["web", tag]), ..modest() };
        assert_eq!(refused("shop", &request), format!("spec.tags: {tag:?} is reserved"));
    }
    let forged = "`cloudfaster.app/mark:v1 installation=x`";
    let request = Request { texts: vec![("spec.description", forged)], ..modest() };
    let told = "spec.description: holds what looks like a mark of the operator, by which it knows its machines";
    assert_eq!(refused("shop", &request), told);
}

#[test]
fn everything_that_is_refused_is_told_at_once() {
    let request = Request { cores: Some(9), pool: Some("bank"), ..modest() };
    let told = refused("shop", &request);
    assert!(told.contains("spec.pool") && told.contains("spec.cores"), "{told}");
}

#[test]
fn the_first_entry_that_selects_a_namespace_decides() {
    let cluster = cluster();
    let labels = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
    assert_eq!(tenant_of(&cluster.tenants, &labels).unwrap(), cluster.tenants.first());
    assert_eq!(tenant_of(&cluster.tenants, &BTreeMap::new()).unwrap(), cluster.tenants.get(1));
    let only = ProxmoxClusterSpec { tenants: cluster.tenants[..1].to_vec(), ..cluster };
    assert_eq!(tenant_of(&only.tenants, &BTreeMap::new()).unwrap(), None);
}

#[test]
fn a_policy_that_means_nothing_is_told_with_its_field() {
    let with = |tenant: serde_json::Value| {
        let tenants = vec![serde_json::from_value(tenant).unwrap()];
        validate(&ProxmoxClusterSpec { tenants, ..cluster() }).err().unwrap_or_default()
    };
    assert_eq!(validate(&cluster()), Ok(()));
    let told = with(json!({"namespaceSelector": {}, "allow": {"addresses": ["10.0.0.0/40"]}}));
    assert_eq!(told, "spec.tenants[0].allow.addresses: \"10.0.0.0/40\" is no network, such as 10.20.0.0/16");
    let told = with(json!({"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}));
    assert!(told.starts_with("spec.tenants[0].namespaceSelector: "), "{told}");
}
