//! The docker command.

use std::{
    env,
    ffi::OsString,
    io::Write,
    process::{Command, Output, Stdio},
};

/// What the command prints; it has to succeed.
pub fn docker(arguments: &[&str]) -> String {
    docker_with(arguments, &[])
}

/// The same, with something on its standard input.
pub fn docker_with(arguments: &[&str], input: &[u8]) -> String {
    let output = try_docker(arguments, input);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {}: {error}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// The same, whether it succeeds or not.
pub fn try_docker(arguments: &[&str], input: &[u8]) -> Output {
    let program = env::var_os("DOCKER").unwrap_or_else(|| OsString::from("docker"));
    let mut child = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("the docker command is missing ({}): {error}", program.display()));
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A command that does not want it closes the pipe.
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().unwrap()
    })
}
