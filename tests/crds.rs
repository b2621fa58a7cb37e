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
