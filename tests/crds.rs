//! The definitions in `crds/` are those that the types give.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeSet, fs, path::Path};

use cloudfaster::api;

#[test]
fn the_definitions_in_crds_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let mut names = BTreeSet::new();
    for (name, yaml) in api::crd_documents().unwrap() {
        let written = fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert_eq!(written, yaml, "crds/{name} is stale: run `make crds`");
        names.insert(name);
    }
    // It lets kustomize find them, and so must name them all.
    let kustomization = fs::read_to_string(folder.join("kustomization.yaml")).unwrap();
    let kustomization: serde_json::Value = serde_saphyr::from_str(&kustomization).unwrap();
    let listed: BTreeSet<String> = serde_json::from_value(kustomization["resources"].clone()).unwrap();
    assert_eq!(listed, names, "crds/kustomization.yaml");
    names.insert("kustomization.yaml".to_owned());
    let there: BTreeSet<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, names, "crds/ holds a definition that no type gives");
}

#[test]
fn every_field_has_a_description() {
    for crd in api::crds() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        let root = &schema["openAPIV3Schema"];
        for part in ["spec", "status"] {
            check(&root["properties"][part], &format!("{}.{part}", crd.spec.names.kind));
        }
    }
}

fn check(schema: &serde_json::Value, path: &str) {
    assert!(schema["description"].as_str().is_some_and(|text| text.len() > 10), "{path} has no description");
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        check(property, &format!("{path}.{name}"));
    }
    for (name, property) in schema["items"]["properties"].as_object().into_iter().flatten() {
        check(property, &format!("{path}[].{name}"));
    }
}

#[test]
fn lists_and_strings_are_bounded_so_that_cel_stays_within_its_cost() {
    for crd in api::crds() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        bounded(&schema["openAPIV3Schema"]["properties"]["spec"], &crd.spec.names.kind);
    }
}

fn bounded(schema: &serde_json::Value, path: &str) {
    let foreign = path.contains("Selector");
    match schema["type"].as_str() {
        Some("string") => {
            assert!(foreign || schema["maxLength"].is_u64() || schema["enum"].is_array(), "{path} has no maxLength")
        }
        Some("array") => {
            assert!(foreign || schema["maxItems"].is_u64(), "{path} has no maxItems");
            bounded(&schema["items"], &format!("{path}[]"));
        }
        _ => {}
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        bounded(property, &format!("{path}.{name}"));
    }
}

/// Each row of `docs/changes.md`: the field, and the test that holds it.
fn documented_changes() -> Vec<(String, String)> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/changes.md")).unwrap();
    let quoted = |cell: &str| Some(cell.split('`').nth(1)?.to_owned());
    page.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            Some((quoted(cells.get(1)?)?, quoted(cells.get(3)?)?))
        })
        .collect()
}

/// Fields that hold no others.
fn leaves(schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    let before = found.len();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        leaves(property, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, found);
    }
    if schema["items"]["properties"].is_object() {
        leaves(&schema["items"], &format!("{path}[]"), found);
    }
    if found.len() == before {
        found.push(path.to_owned());
    }
}

#[test]
fn what_a_change_of_each_field_does_is_documented_and_held_by_a_test_that_speaks_of_it() {
    let rows = documented_changes();
    let crds = api::crds();
    let machine = crds.iter().find(|crd| crd.spec.names.kind == "ProxmoxVM").unwrap();
    let schema = serde_json::to_value(&machine.spec.versions[0].schema).unwrap();
    let mut fields = Vec::new();
    leaves(&schema["openAPIV3Schema"]["properties"]["spec"], "", &mut fields);
    let covers = |row: &str, field: &str| {
        field.strip_prefix(row).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    for field in &fields {
        let count = rows.iter().filter(|(row, _)| covers(row, field)).count();
        assert_eq!(count, 1, "docs/changes.md has {count} rows for {field}");
    }
    for (row, test) in &rows {
        assert!(fields.iter().any(|field| covers(row, field)), "docs/changes.md speaks of {row}, which is no field");
        let (module, name) = test.rsplit_once("::").unwrap();
        let folder = if module.starts_with("plan::") { "src/proxmox/plan/tests" } else { "tests/machines" };
        let file = format!("{folder}/{}.rs", module.rsplit("::").next().unwrap());
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).unwrap_or_default();
        assert!(text.contains(&format!("fn {name}()")), "docs/changes.md: {file} has no test {name}");
        let word = row.rsplit('.').next().unwrap().trim_end_matches("[]");
        let snake: String = word
            .chars()
            .flat_map(|letter| match letter.is_uppercase() {
                true => vec!['_', letter.to_ascii_lowercase()],
                false => vec![letter],
            })
            .collect();
        assert!(
            text.contains(word) || text.contains(&snake) || text.contains(snake.trim_end_matches("_secret_ref")),
            "{file} does not speak of {row}"
        );
    }
}
