use super::*;

fn place(url: &str, credentials: Credentials) -> Place {
    Place { url: GitUrl::parse(url, true).unwrap(), credentials, ca: None, allow_insecure: false }
}

fn basic(user: &str, password: &str) -> Credentials {
    Credentials::Basic(Basic { user: user.into(), password: password.to_owned().into() })
}

#[test]
fn mirrors_are_shared_by_who_may_see_the_same() {
    let one = place("https://git.example/a", basic("git", "one")).key();
    assert_eq!(place("https://GIT.example/a/", basic("git", "one")).key(), one);
    for other in [
        place("https://git.example/a", basic("git", "other")),
        place("https://git.example/a", basic("gitone", "")),
        place("https://git.example/a", Credentials::None),
        place("http://git.example/a", basic("git", "one")),
        place("https://git.example/b", basic("git", "one")),
        Place { ca: Some("x".into()), ..place("https://git.example/a", basic("git", "one")) },
    ] {
        assert_ne!(other.key(), one, "{other:?}");
    }
    let ssh = |url| place(url, Credentials::None).key();
    assert_ne!(ssh("git@git.example:a"), ssh("git@git.example:/a"));
}

#[test]
fn credentials_do_not_leave_their_server() {
    let parent = place("https://git.example/a/b", basic("git", "one"));
    let has = |url| !matches!(parent.submodule(url).unwrap().credentials, Credentials::None);
    assert!(has("../c"));
    assert!(has("https://git.example/c"));
    assert!(!has("https://evil.example/c"));
    assert!(!has("https://git.example:444/c"));
    assert!(parent.submodule("git@git.example:c").unwrap().check().is_err());
}

#[test]
fn nothing_shows_secrets() {
    let place = place("https://git.example/a", basic("git", "hidden"));
    assert!(!format!("{place:?}").contains("hidden"));
}
