//! Repositories behind SSH.

use std::path::Path;

use cloudfaster::docker::content::fetch::{
    Class, Networks,
    git::{Credentials, Mirrors, Reference, Rewritten, SshAccess},
};

use crate::{known, mirrors, paths, refused, repository::Repository, request, short, sshd::Sshd, text};

fn access(sshd: &Sshd, key: &str, known: &str) -> Credentials {
    Credentials::Ssh(SshAccess { private_key: sshd.file(key).into(), known_hosts: sshd.known(known) })
}

#[tokio::test]
async fn a_repository_is_fetched_over_ssh() {
    for new_protocol in [true, false] {
        let root = tempfile::tempdir().unwrap();
        let repository = Repository::new(root.path(), "it's app.git");
        let sshd = Sshd::start(new_protocol);
        let mirrors = mirrors(root.path(), short());
        repository.git(&["tag", "-a", "-m", "one", "v1.0.0"]);
        repository.push();
        let url = sshd.url(&repository.bare).replace(' ', "%20");
        let mut request = request(&url, Reference::Default);
        refused(mirrors.fetch(&request, None).await, Class::Invalid, "wants an SSH key");
        request.credentials = access(&sshd, "user", "host.pub");
        let first = mirrors.fetch(&request, None).await.unwrap();
        assert_eq!((first.name.as_str(), first.commit.as_str()), ("main", repository.head().as_str()));
        assert_eq!(text(&first.content, "compose.yaml"), "services: {}\n");

        repository.commit(&[("a", "a")]);
        let second = mirrors.fetch(&request, Some(&known(&first))).await.unwrap();
        assert_eq!((paths(&second.content), second.rewritten), (vec!["a", "compose.yaml"], None));
        repository.git(&["commit", "-q", "--amend", "-m", "amended"]);
        repository.push();
        let third = mirrors.fetch(&request, Some(&known(&second))).await.unwrap();
        assert_eq!(third.rewritten, Some(Rewritten::ForcePush));

        for reference in [Reference::Version("1".into()), Reference::Commit(first.commit.clone())] {
            request.reference = reference;
            assert_eq!(mirrors.fetch(&request, None).await.unwrap().commit, first.commit);
        }
        request.reference = Reference::Branch("none".into());
        refused(mirrors.fetch(&request, None).await, Class::Refused, r#"its branches are "main""#);
    }
}

#[tokio::test]
async fn servers_and_keys_that_are_not_known_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let repository = Repository::new(root.path(), "app.git");
    let sshd = Sshd::start(true);
    let own = mirrors(root.path(), short());
    let mut request = request(&sshd.url(&repository.bare), Reference::Default);
    request.credentials = access(&sshd, "user", "other.pub");
    let error = refused(own.fetch(&request, None).await, Class::Refused, "is not trusted");
    assert!(error.to_string().contains("SHA256:"), "{error}");
    request.credentials = access(&sshd, "other", "host.pub");
    refused(own.fetch(&request, None).await, Class::Refused, "does not accept the key");
    request.credentials = access(&sshd, "user.pub", "host.pub");
    refused(own.fetch(&request, None).await, Class::Invalid, "the SSH key is not usable");
    request.credentials =
        Credentials::Ssh(SshAccess { private_key: sshd.file("user").into(), known_hosts: String::new() });
    refused(own.fetch(&request, None).await, Class::Invalid, "ssh-keyscan");

    request.credentials = access(&sshd, "user", "host.pub");
    request.url = crate::GitUrl::parse(&sshd.url(Path::new("/none.git")), false).unwrap();
    refused(own.fetch(&request, None).await, Class::Refused, "none.git does not exist");

    let public = Mirrors::new(root.path().join("public"), Networks::default(), short()).unwrap();
    refused(public.fetch(&request, None).await, Class::Invalid, "administrator");
    drop(sshd);
    refused(own.fetch(&request, None).await, Class::Wait, "cannot be reached");
}

#[tokio::test]
async fn a_server_that_does_not_do_its_part_is_told_from_one_that_refuses() {
    let root = tempfile::tempdir().unwrap();
    let repository = Repository::new(root.path(), "app.git");
    let mirrors = mirrors(root.path(), short());
    for (does, class, why) in [
        ("sleep 20", Class::Wait, "it sends nothing"),
        ("kill -9 $PPID", Class::Wait, "the connection broke"),
        ("echo 'fatal: nobody may' >&2; exit 1", Class::Refused, "fatal: nobody may"),
        ("echo Welcome!", Class::Refused, "does not answer as expected"),
    ] {
        let sshd = Sshd::configured(&format!("ForceCommand {does}"));
        let mut request = request(&sshd.url(&repository.bare), Reference::Default);
        request.credentials = access(&sshd, "user", "host.pub");
        refused(mirrors.fetch(&request, None).await, class, why);
    }
}
