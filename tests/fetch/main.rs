//! Repositories and archives from real servers on loopback: git's own over HTTP and over SSH.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../fuzz/checks/git_url.rs"]
mod checks;
mod download;
mod hostile;
mod mirrors;
mod over_ssh;
mod repository;
mod server;
mod sshd;
mod submodules;

use std::{path::Path, time::Duration};

use cloudfaster::docker::content::{
    self, Content,
    fetch::{
        Class, Error, Networks, Result, Times,
        git::{Credentials, Fetched, GitUrl, Known, Limits, Mirrors, Reference, Request},
        http::Basic,
    },
};
use tempfile::TempDir;

use crate::{repository::Repository, server::Server};

fn loopback() -> Networks {
    Networks { allowed: vec!["127.0.0.0/8".parse().unwrap()] }
}

fn short() -> Limits {
    let seconds = Duration::from_secs;
    Limits { times: Times { connect: seconds(5), idle: seconds(5), total: seconds(60) }, ..Limits::default() }
}

fn mirrors(root: &Path, limits: Limits) -> Mirrors {
    Mirrors::new(root.join("mirrors"), loopback(), limits).unwrap()
}

fn basic(user: &str, password: &str) -> Credentials {
    Credentials::Basic(Basic { user: user.into(), password: password.to_owned().into() })
}

fn request(url: &str, reference: Reference) -> Request {
    Request {
        url: GitUrl::parse(url, true).unwrap(),
        reference,
        submodules: false,
        credentials: Credentials::None,
        ca: None,
        allow_insecure: true,
        content: content::Limits::default(),
    }
}

fn known(fetched: &Fetched) -> Known {
    Known { name: fetched.name.clone(), commit: fetched.commit.clone() }
}

fn text(content: &Content, path: &str) -> String {
    String::from_utf8(content.read(path, 1 << 20).unwrap().to_vec()).unwrap()
}

fn paths(content: &Content) -> Vec<&str> {
    content.entries().map(|(path, _)| path).collect()
}

#[track_caller]
fn refused<T>(outcome: Result<T>, class: Class, why: &str) -> Error {
    let Err(error) = outcome else { panic!("it succeeds, expected was {why:?}") };
    let message = error.to_string();
    assert_eq!(error.class(), class, "{message}");
    assert!(message.contains(why), "{message:?} does not say {why:?}");
    error
}

/// A repository, its server and mirrors.
struct Stage {
    root: TempDir,
    server: Server,
    repository: Repository,
    mirrors: Mirrors,
}

impl Stage {
    async fn new() -> Self {
        Self::limited(short()).await
    }

    async fn limited(limits: Limits) -> Self {
        let root = tempfile::tempdir().unwrap();
        let repository = Repository::new(root.path(), "app.git");
        let server = Server::start(root.path()).await;
        let mirrors = mirrors(root.path(), limits);
        Self { root, server, repository, mirrors }
    }

    fn request(&self, reference: Reference) -> Request {
        request(&self.server.url("app.git"), reference)
    }

    async fn fetch(&self, reference: Reference) -> Result<Fetched> {
        self.mirrors.fetch(&self.request(reference), None).await
    }
}

proptest::proptest! {
    #[test]
    fn no_text_is_taken_for_another_url(
        text in proptest::prop_oneof![
            proptest::prelude::any::<String>(),
            "(https|http|ssh|git|file|ext)?(:|::|://)?(-?[a-z.@]{0,8})?(:[0-9]{0,6})?/?[-a-zA-Z0-9@:%/.]{0,24}",
        ]
    ) {
        checks::git_url(&text);
    }
}
