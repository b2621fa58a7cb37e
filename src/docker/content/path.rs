//! Names as archives and git trees have them, and the one form in which they are kept.

use std::borrow::Cow;

use icu_casemap::CaseMapper;
use icu_normalizer::DecomposingNormalizer;

use super::{
    Limits,
    error::{BadLink, BadName, Error, shown},
};

/// How many bytes a part of a path may have on Linux.
const PART: usize = 255;

/// What a raw path names.
pub(super) enum Named {
    /// The root of the tree.
    Root,
    /// A path as [`super::Content`] has it.
    Inside(String),
}

/// Reads a path. Empty and `.` parts are left out; all else that could mean another place to somebody is refused.
/// Spaces and dots at the end of a part are kept: content is delivered to Linux only.
pub(super) fn clean(raw: &[u8], limits: &Limits) -> Result<Named, Error> {
    let Limits { depth, path_length, .. } = *limits;
    if raw.len() > path_length {
        return Err(Error::PathLength { path: shown(raw), most: path_length });
    }
    let bad = |why| Error::Name { path: shown(raw), why };
    let path = std::str::from_utf8(raw).map_err(|_| bad(BadName::NotText))?;
    if path.is_empty() {
        return Err(bad(BadName::Empty));
    }
    if path.contains(char::is_control) {
        return Err(bad(BadName::Control));
    }
    if is_absolute(path) {
        return Err(bad(BadName::Absolute));
    }
    if path.contains('\\') {
        return Err(bad(BadName::Backslash));
    }
    let mut parts = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match part {
            ".." => return Err(bad(BadName::Parent)),
            part if part.len() > PART => return Err(bad(BadName::Part)),
            part if is_git(part) => return Err(bad(BadName::Git)),
            part => parts.push(part),
        }
    }
    if parts.len() > usize::try_from(depth).unwrap_or(usize::MAX) {
        return Err(Error::Depth { path: shown(raw), most: depth });
    }
    Ok(if parts.is_empty() { Named::Root } else { Named::Inside(parts.join("/")) })
}

/// Reads what a link points to. Where that is, is judged when all entries are known.
pub(super) fn target<'a>(raw: &'a [u8], limits: &Limits) -> Result<&'a str, BadLink> {
    if raw.len() > limits.path_length {
        return Err(BadLink::Long);
    }
    let target = std::str::from_utf8(raw).map_err(|_| BadLink::NotText)?;
    match target {
        "" => Err(BadLink::Empty),
        target if target.contains(char::is_control) => Err(BadLink::Control),
        target if is_absolute(target) => Err(BadLink::Absolute),
        target if target.contains('\\') => Err(BadLink::Backslash),
        target => Ok(target),
    }
}

/// Whether a path is absolute on Linux or on Windows.
fn is_absolute(path: &str) -> bool {
    let mut characters = path.chars();
    match (characters.next(), characters.next()) {
        (Some('/' | '\\'), _) => true,
        (Some(letter), Some(':')) => letter.is_ascii_alphabetic(),
        _ => false,
    }
}

/// Whether a name is that of git's folder, or is taken for it by the file systems of macOS (which skips some characters)
/// or of Windows (which has short names and streams, and drops dots and spaces at the end).
fn is_git(name: &str) -> bool {
    let seen: String = name.chars().filter(|letter| !is_skipped(*letter)).take_while(|letter| *letter != ':').collect();
    let seen = seen.trim_end_matches(['.', ' ']);
    seen.eq_ignore_ascii_case(".git") || seen.eq_ignore_ascii_case("git~1")
}

/// Whether the older file system of macOS takes no notice of a character.
fn is_skipped(letter: char) -> bool {
    matches!(letter, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// What two names have in common that are one where case, the form of letters (Unicode's canonical caseless match),
/// characters that cannot be seen, or dots and spaces at the end do not count.
pub(super) fn alike(name: &str) -> Cow<'_, str> {
    let kept = match name.trim_end_matches(['.', ' ']) {
        "" => name,
        kept => kept,
    };
    if kept.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(kept);
    }
    let nfd = DecomposingNormalizer::new_nfd();
    let seen: String = kept.chars().filter(|letter| !is_skipped(*letter)).collect();
    let folded = CaseMapper::new().fold_string(&nfd.normalize(&seen)).into_owned();
    Cow::Owned(nfd.normalize(&folded).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_taken_for_gits_folder_are_known() {
        for name in [
            ".git",
            ".GIT",
            ".Git",
            "git~1",
            "GIT~1",
            ".git ",
            ".git.",
            ".git. .",
            ".git:",
            ".git::$INDEX_ALLOCATION",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".git\u{206f}",
            ".gi\u{202e}T",
        ] {
            assert!(is_git(name), "{name:?}");
        }
        for name in [".github", ".gitignore", ".gitmodules", "git", "git~2", ".git-blame", "x.git", "..git"] {
            assert!(!is_git(name), "{name:?}");
        }
    }

    #[test]
    fn names_alike_have_one_form() {
        for (one, other) in [
            ("README", "readme"),
            ("\u{e9}", "e\u{301}"),
            ("\u{c9}", "e\u{301}"),
            ("straße", "STRASSE"),
            ("ﬁle", "FILE"),
            ("\u{212a}", "k"),
            ("σ", "ς"),
            ("a. ", "A"),
            ("a\u{200d}b", "ab"),
        ] {
            assert_eq!(alike(one), alike(other), "{one} {other}");
        }
        for (one, other) in [("a", "b"), ("e", "é"), ("i", "ı"), ("...", "..."), (".a", "a")] {
            assert_eq!(alike(one) == alike(other), one == other, "{one} {other}");
        }
    }

    #[test]
    fn superfluous_parts_are_left_out() {
        for (raw, expected) in
            [("./a", "a"), ("a//b/", "a/b"), ("a/./b", "a/b"), ("a./ b", "a./ b"), ("ab:c", "ab:c"), ("...", "...")]
        {
            let Named::Inside(path) = clean(raw.as_bytes(), &Limits::default()).unwrap() else { panic!("{raw}") };
            assert_eq!(path, expected);
        }
        assert!(matches!(clean(b"./", &Limits::default()), Ok(Named::Root)));
    }
}
