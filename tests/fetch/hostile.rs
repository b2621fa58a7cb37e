//! Servers and repositories that mean harm.

use std::{fs, io::Write, process::Stdio};

use cloudfaster::docker::content::{
    self,
    fetch::{
        Class, Networks,
        git::{Limits, Mirrors, Reference, Request},
    },
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::{Stage, basic, refused, repository::command, request, server::Server, short};

#[tokio::test]
async fn addresses_that_are_not_allowed_are_not_talked_to() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path()).await;
    let port = server.address.port();
    let mirrors = Mirrors::new(root.path().join("mirrors"), Networks::default(), short()).unwrap();
    for host in
        ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0"]
    {
        let request = request(&format!("http://{host}:{port}/app.git"), Reference::Default);
        let error = refused(mirrors.fetch(&request, None).await, Class::Invalid, "administrator");
        assert!(error.to_string().contains("address"), "{error}");
    }
    for url in ["http://169.254.169.254/latest/meta-data", "http://10.0.0.1/x", "http://[fd00:ec2::254]/x"] {
        refused(mirrors.fetch(&request(url, Reference::Default), None).await, Class::Invalid, "administrator");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_redirect_does_not_lead_to_where_nobody_may_go() {
    let stage = Stage::new().await;
    for to in ["http://10.0.0.1", "http://169.254.169.254", "http://[::1]:80", "http://0", "http://[::ffff:10.0.0.1]"] {
        stage.server.behave(|manners| manners.redirect = Some(("/".into(), format!("{to}/"))));
        refused(stage.fetch(Reference::Default).await, Class::Invalid, "may not fetch from");
    }
    for (to, why) in [
        ("file:///etc/passwd?", "names no host"),
        ("ftp://127.0.0.1/", "not HTTP"),
        ("http://user:password@127.0.0.1/", "credentials"),
    ] {
        stage.server.behave(|manners| manners.redirect = Some(("/".into(), to.into())));
        refused(stage.fetch(Reference::Default).await, Class::Invalid, why);
    }
    let itself = stage.server.url("");
    stage.server.behave(|manners| manners.redirect = Some(("/".into(), itself)));
    stage.server.asked();
    refused(stage.fetch(Reference::Default).await, Class::Invalid, "too many redirects");
    assert_eq!(stage.server.asked().len(), 6);
}

#[tokio::test]
async fn a_redirect_is_followed_without_credentials() {
    let stage = Stage::new().await;
    let other = Server::start(stage.root.path()).await;
    let to = other.url("app.git");
    stage.server.behave(|manners| manners.redirect = Some(("/old.git".into(), to)));
    let mut request = request(&stage.server.url("old.git"), Reference::Default);
    request.credentials = basic("git", "secret");
    stage.mirrors.fetch(&request, None).await.unwrap();
    assert!(stage.server.asked().iter().all(|asked| asked.authorization.is_some()));
    let asked = other.asked();
    let paths: Vec<_> = asked.iter().map(|asked| asked.path.as_str()).collect();
    let post = "/app.git/git-upload-pack";
    assert_eq!(paths, ["/app.git/info/refs?service=git-upload-pack", post, post]);
    assert!(asked.iter().all(|asked| asked.authorization.is_none()), "{asked:?}");

    // On the same server they stay.
    stage.server.behave(|manners| manners.redirect = Some(("/old.git".into(), "/app.git".into())));
    stage.mirrors.fetch(&request, None).await.unwrap();
    assert!(stage.server.asked().iter().all(|asked| asked.authorization.is_some()));

    // Once the server was found, it does not send us on.
    let to = other.url("app.git/git-upload-pack");
    stage.server.behave(|manners| manners.redirect = Some(("/app.git/git-upload-pack".into(), to)));
    refused(stage.fetch(Reference::Default).await, Class::Invalid, "only the first request");
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn certificates_count() {
    let stage = Stage::new().await;
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let server = Server::start_tls(stage.root.path(), certificate.pem(), key.serialize_pem()).await;
    let mut request = request(&server.url("app.git"), Reference::Default);
    refused(stage.mirrors.fetch(&request, None).await, Class::Refused, "is not trusted");
    request.ca = Some("nonsense".into());
    refused(stage.mirrors.fetch(&request, None).await, Class::Invalid, "CA certificate");
    request.ca = Some(authority.pem());
    stage.mirrors.fetch(&request, None).await.unwrap();

    let plain = stage.server.url("app.git");
    server.behave(|manners| manners.redirect = Some(("/app.git".into(), plain)));
    refused(stage.mirrors.fetch(&request, None).await, Class::Invalid, "not encrypted");
}

/// A repository with a blob of so many zeros, which compress to almost nothing.
fn bomb(stage: &Stage, size: usize) {
    stage.repository.commit(&[("bomb", vec![0; size])]);
}

#[tokio::test]
async fn bombs_do_not_go_off() {
    let limited = |change: fn(&mut Limits)| {
        let mut limits = short();
        change(&mut limits);
        Stage::limited(limits)
    };
    let stage = limited(|limits| limits.object = 1 << 20).await;
    bomb(&stage, 64 << 20);
    refused(stage.fetch(Reference::Default).await, Class::Invalid, "a file in the repository is larger than 1048576");

    let stage = limited(|limits| limits.unpacked = 4 << 20).await;
    for number in 0..5 {
        stage.repository.commit(&[(format!("bomb{number}").as_str(), vec![number; 1 << 20])]);
    }
    refused(stage.fetch(Reference::Default).await, Class::Invalid, "larger than 4194304 bytes");

    let stage = limited(|limits| limits.objects = 10).await;
    let files: Vec<_> = (0..20).map(|number| (format!("file{number}"), number.to_string())).collect();
    let files: Vec<_> = files.iter().map(|(path, content)| (path.as_str(), content)).collect();
    stage.repository.commit(&files);
    refused(stage.fetch(Reference::Default).await, Class::Invalid, "larger than 10 objects");

    let stage = limited(|limits| limits.pack = 100_000).await;
    let noise: Vec<u8> = (0..400_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    stage.repository.commit(&[("noise", noise)]);
    refused(stage.fetch(Reference::Default).await, Class::Invalid, "sends is larger than 100000 bytes");

    let stage = limited(|_| {}).await;
    bomb(&stage, 4 << 20);
    let content = content::Limits { size: 3 << 20, ..content::Limits::default() };
    let small = Request { content, ..stage.request(Reference::Default) };
    refused(stage.mirrors.fetch(&small, None).await, Class::Invalid, "larger than 3145728 bytes");
}

/// Writes an object that git's own commands would not write.
fn object(stage: &Stage, kind: &str, content: &[u8]) -> String {
    let mut child = command("git")
        .current_dir(&stage.repository.clone)
        .args(["hash-object", "-t", kind, "-w", "--stdin", "--literally"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(content).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

fn tree(stage: &Stage, entries: &[(&str, &str, &str)]) -> String {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend(format!("{mode} {name}\0").bytes());
        bytes.extend(hex::decode(id).unwrap());
    }
    object(stage, "tree", &bytes)
}

fn publish(stage: &Stage, tree: &str) {
    let commit = stage.repository.git(&["commit-tree", "-m", "hostile", tree]);
    stage.repository.git(&["reset", "-q", "--soft", &commit]);
    stage.repository.push();
}

#[tokio::test]
async fn trees_that_mean_harm_are_refused() {
    let stage = Stage::new().await;
    let blob = object(&stage, "blob", b"harm");
    let hooks = tree(&stage, &[("100755", "post-checkout", &blob)]);
    let out = object(&stage, "blob", b"../../etc/passwd");
    for entries in [
        vec![("100644", "../escape", blob.as_str())],
        vec![("100644", "..", blob.as_str())],
        vec![("40000", "..", hooks.as_str())],
        vec![("40000", ".git", hooks.as_str())],
        vec![("40000", ".GIT", hooks.as_str())],
        vec![("40000", "git~1", hooks.as_str())],
        vec![("100644", "/etc/passwd", blob.as_str())],
        vec![("100644", "a\\b", blob.as_str())],
        vec![("100644", "a\nb", blob.as_str())],
        vec![("120000", "out", out.as_str())],
        vec![("100644", "same", blob.as_str()), ("100644", "same", blob.as_str())],
        vec![("100644", "Same", blob.as_str()), ("100644", "same", blob.as_str())],
    ] {
        let tree = tree(&stage, &entries);
        publish(&stage, &tree);
        let outcome = stage.fetch(Reference::Default).await;
        refused(
            outcome.map_err(|error| {
                assert!(
                    matches!(error, cloudfaster::docker::content::fetch::Error::Content(_)),
                    "{entries:?}: {error}"
                );
                error
            }),
            Class::Invalid,
            "",
        );
    }
}

#[tokio::test]
async fn a_few_trees_that_stand_for_billions_of_files_are_refused() {
    let stage = Stage::new().await;
    let names: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let mut id = object(&stage, "blob", b"boom");
    let mut mode = "100644";
    for _ in 0..10 {
        let entries: Vec<_> = names.iter().map(|name| (mode, name.as_str(), id.as_str())).collect();
        id = tree(&stage, &entries);
        mode = "40000";
    }
    publish(&stage, &id);
    refused(stage.fetch(Reference::Default).await, Class::Invalid, "more than 100000");
}

#[tokio::test]
async fn a_repository_that_is_not_whole_is_refused() {
    let stage = Stage::new().await;
    let content = "is going to be missing\n";
    stage.repository.commit(&[("missing", content)]);
    let blob = stage.repository.git(&["rev-parse", "HEAD:missing"]);
    // The server gives what it has if it believes that the other side has promised to be content.
    let loose = stage.repository.bare.join("objects").join(&blob[..2]).join(&blob[2..]);
    fs::remove_file(&loose).unwrap();
    let outcome = stage.fetch(Reference::Default).await;
    refused(outcome, Class::Refused, "does not answer as expected");
}

#[tokio::test]
async fn what_is_no_git_server_is_told_so() {
    let stage = Stage::new().await;
    fs::create_dir_all(stage.root.path().join("served/site/info")).unwrap();
    fs::write(stage.root.path().join("served/site/info/refs"), "<html>").unwrap();
    let site = request(&stage.server.url("site"), Reference::Default);
    refused(stage.mirrors.fetch(&site, None).await, Class::Refused, "does not answer as expected");
}

#[tokio::test]
async fn limits_of_content_are_kept_by_a_new_mirror_too() {
    let stage = Stage::new().await;
    stage.repository.commit(&[("a", "a"), ("b", "b")]);
    let content = content::Limits { entries: 2, ..content::Limits::default() };
    let strict = Request { content, ..stage.request(Reference::Default) };
    refused(stage.mirrors.fetch(&strict, None).await, Class::Invalid, "more than 2");
}
