//! Names and links that lead out of the tree, or that are not the same everywhere.

use super::Attack;
use crate::{
    tar_bytes::{self, entry, file, folder, long, pax, tar},
    zip_bytes::{self, item, zip},
};

/// Names, which are tried in ZIP and in tar.
fn names() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let bytes = |text: &str| text.as_bytes().to_vec();
    vec![
        ("parent", bytes("../x"), "has `..` in it"),
        ("parent after folders", bytes("a/../../b"), "has `..` in it"),
        ("parent that stays inside", bytes("a/../b"), "has `..` in it"),
        ("parent at the end", bytes("a/.."), "has `..` in it"),
        ("absolute", bytes("/etc/passwd"), "is absolute"),
        ("absolute twice", bytes("//etc/passwd"), "is absolute"),
        ("drive", bytes("C:/x"), "is absolute"),
        ("drive with backslash", bytes("C:\\x"), "is absolute"),
        ("drive without folder", bytes("c:x"), "is absolute"),
        ("UNC", bytes("\\\\server\\share\\x"), "is absolute"),
        ("backslash", bytes("a\\b"), "has a backslash"),
        ("parent with backslash", bytes("..\\..\\x"), "has a backslash"),
        ("escape sequence", bytes("a\u{1b}[2Jb"), "control character"),
        ("line end", bytes("a\nb"), "control character"),
        ("control of the second set", bytes("a\u{9b}b"), "control character"),
        ("delete", bytes("a\u{7f}"), "control character"),
        ("not UTF-8", b"caf\xe9".to_vec(), "is not UTF-8"),
        ("overlong slash", b"..\xc0\xafx".to_vec(), "is not UTF-8"),
        ("surrogate", b"a\xed\xa0\x80".to_vec(), "is not UTF-8"),
        ("git", bytes(".git/config"), "git's own folder"),
        ("git in a folder", bytes("a/.git/hooks/post-checkout"), "git's own folder"),
        ("git in capitals", bytes(".GIT/config"), "git's own folder"),
        ("git by its short name", bytes("git~1/config"), "git's own folder"),
        ("git with a skipped letter", bytes(".g\u{200c}it/config"), "git's own folder"),
        ("git with dots", bytes(".git. ./config"), "git's own folder"),
        ("git by a stream", bytes(".git::$INDEX_ALLOCATION/config"), "git's own folder"),
        ("nothing but dots", bytes("./."), "is empty"),
    ]
}

/// What links point to.
const TARGETS: [(&str, &str, &str); 8] = [
    ("absolute", "/etc/passwd", "is absolute"),
    ("drive", "C:/Windows", "is absolute"),
    ("parent", "../x", "leads out of the tree"),
    ("parent in between", "b/../../x", "leads out of the tree"),
    ("backslash", "..\\x", "has a backslash"),
    ("itself", "a", "leads in a circle"),
    ("through itself", "a/b", "leads in a circle"),
    ("control", "b\u{1}", "control character"),
];

/// Trees of links and files whose whole is the attack: `>` is between a link and its target, a `/` is at the end of a folder's name.
const TREES: [(&str, &[&str], &str); 19] = [
    ("a file behind a link out", &["a>/etc", "a/passwd"], "is absolute"),
    ("a file behind a link", &["b/", "a>b", "a/passwd"], "since `a` is a link"),
    ("a link over a folder with files", &["a/passwd", "a>b"], "`a` is there twice"),
    ("a link through another", &["a/b/", "c>a/b", "d>c/../../../x"], "leads out of the tree"),
    ("a link through a chain", &["a/b/c/", "l1>a/b/c", "l2>l1/..", "l3>l2/..", "l4>l3/../.."], "leads out of the tree"),
    ("a link that is deeper than it looks", &["a/b/", "x/y>../a", "z>x/y/../.."], "leads out of the tree"),
    ("two links in a circle", &["a>b", "b>a"], "leads in a circle"),
    ("three links in a circle", &["d/a>../b", "b>c/x", "c>d/a"], "leads in a circle"),
    ("a file twice", &["a", "a"], "`a` is there twice"),
    ("a file twice, written differently", &["a/b", "./a//b"], "is there twice"),
    ("a file, then a folder", &["a", "a/"], "`a` is there twice"),
    ("a folder, then a file", &["a/", "a"], "`a` is there twice"),
    ("a file as a folder", &["a", "a/b"], "since `a` is a file"),
    ("case", &["README", "readme"], "`README` and `readme` differ only"),
    ("case of folders", &["A/x", "a/y"], "`A` and `a` differ only"),
    ("composed and decomposed", &["caf\u{e9}", "cafe\u{301}"], "differ only"),
    ("sharp s", &["stra\u{df}e", "STRASSE"], "differ only"),
    ("a dot at the end", &["a", "A."], "differ only"),
    ("a letter that is skipped", &["ab", "a\u{200c}b"], "differ only"),
];

fn tar_tree(entries: &[&str]) -> Vec<u8> {
    let made = entries.iter().map(|entry| match entry.split_once('>') {
        Some((name, target)) => tar_bytes::link(name, target),
        None if entry.ends_with('/') => folder(entry),
        None => file(entry),
    });
    tar(&made.collect::<Vec<_>>())
}

fn zip_tree(entries: &[&str]) -> Vec<u8> {
    let made = entries.iter().map(|entry| match entry.split_once('>') {
        Some((name, target)) => zip_bytes::link(name, target),
        None if entry.ends_with('/') => item(entry.as_bytes(), b""),
        None => item(entry.as_bytes(), b"x"),
    });
    zip(&made.collect::<Vec<_>>())
}

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for (what, name, words) in names() {
        attacks.push((format!("zip name: {what}"), zip(&[item(&name, b"x")]), words));
        attacks.push((format!("tar name: {what}"), tar(&[entry(&name, b'0', b"x")]), words));
        attacks.push((format!("GNU name: {what}"), tar(&[long(b'L', &name), file("a")]), words));
        attacks.push((format!("pax name: {what}"), tar(&[pax(b'x', &[("path", &name)]), file("a")]), words));
    }
    for (what, target, words) in TARGETS {
        attacks.push((format!("zip link: {what}"), zip(&[zip_bytes::link("a", target)]), words));
        attacks.push((format!("tar link: {what}"), tar(&[tar_bytes::link("a", target)]), words));
        let lie = tar_bytes::link("a", "b");
        attacks.push((format!("GNU link: {what}"), tar(&[long(b'K', target.as_bytes()), lie.clone()]), words));
        let real = pax(b'x', &[("linkpath", target.as_bytes())]);
        attacks.push((format!("pax link: {what}"), tar(&[real, lie]), words));
    }
    for (what, entries, words) in TREES {
        attacks.push((format!("zip tree: {what}"), zip_tree(entries), words));
        attacks.push((format!("tar tree: {what}"), tar_tree(entries), words));
    }
    let chain: Vec<String> = (0..60).map(|number| format!("l{number:02}>l{:02}", number + 1)).collect();
    let chain: Vec<&str> = chain.iter().map(String::as_str).collect();
    attacks.push(("a long chain of links".into(), tar_tree(&chain), "through more than 40 links"));
    let doubling: Vec<String> = (0..30).map(|number| format!("l{number:02}>l{0:02}/../l{0:02}", number + 1)).collect();
    let doubling: Vec<&str> = doubling.iter().map(String::as_str).chain(["l30/"]).collect();
    attacks.push(("links that double at each step".into(), tar_tree(&doubling), "through more than 40 links"));
    attacks.push(("zip: NUL in a name".into(), zip(&[item(b"a\0.txt", b"x")]), "control character"));
    attacks.push(("zip: empty name".into(), zip(&[item(b"", b"x")]), "is empty"));
    attacks.push(("tar: empty name".into(), tar(&[entry(b"", b'0', b"x")]), "is empty"));
    attacks.push((
        "pax: NUL in a name".into(),
        tar(&[pax(b'x', &[("path", b"a\0b")]), file("a")]),
        "control character",
    ));
    attacks.push(("zip: empty link".into(), zip(&[zip_bytes::link("a", "")]), "leads nowhere"));
    attacks.push(("tar: empty link".into(), tar(&[tar_bytes::link("a", "")]), "leads nowhere"));
    attacks
}
