//! What references lead to, and how little is fetched for it.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use cloudfaster::docker::content::{
    Entry,
    fetch::{
        Class,
        git::{Limits, Mirrors, Note, Reference, Rewritten, Seen},
    },
};

use crate::{Stage, basic, known, loopback, paths, refused, repository::Repository, server::Manners, short, text};

/// Both versions of the protocol that servers speak.
const MANNERS: [bool; 2] = [false, true];

#[tokio::test]
async fn references_lead_to_files() {
    for old in MANNERS {
        let stage = Stage::new().await;
        stage.server.behave(|manners| manners.old = old);
        let repository = &stage.repository;
        let first = repository.head();
        repository.git(&["tag", "v1.0.0"]);
        repository.commit(&[("bin/run.sh", "#!/bin/sh\n")]);
        fs::set_permissions(repository.clone.join("bin/run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("bin/run.sh", repository.clone.join("run")).unwrap();
        let second = repository.commit(&[("a/deep/file.txt", "two\n")]);
        repository.git(&["tag", "-a", "-m", "with a message", "v1.2.0"]);
        repository.git(&["tag", "v2.0.0-rc.1"]);
        repository.push();
        repository.git(&["checkout", "-q", "-b", "feature/x"]);
        let third = repository.commit(&[("feature.txt", "x\n")]);

        for (reference, name, commit) in [
            (Reference::Default, "main", &second),
            (Reference::Branch("main".into()), "main", &second),
            (Reference::Branch("feature/x".into()), "feature/x", &third),
            (Reference::Tag("v1.0.0".into()), "v1.0.0", &first),
            (Reference::Tag("v1.2.0".into()), "v1.2.0", &second),
            (Reference::Version("1".into()), "v1.2.0", &second),
            (Reference::Version("*".into()), "v1.2.0", &second),
            (Reference::Version("2.0.0-rc".into()), "v2.0.0-rc.1", &second),
            (Reference::Commit(first.clone()), &first[..12], &first),
            (Reference::Commit(third.clone()), &third[..12], &third),
        ] {
            let fetched = stage.fetch(reference.clone()).await.unwrap();
            assert_eq!((fetched.name.as_str(), &fetched.commit), (name, commit), "{reference:?}");
            assert_eq!(fetched.rewritten, None);
            let seen = stage.mirrors.look(&stage.request(reference)).await.unwrap();
            assert_eq!(seen, Seen { name: name.to_owned(), commit: commit.clone() });
        }
        let content = stage.fetch(Reference::Default).await.unwrap().content;
        assert_eq!(paths(&content), ["a", "a/deep", "a/deep/file.txt", "bin", "bin/run.sh", "compose.yaml", "run"]);
        assert_eq!(text(&content, "a/deep/file.txt"), "two\n");
        assert!(matches!(content.get("bin/run.sh"), Some(Entry::File { executable: true, size: 10, .. })));
        assert!(matches!(content.get("compose.yaml"), Some(Entry::File { executable: false, .. })));
        assert_eq!(content.get("run"), Some(&Entry::Link { target: "bin/run.sh".into() }));
        let first = stage.fetch(Reference::Commit(first)).await.unwrap().content;
        assert_eq!(paths(&first), ["compose.yaml"]);
        assert_ne!(first.digest(), content.digest());
    }
}

#[tokio::test]
async fn a_commit_is_fetched_by_its_name_alone() {
    for old in MANNERS {
        let stage = Stage::new().await;
        stage.server.behave(|manners| manners.old = old);
        let first = stage.repository.head();
        stage.repository.commit(&[("b", "b")]);
        // Servers of the old protocol give only what references point to; then all is fetched, and looked at.
        let fetched = stage.fetch(Reference::Commit(first.clone())).await.unwrap();
        assert_eq!(paths(&fetched.content), ["compose.yaml"]);
        stage.server.asked();
        stage.fetch(Reference::Commit(first)).await.unwrap();
        assert!(stage.server.asked().is_empty(), "what is there is not asked for");
        refused(stage.fetch(Reference::Commit("1".repeat(40))).await, Class::Refused, "has no commit 1111");
    }
}

#[tokio::test]
async fn a_repository_may_have_an_odd_name() {
    let stage = Stage::new().await;
    let name = "o'dd +näme%20$.git";
    let repository = Repository::new(stage.root.path(), name);
    let url = stage.server.url("o'dd%20+n%C3%A4me%2520$.git");
    for url in [url.clone(), format!("{url}/"), url.replace("%C3%A4", "ä")] {
        let fetched = stage.mirrors.fetch(&crate::request(&url, Reference::Default), None).await.unwrap();
        assert_eq!(fetched.commit, repository.head(), "{url}");
    }
}

#[tokio::test]
async fn what_is_there_is_not_fetched_again() {
    for old in MANNERS {
        let stage = Stage::new().await;
        stage.server.behave(|manners| manners.old = old);
        let large: Vec<u8> =
            (0..400_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        stage.repository.commit(&[("large.bin", &large)]);
        let posts = || -> Vec<usize> {
            let asked = stage.server.asked();
            asked.iter().filter(|asked| asked.method == "POST").map(|asked| asked.answered).collect()
        };
        stage.fetch(Reference::Default).await.unwrap();
        let cost: usize = posts().iter().sum();
        assert!(cost > 1_000_000, "{cost}");

        stage.fetch(Reference::Default).await.unwrap();
        let asked = posts();
        assert!(asked.len() <= 1 && asked.iter().sum::<usize>() < 1000, "only references: {asked:?}");
        // Another service with the same repository, by another reference.
        stage.fetch(Reference::Branch("main".into())).await.unwrap();
        assert!(posts().iter().sum::<usize>() < 1000);

        stage.repository.commit(&[("small.txt", "small")]);
        let fetched = stage.fetch(Reference::Default).await.unwrap();
        assert_eq!(paths(&fetched.content), ["compose.yaml", "large.bin", "small.txt"]);
        let cost: usize = posts().iter().sum();
        assert!(cost < 20_000, "only what is new: {cost}");
    }
}

#[tokio::test]
async fn what_is_too_large_as_a_difference_is_fetched_as_a_whole() {
    let stage = Stage::limited(Limits { object: 100_000, ..short() }).await;
    let commit = |last: &str| {
        let lines = |seed: u32| (0..15_000_u32).map(move |line| format!("{}\n", line.wrapping_mul(seed) % 99_991));
        let files = (1..=6).map(|file| (format!("file{file}"), lines(file * 7919).collect::<String>() + last));
        let files: Vec<_> = files.collect();
        assert!(files.iter().all(|(_, content)| (70_000..100_000).contains(&content.len())));
        let files: Vec<_> = files.iter().map(|(path, content)| (path.as_str(), content)).collect();
        stage.repository.commit(&files);
    };
    commit("one\n");
    stage.fetch(Reference::Default).await.unwrap();
    commit("two\n");
    stage.server.asked();
    let fetched = stage.fetch(Reference::Default).await.unwrap();
    assert!(text(&fetched.content, "file6").ends_with("two\n"));
    let asked = stage.server.asked();
    let posts = asked.iter().filter(|asked| asked.method == "POST").count();
    assert_eq!(posts, 3, "the references, a difference, and all: {asked:?}");
}

#[tokio::test]
async fn a_difference_to_something_large_is_read() {
    let stage = Stage::limited(Limits { object: 100_000, ..short() }).await;
    for last in ["one", "two", "three"] {
        let lines: String = (0..16_000_u32).map(|line| format!("{}\n", line.wrapping_mul(7919) % 99_991)).collect();
        assert!((90_000..100_000).contains(&lines.len()));
        stage.repository.commit(&[("large", lines + last)]);
        stage.server.asked();
        let fetched = stage.fetch(Reference::Default).await.unwrap();
        assert!(text(&fetched.content, "large").ends_with(last));
        assert_eq!(stage.server.asked().len(), 3);
    }
}

#[tokio::test]
async fn a_past_that_is_changed_is_noticed() {
    for (old, filter) in [(false, true), (false, false), (true, false), (true, true)] {
        let stage = Stage::new().await;
        stage.server.behave(|manners| manners.old = old);
        let repository = &stage.repository;
        repository.configure("uploadpack.allowFilter", if filter { "true" } else { "false" });
        for number in 0..5 {
            repository.commit(&[("number", number.to_string())]);
        }
        repository.git(&["tag", "v1.0.0"]);
        repository.push();
        let branch = stage.request(Reference::Default);
        let tag = stage.request(Reference::Tag("v1.0.0".into()));
        let before = stage.mirrors.fetch(&branch, None).await.unwrap();
        let tagged = stage.mirrors.fetch(&tag, None).await.unwrap();
        let again = stage.mirrors.fetch(&branch, Some(&known(&before))).await.unwrap();
        assert_eq!(again.rewritten, None);

        for number in 5..8 {
            repository.commit(&[("number", number.to_string())]);
        }
        let ahead = stage.mirrors.fetch(&branch, Some(&known(&before))).await.unwrap();
        assert_eq!(ahead.rewritten, None, "it went on (old {old}, filter {filter})");
        assert_eq!(text(&ahead.content, "number"), "7");

        repository.git(&["commit", "-q", "--amend", "-m", "amended"]);
        repository.push();
        let amended = stage.mirrors.fetch(&branch, Some(&known(&ahead))).await.unwrap();
        assert_eq!(amended.rewritten, Some(Rewritten::ForcePush), "old {old}, filter {filter}");

        repository.git(&["reset", "-q", "--hard", "HEAD~4"]);
        let other = repository.commit(&[("number", "other")]);
        let rewritten = stage.mirrors.fetch(&branch, Some(&known(&amended))).await.unwrap();
        assert_eq!((rewritten.rewritten, rewritten.commit), (Some(Rewritten::ForcePush), other));

        repository.git(&["reset", "-q", "--hard", "HEAD~1"]);
        repository.push();
        let rewound = stage.mirrors.fetch(&branch, Some(&known(&amended))).await.unwrap();
        assert_eq!(rewound.rewritten, Some(Rewritten::ForcePush));

        repository.git(&["tag", "-f", "v1.0.0"]);
        repository.push();
        let moved = stage.mirrors.fetch(&tag, Some(&known(&tagged))).await.unwrap();
        assert_eq!((moved.rewritten, moved.commit), (Some(Rewritten::MovedTag), repository.head()));
        let unrelated = stage.mirrors.fetch(&tag, Some(&known(&before))).await.unwrap();
        assert_eq!(unrelated.rewritten, None, "another reference was meant before");
    }
}

#[tokio::test]
async fn a_commit_that_the_server_has_forgotten_is_a_changed_past() {
    let stage = Stage::new().await;
    let before = stage.repository.commit(&[("a", "a")]);
    let first = stage.fetch(Reference::Default).await.unwrap();
    assert_eq!(first.commit, before);
    stage.repository.git(&["commit", "-q", "--amend", "-m", "amended"]);
    stage.repository.push();
    crate::repository::git(&stage.repository.bare, &["reflog", "expire", "--expire=now", "--all"]);
    crate::repository::git(&stage.repository.bare, &["gc", "-q", "--prune=now"]);
    let request = stage.request(Reference::Default);
    let fetched = stage.mirrors.fetch(&request, Some(&known(&first))).await.unwrap();
    assert_eq!(fetched.rewritten, Some(Rewritten::ForcePush));
}

#[tokio::test]
async fn who_has_other_credentials_has_another_mirror() {
    let stage = Stage::new().await;
    stage.server.behave(|manners| manners.password = Some(("git".into(), "right".into())));
    let mut request = stage.request(Reference::Default);
    refused(stage.mirrors.fetch(&request, None).await, Class::Refused, "wants credentials");
    request.credentials = basic("git", "wrong");
    let error = refused(stage.mirrors.fetch(&request, None).await, Class::Refused, "is wrong");
    assert!(!format!("{error:?}").contains("d3Jvbmc"), "{error:?}");
    request.credentials = basic("git", "right");
    let fetched = stage.mirrors.fetch(&request, None).await.unwrap();

    // What was fetched with credentials is not given to those who have none.
    let mut commit = stage.request(Reference::Commit(fetched.commit));
    refused(stage.mirrors.fetch(&commit, None).await, Class::Refused, "wants credentials");
    commit.credentials = request.credentials.clone();
    stage.server.asked();
    stage.mirrors.fetch(&commit, None).await.unwrap();
    assert!(stage.server.asked().is_empty());
}

#[tokio::test]
async fn who_asks_for_what_is_not_there_is_told_so() {
    for old in MANNERS {
        let stage = Stage::new().await;
        stage.server.behave(|manners| manners.old = old);
        stage.repository.git(&["tag", "v1.0.0"]);
        stage.repository.push();
        let missing = |reference| stage.fetch(reference);
        refused(missing(Reference::Branch("mian".into())).await, Class::Refused, r#"its branches are "main""#);
        refused(missing(Reference::Tag("v1.0.1".into())).await, Class::Refused, r#"its tags are "v1.0.0""#);
        refused(missing(Reference::Version("2".into())).await, Class::Refused, r#"its versions are "v1.0.0""#);
        let none = crate::request(&stage.server.url("none.git"), Reference::Default);
        refused(stage.mirrors.fetch(&none, None).await, Class::Refused, "none.git does not exist");
        let empty = stage.root.path().join("served/empty.git");
        fs::create_dir_all(&empty).unwrap();
        crate::repository::git(&empty, &["init", "-q", "--bare", "."]);
        let empty = crate::request(&stage.server.url("empty.git"), Reference::Default);
        refused(stage.mirrors.fetch(&empty, None).await, Class::Refused, "it has no branches");
    }
}

#[tokio::test]
async fn pointers_of_large_files_are_told() {
    let stage = Stage::new().await;
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
    stage.repository.commit(&[("model.bin", pointer), ("normal.txt", "normal")]);
    let fetched = stage.fetch(Reference::Default).await.unwrap();
    assert_eq!(fetched.notes, [Note::LargeFiles { count: 1, example: "model.bin".into() }]);
    assert_eq!(text(&fetched.content, "model.bin"), pointer);
}

#[tokio::test]
async fn a_server_in_trouble_is_waited_for() {
    let stage = Stage::new().await;
    for status in [429, 500, 502, 503] {
        stage.server.behave(|manners| manners.status = Some(status));
        refused(stage.fetch(Reference::Default).await, Class::Wait, &status.to_string());
    }
    stage.server.behave(|manners| *manners = Manners { dies_after: Some(100), ..Manners::default() });
    refused(stage.fetch(Reference::Default).await, Class::Wait, "cannot be reached");
    stage.server.behave(|manners| manners.dies_after = None);
    stage.fetch(Reference::Default).await.unwrap();
    let closed = crate::request("http://127.0.0.1:1/app.git", Reference::Default);
    refused(stage.mirrors.fetch(&closed, None).await, Class::Wait, "cannot be reached");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let mut limits = short();
    limits.times.idle = Duration::from_millis(500);
    let stage = Stage::limited(limits).await;
    stage.server.behave(|manners| manners.silent = true);
    refused(stage.fetch(Reference::Default).await, Class::Wait, "it sends nothing");
}

#[tokio::test]
async fn nothing_is_waited_for_longer_than_all_may_take() {
    let mut limits = short();
    limits.times.total = Duration::from_millis(500);
    let stage = Stage::limited(limits).await;
    stage.server.behave(|manners| manners.silent = true);
    refused(stage.fetch(Reference::Default).await, Class::Wait, "was not complete");
    // The mirror is free again soon.
    stage.server.behave(|manners| manners.silent = false);
    stage.fetch(Reference::Default).await.unwrap();
}

fn mirror(stage: &Stage) -> std::path::PathBuf {
    let entries = fs::read_dir(stage.root.path().join("mirrors")).unwrap();
    let mut folders = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    folders.next().unwrap()
}

#[tokio::test]
async fn a_mirror_that_is_damaged_is_made_anew() {
    let stage = Stage::new().await;
    stage.repository.commit(&[("a", "content of a\n"), ("b", "content of b\n")]);
    let whole = stage.fetch(Reference::Default).await.unwrap();
    let packs = || {
        let entries = fs::read_dir(mirror(&stage).join("objects/pack")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    type Harm = fn(&[u8]) -> Vec<u8>;
    let harms: [(&str, &str, Harm); 6] = [
        ("pack", "truncated", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("pack", "emptied", |_| Vec::new()),
        ("pack", "overwritten", |bytes| {
            let at = bytes.len() / 2;
            bytes.iter().enumerate().map(|(index, byte)| if index > at { !byte } else { *byte }).collect()
        }),
        ("idx", "truncated", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("idx", "emptied", |_| Vec::new()),
        ("idx", "overwritten", |bytes| bytes.iter().map(|byte| byte ^ 0x55).collect()),
    ];
    for (extension, what, harm) in harms {
        for path in packs().iter().filter(|path| path.extension().is_some_and(|found| found == extension)) {
            let bytes = fs::read(path).unwrap();
            fs::remove_file(path).unwrap();
            fs::write(path, harm(&bytes)).unwrap();
        }
        let again = stage.fetch(Reference::Default).await;
        let again = again.unwrap_or_else(|error| panic!("{extension} {what}: {error}"));
        assert_eq!(again.content.digest(), whole.content.digest(), "{extension} {what}");
    }
    for extension in ["pack", "idx"] {
        for path in packs().iter().filter(|path| path.extension().is_some_and(|found| found == extension)) {
            fs::remove_file(path).unwrap();
        }
        let again = stage.fetch(Reference::Default).await.unwrap();
        assert_eq!(again.content.digest(), whole.content.digest(), "{extension} removed");
    }
}

#[tokio::test]
async fn what_a_killed_fetch_leaves_is_swept() {
    let stage = Stage::new().await;
    stage.fetch(Reference::Default).await.unwrap();
    let folder = mirror(&stage).join("objects/pack");
    for name in [".tmpabc", "pack-1.pack", "pack-2.idx", "pack-3.keep"] {
        fs::write(folder.join(name), "half").unwrap();
    }
    stage.repository.commit(&[("a", "a")]);
    let fetched = stage.fetch(Reference::Default).await.unwrap();
    assert_eq!(paths(&fetched.content), ["a", "compose.yaml"]);
    let left = fs::read_dir(folder).unwrap().count();
    assert_eq!(left, 4, "two packs and their indices");
}

#[tokio::test]
async fn many_fetches_leave_few_packs() {
    let stage = Stage::new().await;
    for number in 0..45 {
        stage.repository.commit(&[("number", number.to_string())]);
        let fetched = stage.fetch(Reference::Default).await.unwrap();
        assert_eq!(text(&fetched.content, "number"), number.to_string());
    }
    let files = fs::read_dir(mirror(&stage).join("objects/pack")).unwrap().count();
    assert!(files <= 84, "{files}");
}

#[tokio::test]
async fn mirrors_that_nobody_uses_are_removed() {
    let stage = Stage::new().await;
    stage.fetch(Reference::Default).await.unwrap();
    assert_eq!(stage.mirrors.tidy(Duration::from_secs(3600)).await.unwrap(), 0);
    assert!(mirror(&stage).exists());
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(stage.mirrors.tidy(Duration::from_millis(10)).await.unwrap(), 1);
    stage.fetch(Reference::Default).await.unwrap();
}

#[tokio::test]
async fn a_folder_of_mirrors_belongs_to_one() {
    let stage = Stage::new().await;
    let second = Mirrors::new(stage.root.path().join("mirrors"), loopback(), Limits::default());
    refused(second.map(drop), Class::Wait, "mirrors");
}

#[tokio::test]
async fn many_may_fetch_at_once() {
    let stage = Stage::new().await;
    let fetches = (0..8).map(|_| stage.fetch(Reference::Default));
    let fetched = futures::future::join_all(fetches).await;
    assert!(fetched.iter().all(Result::is_ok));
    let packs = stage.server.asked().iter().filter(|asked| asked.method == "POST").count();
    assert_eq!(packs, 9, "references for each, and one pack");
}
