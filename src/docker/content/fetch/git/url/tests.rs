use proptest::prelude::*;

use super::*;

#[test]
fn the_usual_forms_are_read() {
    for (text, expected) in [
        ("https://github.com/a/b.git", "https://github.com/a/b.git"),
        ("HTTPS://GitHub.com/a/b", "https://github.com/a/b"),
        ("https://git.example:8443/a/b/", "https://git.example:8443/a/b/"),
        ("https://git.example/a%20b/c", "https://git.example/a%20b/c"),
        ("https://[2001:db8::1]/a", "https://[2001:db8::1]/a"),
        ("ssh://git@git.example/a/b.git", "ssh://git@git.example/a/b.git"),
        ("ssh://git@git.example:2222/a", "ssh://git@git.example:2222/a"),
        ("ssh://git@[2001:db8::1]:2222/a", "ssh://git@[2001:db8::1]:2222/a"),
        ("ssh://git@git.example/~/a", "git@git.example:a"),
        ("ssh://git@git.example/~other/a", "git@git.example:~other/a"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
        ("ssh://git@git.example:2222/~/a%20b", "ssh://git@git.example:2222/~/a%20b"),
        ("git@github.com:/srv/a", "ssh://git@github.com/srv/a"),
        ("org@vs-ssh.visualstudio.com:v3/org/a/a", "org@vs-ssh.visualstudio.com:v3/org/a/a"),
    ] {
        assert_eq!(GitUrl::parse(text, false).unwrap().to_string(), expected, "{text}");
    }
    assert!(GitUrl::parse("http://git.example/a", true).is_ok());
    let GitUrl::Ssh(url) = GitUrl::parse("git@h:a", false).unwrap() else { panic!() };
    assert_eq!(url.path, "a");
}

#[test]
fn everything_else_is_refused_with_the_reason() {
    let long = format!("https://git.example/{}", "a".repeat(LONGEST));
    for (text, why) in [
        ("", "empty"),
        (long.as_str(), "longer"),
        ("http://git.example/a", "not encrypted"),
        ("file:///etc/passwd", "files of the operator"),
        ("FILE:///etc", "files of the operator"),
        ("/etc", "files of the operator"),
        ("./a", "files of the operator"),
        ("../a", "files of the operator"),
        ("a", "files of the operator"),
        ("ext::sh -c touch% /tmp/x", "' '"),
        ("ext::sh%20-c", "helpers"),
        ("fd::17/foo", "helpers"),
        ("EXT::https://git.example/a", "helpers"),
        ("transport::address", "helpers"),
        ("git://git.example/a", "neither encrypted"),
        ("ftp://git.example/a", "ftp:// is not supported"),
        ("gopher://git.example/a", "gopher:// is not supported"),
        ("javascript://git.example/a", "not supported"),
        ("git+ssh://git@git.example/a", "not supported"),
        ("--upload-pack=touch${IFS}/tmp/x", "a dash"),
        ("-u", "a dash"),
        ("ssh://-oProxyCommand=x/a", "user is missing"),
        ("ssh://git@-oProxyCommand=x/a", "host is none"),
        ("ssh://-oProxyCommand@git.example/a", "user is none"),
        ("git@-oProxyCommand=x:a", "host is none"),
        ("-oProxyCommand=x@git.example:a", "a dash"),
        ("git@git.example:-upload-pack", "path begins with a dash"),
        ("git@git.example:--exec=x", "path begins with a dash"),
        ("ssh://git@git.example/~/-x", "path begins with a dash"),
        ("https://user:secret@git.example/a", "Secret"),
        ("https://token@git.example/a", "Secret"),
        ("https://:secret@git.example/a", "Secret"),
        ("ssh://git:secret@git.example/a", "Secret"),
        ("git:secret@git.example:a", "user is missing"),
        ("https://git.example/a\nHost: x", "'\\n'"),
        ("https://git.example/a\r\n", "'\\r'"),
        ("https://git.example/a\0", "'\\0'"),
        ("https://git.example/a%0ab", "control character"),
        ("https://git.example/a%00", "control character"),
        ("ssh://git@git.example/a%0a", "control character"),
        ("git@git.example:a\u{7f}", "\\u{7f}"),
        ("https://git.example/a\u{202f}b", "percent-encoded"),
        ("https://git.example/%ff", "not UTF-8"),
        ("https://git.example/a#main", "fragment"),
        ("https://git.example/a?x=y", "query"),
        ("ssh://git@git.example/a#main", "fragment"),
        ("ssh://git@git.example/a?x", "query"),
        ("https://git.example", "no path"),
        ("https://git.example//", "no path"),
        ("https:///a", "no path"),
        ("ssh://git@git.example", "no path"),
        ("ssh://git@git.example/", "no path"),
        ("git@git.example:", "no path"),
        ("ssh://git.example/a", "user is missing"),
        ("git.example:a", "user is missing"),
        ("ssh://git@git.example:0/a", "port"),
        ("ssh://git@git.example:65536/a", "port"),
        ("ssh://git@git.example:+22/a", "port"),
        ("ssh://git@git.example:22:22/a", "port"),
        ("ssh://git@[::1/a", "is none"),
        ("ssh://git@[::1]x/a", "host is none"),
        ("ssh://git@/a", "host is none"),
        ("ssh://@git.example/a", "user is none"),
        ("ssh://a;id@git.example/a", "user is none"),
        ("git@$(id):a", "host is none"),
        ("https:\\\\git.example\\a", "backslash"),
        ("C:\\repo", "backslash"),
    ] {
        let error = GitUrl::parse(text, false).unwrap_err().to_string();
        assert!(error.contains(why), "{text:?}: {error}");
        assert!(!error.contains("secret") && !error.contains("token"), "{error}");
    }
}

#[test]
fn submodules_may_be_relative() {
    for (parent, text, expected) in [
        ("https://git.example/a/b.git", "../c.git", Some("https://git.example/a/c.git")),
        ("https://git.example/a/b.git", "./c.git", Some("https://git.example/a/b.git/c.git")),
        ("https://git.example/a/b", "../../c/d", Some("https://git.example/c/d")),
        ("https://git.example/a/b/", "../c", Some("https://git.example/a/c")),
        ("https://git.example/a", "../../c", None),
        ("https://git.example/a", "../?x", Some("https://git.example/%3Fx")),
        ("git@git.example:a/b.git", "../c.git", Some("git@git.example:a/c.git")),
        ("git@git.example:b.git", "../c.git", Some("git@git.example:c.git")),
        ("ssh://git@git.example:2222/a/b", "../c", Some("ssh://git@git.example:2222/a/c")),
        ("https://git.example/a", "https://other.example/c", Some("https://other.example/c")),
        ("https://git.example/a", "git@other.example:c", Some("git@other.example:c")),
        ("https://git.example/a", "http://git.example/c", None),
        ("https://git.example/a", "/etc", None),
        ("https://git.example/a", "--upload-pack=x", None),
        ("https://git.example/a", "ext::sh", None),
        ("git@git.example:a/b", "../-x", Some("git@git.example:a/-x")),
        ("git@git.example:b", "../-x", None),
    ] {
        let found = GitUrl::parse(parent, false).unwrap().submodule(text, false);
        assert_eq!(found.ok().map(|url| url.to_string()).as_deref(), expected, "{text} in {parent}");
    }
}

#[test]
fn credentials_are_for_one_server() {
    let same =
        |one: &str, other: &str| GitUrl::parse(one, true).unwrap().same_server(&GitUrl::parse(other, true).unwrap());
    assert!(same("https://git.example/a", "https://GIT.example:443/b"));
    assert!(same("git@git.example:a", "ssh://git@git.example/b"));
    for (one, other) in [
        ("https://git.example/a", "http://git.example/a"),
        ("https://git.example/a", "https://git.example:8443/a"),
        ("https://git.example/a", "https://evil.example/a"),
        ("https://git.example/a", "git@git.example:a"),
        ("git@git.example:a", "ssh://git@git.example:2222/a"),
        ("git@git.example:a", "root@git.example:a"),
    ] {
        assert!(!same(one, other), "{one} {other}");
    }
}

proptest! {
    #[test]
    fn whatever_is_read_is_harmless(text in "(https://|ssh://|git@|)[ -~]{0,40}") {
        if let Ok(url) = GitUrl::parse(&text, false) {
            prop_assert!(!url.host().starts_with('-'));
            if let GitUrl::Ssh(SshUrl { user, path, .. }) = &url {
                prop_assert!(!user.starts_with('-') && !user.contains(':') && !path.starts_with('-'));
            }
            prop_assert_eq!(GitUrl::parse(&url.to_string(), false), Ok(url.clone()), "{}", url);
        }
    }
}
