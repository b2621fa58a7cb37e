//! Each case of the corpus gives what `docker compose config` makes of it, field by field.

use std::path::PathBuf;
use std::process::Command;

use cloudfaster::docker::compose::render;
use serde_json::{Map, Value};

use crate::case::{Case, PROJECT, cases};

/// What the specification's own implementation says otherwise, and why. Each is undone on both sides before comparing.
const ACCEPTED: &[(&str, Undo)] = &[
    ("a mapping with nothing in it says nothing: `ipam: {}`, `bind: {}`, `placement: {}`, `default: null`", drop_empty),
    ("extensions (`x-…`) mean nothing, and are not kept", drop_extensions),
    ("`label_file` is told beside the labels it gives, which both have", drop_label_files),
    ("`blkio_config` is written with capitals, which compose files do not allow", lower_blkio),
    ("all devices are written as -1", all_devices),
    ("the target of configs and secrets is written as it was given, not as the path that it means", full_targets),
    ("a limit of 0 is written as `{}`", zero_limits),
];

type Undo = fn(&mut Value);

#[test]
fn every_case_of_the_corpus_gives_what_docker_compose_makes_of_it() {
    let oracle = oracle();
    let cases = cases();
    assert!(cases.len() >= 80, "the corpus has {} cases only", cases.len());
    let halves: Vec<&[Case]> = cases.chunks(cases.len().div_ceil(4)).collect();
    let differences: Vec<String> = std::thread::scope(|scope| {
        let compared =
            halves.iter().map(|cases| scope.spawn(|| cases.iter().flat_map(|case| compare(case, &oracle)).collect()));
        let running: Vec<_> = compared.collect();
        running.into_iter().flat_map(|thread| -> Vec<String> { thread.join().expect("compares") }).collect()
    });
    println!("{} cases, {} differences; accepted on both sides:", cases.len(), differences.len());
    ACCEPTED.iter().for_each(|(reason, _)| println!("  {reason}"));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_project_that_is_written_and_read_again_is_the_same() {
    for case in cases() {
        let mut first = case.load().unwrap_or_else(|problems| panic!("{}: {problems}", case.name)).project;
        // What is not active is not written, and nothing can depend on it then.
        for service in first.services.values_mut() {
            service.depends_on.retain(|name, _| !first.disabled.contains(name));
        }
        first.disabled.clear();
        let mut sources = case.sources();
        let document = serde_json::to_vec(&render(&first)).expect("serializable");
        sources.insert("rendered.json".to_owned(), document.into());
        let variables = &case.options.variables;
        let again = cloudfaster::docker::compose::load(cloudfaster::docker::compose::Request {
            sources: &sources,
            files: &["rendered.json".to_owned()],
            variables,
            profiles: &case.options.profiles,
            name: PROJECT,
        });
        let again = again.unwrap_or_else(|problems| panic!("{}: {problems}", case.name)).project;
        let (first, again) = (readable(&first), readable(&again));
        assert_eq!(first, again, "{}", case.name);
    }
}

#[test]
fn a_project_that_is_stored_and_taken_out_again_is_the_same() {
    for case in cases() {
        let project = case.load().expect("valid").project;
        let stored = serde_json::to_string(&project).expect("serializable");
        let taken = serde_json::from_str(&stored).expect("deserializable");
        assert_eq!(project, taken, "{}", case.name);
    }
}

fn readable(project: &cloudfaster::docker::compose::model::Project) -> String {
    serde_json::to_string_pretty(project).expect("serializable")
}

/// Docker Compose, v2 or later.
fn oracle() -> PathBuf {
    let path = std::env::var_os("DOCKER_COMPOSE").map_or_else(|| "docker-compose".into(), PathBuf::from);
    let version = Command::new(&path).args(["version", "--short"]).output();
    let version = version
        .unwrap_or_else(|error| panic!("Docker Compose is missing ({}: {error}): run .ci/setup", path.display()));
    let version = String::from_utf8_lossy(&version.stdout).trim().trim_start_matches('v').to_owned();
    let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default();
    assert!(major >= 2, "Docker Compose must be v2 or later, not {version:?}: run .ci/setup");
    path
}

fn compare(case: &Case, oracle: &PathBuf) -> Vec<String> {
    let ours = match case.load() {
        Ok(loaded) => render(&loaded.project),
        Err(problems) => return vec![format!("{}: {problems}", case.name)],
    };
    let mut command = Command::new(oracle);
    command.current_dir(&case.folder).env_clear().envs(&case.options.variables).env("HOME", "/nonexistent");
    command.args(["--project-name", PROJECT]);
    for file in &case.options.files {
        command.args(["--file", file]);
    }
    for profile in &case.options.profiles {
        command.args(["--profile", profile]);
    }
    let output = command.args(["config", "--format", "json"]).output().expect("starts");
    if !output.status.success() {
        return vec![format!("{}: Docker Compose refuses it: {}", case.name, String::from_utf8_lossy(&output.stderr))];
    }
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    // Its paths are those of this machine, ours those of the sources.
    let folder = case.folder.to_string_lossy();
    let text = text.replace(&format!("{folder}/"), "./").replace(&*folder, ".");
    let theirs: Value = serde_json::from_str(&text).expect("JSON");
    let (mut ours, mut theirs) = (ours, theirs);
    for (_, undo) in ACCEPTED {
        undo(&mut ours);
        undo(&mut theirs);
    }
    let mut differences = Vec::new();
    differ(&ours, &theirs, &case.name, &mut differences);
    differences
}

fn differ(ours: &Value, theirs: &Value, path: &str, differences: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let keys: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            for key in keys {
                let value = |map: &'_ Map<String, Value>| map.get(key).cloned();
                match (value(ours), value(theirs)) {
                    (Some(ours), Some(theirs)) => differ(&ours, &theirs, &format!("{path}.{key}"), differences),
                    (ours, theirs) => differences.push(format!(
                        "{path}.{key}: ours {}, theirs {}",
                        ours.as_ref().map_or("(missing)".to_owned(), Value::to_string),
                        theirs.as_ref().map_or("(missing)".to_owned(), Value::to_string),
                    )),
                }
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                differ(ours, theirs, &format!("{path}[{index}]"), differences);
            }
        }
        (Value::Number(ours), Value::Number(theirs)) if ours.as_f64() == theirs.as_f64() => {}
        (ours, theirs) if ours == theirs => {}
        (ours, theirs) => differences.push(format!("{path}: ours {ours}, theirs {theirs}")),
    }
}

/// Visits each mapping and what is inside of it, from the inside out.
fn each_map(value: &mut Value, key: &str, visit: &mut impl FnMut(&str, &mut Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            map.iter_mut().for_each(|(key, value)| each_map(value, key, visit));
            visit(key, map);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_map(item, key, visit)),
        _ => {}
    }
}

fn drop_empty(value: &mut Value) {
    each_map(value, "", &mut |key, map| {
        if key != "environment" {
            map.retain(|key, value| match value {
                Value::Null => matches!(key.as_str(), "command" | "entrypoint"),
                Value::Object(map) => !map.is_empty() || matches!(key.as_str(), "core"),
                _ => true,
            });
        }
    });
}

fn drop_extensions(value: &mut Value) {
    each_map(value, "", &mut |_, map| map.retain(|key, _| !key.starts_with("x-")));
}

fn drop_label_files(value: &mut Value) {
    each_map(value, "", &mut |_, map| map.retain(|key, _| key != "label_file"));
}

fn lower_blkio(value: &mut Value) {
    each_map(value, "", &mut |_, map| {
        for key in ["Path", "Rate", "Weight"] {
            if let Some(value) = map.remove(key) {
                map.insert(key.to_lowercase(), value);
            }
        }
    });
}

fn all_devices(value: &mut Value) {
    each_map(value, "", &mut |_, map| {
        if let Some(count) = map.get_mut("count").filter(|count| **count == -1) {
            *count = "all".into();
        }
    });
}

fn full_targets(value: &mut Value) {
    each_map(value, "", &mut |key, map| {
        let folder = match key {
            "configs" => "/",
            "secrets" => "/run/secrets/",
            _ => return,
        };
        let Some(source) = map.get("source").and_then(Value::as_str).map(str::to_owned) else { return };
        let target = map.get("target").and_then(Value::as_str).map_or(source, str::to_owned);
        let full = if target.starts_with('/') { target } else { format!("{folder}{target}") };
        map.insert("target".to_owned(), full.into());
    });
}

fn zero_limits(value: &mut Value) {
    each_map(value, "", &mut |key, map| {
        if key == "ulimits" {
            map.values_mut().filter(|value| **value == 0).for_each(|value| *value = Value::Object(Map::new()));
        }
    });
}
