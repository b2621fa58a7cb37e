//! What the catalogue makes is accepted by Docker Compose, and its documentation says what is in it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cloudfaster::docker::catalogue::{Composed, Request, compose, list};

#[test]
fn docker_compose_accepts_each_file_that_the_catalogue_makes() {
    let oracle = oracle();
    let mut files: Vec<(Vec<String>, Composed)> = Vec::new();
    for types in combinations() {
        for (with_source, filebrowser) in [(false, false), (true, false), (false, true), (true, true)] {
            let url = Some("https://shop.example.com");
            let request = Request { types: &types, with_source, filebrowser, image: &|_| None, url };
            files.extend(compose(&request).ok().map(|composed| (types.clone(), composed)));
        }
    }
    assert!(files.len() > 150, "only {} files", files.len());
    let count = files.len();
    let failures: Vec<String> = std::thread::scope(|scope| {
        let oracle = &oracle;
        let parts: Vec<_> = files.chunks(count.div_ceil(4)).collect();
        let running: Vec<_> = parts
            .into_iter()
            .map(|part| scope.spawn(move || part.iter().filter_map(|file| refused(oracle, file)).collect::<Vec<_>>()))
            .collect();
        running.into_iter().flat_map(|thread| thread.join().expect("runs")).collect()
    });
    println!("{count} files");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Every type alone, every two, and a web type with all databases.
fn combinations() -> BTreeSet<Vec<String>> {
    let listed = list().expect("readable");
    let types: Vec<_> = listed.iter().filter(|entry| entry.name != "Filebrowser").collect();
    let databases: Vec<&str> = types.iter().filter(|entry| !entry.web).map(|entry| entry.name).collect();
    let mut all = BTreeSet::new();
    for (index, one) in types.iter().enumerate() {
        all.insert(vec![one.name.to_owned()]);
        all.extend(types.iter().skip(index + 1).map(|other| vec![one.name.to_owned(), other.name.to_owned()]));
        if one.web {
            all.insert([one.name].iter().chain(&databases).map(|name| (*name).to_owned()).collect());
        }
    }
    all
}

/// What Docker Compose has against a file: a warning counts, too.
fn refused(oracle: &Path, (types, composed): &(Vec<String>, Composed)) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("compose.yaml"), &composed.compose).expect("written");
    let mut command = Command::new(oracle);
    command.current_dir(folder.path()).env_clear().env("HOME", "/nonexistent").stdin(Stdio::null());
    command.envs(composed.credentials.iter().map(|it| (&it.variable, "generated")));
    let output = command.args(["--project-name", "project", "config", "--quiet"]).output().expect("starts");
    let told = String::from_utf8_lossy(&output.stderr);
    (!output.status.success() || !told.is_empty()).then(|| format!("{types:?}: {told}\n{}", composed.compose))
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

#[test]
fn the_documentation_lists_what_is_in_the_catalogue() {
    let documentation = include_str!("../docs/catalogue.md");
    let rows: Vec<String> = list()
        .expect("readable")
        .iter()
        .map(|entry| {
            let images: Vec<String> =
                entry.images.iter().map(|(key, reference)| format!("`{key}`: `{reference}`")).collect();
            format!("| {} | {} | {} | {} |", entry.name, images.join(", "), entry.port, entry.about)
        })
        .collect();
    let rows = rows.join("\n");
    assert!(documentation.contains(&rows), "docs/catalogue.md must have these rows:\n{rows}");
}
