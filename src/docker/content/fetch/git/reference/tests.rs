use super::*;

fn id(digit: u8) -> ObjectId {
    ObjectId::from_bytes_or_panic(&[digit; 20])
}

fn references() -> Vec<Advertised> {
    let one = |name: &str, object: u8, commit: u8, target: Option<&str>| Advertised {
        name: name.into(),
        object: id(object),
        commit: id(commit),
        target: target.map(str::to_owned),
    };
    vec![
        one("HEAD", 1, 1, Some("refs/heads/main")),
        one("refs/heads/main", 1, 1, None),
        one("refs/heads/maintenance/1.x", 2, 2, None),
        one("refs/tags/v1.2.3", 13, 3, None),
        one("refs/tags/v1.10.0", 4, 4, None),
        one("refs/tags/1.11.0-rc.1", 5, 5, None),
        one("refs/tags/v2.0.0", 6, 6, None),
        one("refs/tags/v3.0.0-beta", 7, 7, None),
        one("refs/tags/nightly", 8, 8, None),
    ]
}

#[test]
fn references_are_found() {
    for (reference, expected) in [
        (Reference::Default, Some(("main", 1, 1))),
        (Reference::Branch("main".into()), Some(("main", 1, 1))),
        (Reference::Branch("refs/heads/maintenance/1.x".into()), Some(("maintenance/1.x", 2, 2))),
        (Reference::Branch("mai".into()), None),
        (Reference::Tag("v1.2.3".into()), Some(("v1.2.3", 13, 3))),
        (Reference::Tag("main".into()), None),
        (Reference::Version("1".into()), Some(("v1.10.0", 4, 4))),
        (Reference::Version("~1.2".into()), Some(("v1.2.3", 13, 3))),
        (Reference::Version("*".into()), Some(("v2.0.0", 6, 6))),
        (Reference::Version(">=1.11.0-rc.0, <2".into()), Some(("1.11.0-rc.1", 5, 5))),
        (Reference::Version("3.0.0-alpha".into()), Some(("v3.0.0-beta", 7, 7))),
        (Reference::Version(">=1.2, <1.10".into()), Some(("v1.2.3", 13, 3))),
        (Reference::Version("4".into()), None),
    ] {
        let found = reference.check().unwrap().choose(&references());
        let found = found.as_ref().map(|found| (found.name.as_str(), found.object, found.commit));
        assert_eq!(found, expected.map(|(name, object, commit)| (name, id(object), id(commit))), "{reference:?}");
    }
}

#[test]
fn what_is_no_reference_is_refused() {
    for reference in [
        Reference::Branch(String::new()),
        Reference::Branch("-x".into()),
        Reference::Branch("--upload-pack=x".into()),
        Reference::Branch("a..b".into()),
        Reference::Branch("a b".into()),
        Reference::Branch("a\nb".into()),
        Reference::Branch("a*".into()),
        Reference::Branch("a.lock".into()),
        Reference::Branch("/a".into()),
        Reference::Branch("a/".into()),
        Reference::Branch("a".repeat(256)),
        Reference::Tag("a~1".into()),
        Reference::Tag("v1^{}".into()),
        Reference::Tag("a@{1}".into()),
        Reference::Commit("abc123".into()),
        Reference::Commit("main".into()),
        Reference::Commit("0".repeat(64)),
        Reference::Version("latest".into()),
        Reference::Version(">=".into()),
    ] {
        let error = reference.check().unwrap_err().to_string();
        assert!(error.len() < 250, "{error}");
    }
}

#[test]
fn who_asks_for_what_is_not_there_is_told_what_is() {
    let says = |reference: Reference| {
        reference.check().unwrap().missing("https://git.example/a".into(), &references()).to_string()
    };
    let text = says(Reference::Branch("mian".into()));
    assert!(text.contains(r#"no branch "mian"; its branches are "main", "maintenance/1.x""#), "{text}");
    let text = says(Reference::Tag("v1.2.4".into()));
    assert!(text.contains(r#"its tags are "v1.2.3""#), "{text}");
    let text = says(Reference::Version("4".into()));
    assert!(text.contains(r#"its versions are "v3.0.0-beta", "v2.0.0", "1.11.0-rc.1""#), "{text}");
    let empty = Wanted::Default.missing("https://git.example/a".into(), &[]).to_string();
    assert!(empty.contains("it has no branches"), "{empty}");
}
