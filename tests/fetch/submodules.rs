//! Repositories in repositories.

use cloudfaster::docker::content::{
    Entry,
    fetch::{
        Class,
        git::{Limits, Note, Reference},
    },
};

use crate::{Stage, basic, paths, refused, repository::Repository, server::Server, short, text};

fn add(parent: &Repository, child: &Repository, url: &str, path: &str) {
    let from = child.bare.to_str().unwrap();
    parent.git(&["submodule", "--quiet", "add", "--force", from, path]);
    parent.git(&["config", "-f", ".gitmodules", &format!("submodule.{path}.url"), url]);
    parent.commit(&[("changed", path)]);
}

#[tokio::test]
async fn submodules_are_fetched_if_they_are_asked_for() {
    let stage = Stage::new().await;
    stage.server.behave(|manners| manners.password = Some(("git".into(), "right".into())));
    let library = Repository::new(stage.root.path(), "library.git");
    let inner = Repository::new(stage.root.path(), "inner.git");
    add(&library, &inner, "../inner.git", "inner");
    library.commit(&[("library.txt", "library\n")]);
    add(&stage.repository, &library, "../library.git", "libs/library");
    // The branch goes on; what counts is the commit that the parent names.
    library.commit(&[("library.txt", "newer\n")]);

    let mut request = stage.request(Reference::Default);
    request.credentials = basic("git", "right");
    let without = stage.mirrors.fetch(&request, None).await.unwrap();
    assert_eq!(without.content.get("libs/library"), Some(&Entry::Folder));
    assert_eq!(without.notes, [Note::Submodules { count: 1, example: "libs/library".into() }]);

    request.submodules = true;
    let with = stage.mirrors.fetch(&request, None).await.unwrap();
    assert!(with.notes.is_empty());
    assert_eq!(text(&with.content, "libs/library/inner/compose.yaml"), "services: {}\n");
    assert_eq!(text(&with.content, "libs/library/changed"), "inner");
    assert!(paths(&with.content).contains(&"libs/library/inner"));
}

#[tokio::test]
async fn a_submodule_is_the_commit_that_its_parent_names() {
    let stage = Stage::new().await;
    let library = Repository::new(stage.root.path(), "library.git");
    add(&stage.repository, &library, &stage.server.url("library.git"), "library");
    library.commit(&[("later.txt", "later\n")]);
    let mut request = stage.request(Reference::Default);
    request.submodules = true;
    let fetched = stage.mirrors.fetch(&request, None).await.unwrap();
    assert_eq!(paths(&fetched.content), [".gitmodules", "changed", "compose.yaml", "library", "library/compose.yaml"]);
}

#[tokio::test]
async fn another_server_gets_no_credentials() {
    let stage = Stage::new().await;
    let library = Repository::new(stage.root.path(), "library.git");
    let other = Server::start(stage.root.path()).await;
    add(&stage.repository, &library, &other.url("library.git"), "library");
    let mut request = stage.request(Reference::Default);
    request.credentials = basic("git", "secret");
    request.submodules = true;
    stage.mirrors.fetch(&request, None).await.unwrap();
    assert!(stage.server.asked().iter().all(|asked| asked.authorization.is_some()));
    let asked = other.asked();
    assert!(!asked.is_empty() && asked.iter().all(|asked| asked.authorization.is_none()), "{asked:?}");
}

#[tokio::test]
async fn submodules_do_not_lead_to_where_nobody_may_go() {
    let stage = Stage::new().await;
    let library = Repository::new(stage.root.path(), "library.git");
    for (number, (url, class, why)) in [
        ("http://10.0.0.1/library.git", Class::Invalid, "may not fetch from"),
        ("file:///etc", Class::Invalid, "files of the operator"),
        ("/etc", Class::Invalid, "files of the operator"),
        ("ext::sh -c id", Class::Invalid, "percent-encoded"),
        ("--upload-pack=id", Class::Invalid, "a dash"),
        ("git@127.0.0.1:library.git", Class::Invalid, "wants an SSH key"),
        ("../../../library.git", Class::Invalid, "leads out of its server"),
        ("../none.git", Class::Refused, "does not exist"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("library{number}");
        add(&stage.repository, &library, url, &path);
        let mut request = stage.request(Reference::Default);
        request.submodules = true;
        let error = refused(stage.mirrors.fetch(&request, None).await, class, why);
        assert!(error.to_string().starts_with(&format!("submodule {path}: ")), "{error}");
        stage.repository.git(&["rm", "-q", "-f", &path]);
    }
    add(&stage.repository, &library, "../library.git", "nameless");
    stage.repository.git(&["rm", "-q", "-f", ".gitmodules"]);
    stage.repository.commit(&[("x", "x")]);
    let mut request = stage.request(Reference::Default);
    request.submodules = true;
    refused(stage.mirrors.fetch(&request, None).await, Class::Invalid, ".gitmodules does not say");
}

#[tokio::test]
async fn there_are_not_too_many_submodules() {
    let root_limits = Limits { submodules: 2, depth: 2, ..short() };
    let stage = Stage::limited(root_limits).await;
    let chain: Vec<_> =
        (0..3).map(|number| Repository::new(stage.root.path(), &format!("chain{number}.git"))).collect();
    for pair in (1..3).rev() {
        add(&chain[pair - 1], &chain[pair], &format!("../chain{pair}.git"), "next");
    }
    add(&stage.repository, &chain[1], "../chain1.git", "next");
    let mut request = stage.request(Reference::Default);
    request.submodules = true;
    stage.mirrors.fetch(&request, None).await.unwrap();

    add(&stage.repository, &chain[2], "../chain2.git", "one");
    refused(stage.mirrors.fetch(&request, None).await, Class::Invalid, "larger than 2 submodules");
    stage.repository.git(&["rm", "-q", "-f", "one"]);
    stage.repository.git(&["rm", "-q", "-f", "next"]);
    let stage =
        Stage { mirrors: crate::mirrors(&stage.root.path().join("deep"), Limits { depth: 2, ..short() }), ..stage };
    add(&stage.repository, &chain[0], "../chain0.git", "deep");
    refused(stage.mirrors.fetch(&request, None).await, Class::Invalid, "2 submodules in each other");
}

#[tokio::test]
async fn a_repository_may_be_its_own_submodule_only_so_often() {
    let stage = Stage::new().await;
    let commit = stage.repository.head();
    add(
        &stage.repository,
        &Repository { bare: stage.repository.bare.clone(), clone: stage.repository.clone.clone() },
        "./",
        "self",
    );
    let mut request = stage.request(Reference::Default);
    request.submodules = true;
    let fetched = stage.mirrors.fetch(&request, None).await.unwrap();
    assert_eq!(text(&fetched.content, "self/compose.yaml"), "services: {}\n");
    assert_ne!(fetched.commit, commit);
}
