//! `cloudfaster compose` says what the operator makes of a folder.

use std::process::{Command, Output};

use cloudfaster::docker::compose::render;
use serde_json::Value;

use crate::case::cases;

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudfaster"));
    command.arg("compose").args(arguments).env("TAG", "of this process").output().expect("starts")
}

#[test]
fn the_command_prints_the_project_of_a_folder() {
    let case = cases().into_iter().find(|case| case.name == "interpolation").expect("the case is there");
    let mut arguments = vec![case.folder.to_str().unwrap().to_owned()];
    for (name, value) in &case.options.variables {
        arguments.extend(["--env".to_owned(), format!("{name}={value}")]);
    }
    let output = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(printed, render(&case.load().expect("valid").project));
    let warnings = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(warnings.contains("the variable `UNSET` is not set"), "{warnings}");
}

#[test]
fn the_command_names_what_is_wrong_and_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("compose.yaml"), "services:\n  web:\n    image: nginx:$TAG\n    develop: {}\n")
        .unwrap();
    let output = run(&[folder.path().to_str().unwrap()]);
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(!output.status.success());
    assert!(told.contains("compose.yaml:4: services.web.develop: `develop` is not supported"), "{told}");
    let output = run(&[folder.path().join("none").to_str().unwrap()]);
    assert!(!output.status.success());
}
