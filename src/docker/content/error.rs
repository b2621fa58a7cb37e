//! Why content is refused.

use std::{fmt::Write, io};

/// Why content cannot be had. Paths are escaped and shortened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// All files together are too large.
    #[error("the files are larger than {most} bytes together: leave out what is not needed, or have the limit raised")]
    Size { most: u64 },
    /// One file is too large.
    #[error("`{path}` is larger than {most} bytes: leave it out, or have the limit raised")]
    FileSize { path: String, most: u64 },
    /// There are too many.
    #[error(
        "there are more than {most} files, folders and links: leave out what is not needed, or have the limit raised"
    )]
    Entries { most: u64 },
    /// Folders in folders in folders.
    #[error("the path `{path}` has more than {most} parts: move it up")]
    Depth { path: String, most: u32 },
    /// A long path.
    #[error("the path `{path}` is longer than {most} bytes: shorten it")]
    PathLength { path: String, most: usize },
    /// A bomb, most likely.
    #[error(
        "the archive unpacks to more than {most} times its size: leave out what compresses so well, or have the limit raised"
    )]
    Ratio { most: u64 },
    /// A name that means something else elsewhere, or that leads out of the tree.
    #[error("the path `{path}` {why}")]
    Name { path: String, why: BadName },
    /// A link that cannot be delivered.
    #[error("the link `{path}` to `{target}` {why}")]
    Link { path: String, target: String, why: BadLink },
    /// Two entries of one name: which of them counts is everyone's guess.
    #[error("`{path}` is there twice: keep one of them")]
    Twice { path: String },
    /// Something is to be in what is no folder.
    #[error("`{path}` cannot be there, since `{parent}` is {kind}: rename one of them")]
    NoFolder { path: String, parent: String, kind: &'static str },
    /// Two names that are one on some file systems.
    #[error("`{one}` and `{other}` differ only in the case or the form of their letters: rename one of them")]
    Alike { one: String, other: String },
    /// A line of a `.dockerignore`.
    #[error("`{pattern}` of .dockerignore is no pattern: correct it")]
    Pattern { pattern: String },
    /// Nothing is at the path.
    #[error("there is nothing at `{path}`")]
    Missing { path: String },
    /// Something else is at the path.
    #[error("`{path}` is {found}, and {wanted} is needed")]
    Kind { path: String, found: &'static str, wanted: &'static str },
    /// The file is no archive that is read.
    #[error("{found}: use ZIP, tar or tar.gz")]
    Format { found: &'static str },
    /// The archive contradicts itself, or ends too early.
    #[error("the archive is damaged: {what}: pack it again")]
    Damaged { what: String },
    /// An entry of an archive is of a kind that is never delivered.
    #[error("`{path}` is {what}")]
    Refused { path: String, what: &'static str },
    /// What the content comes from cannot be read just now.
    #[error("the content cannot be read: {0}")]
    Source(#[source] io::Error),
    /// The temporary file in which content is kept cannot be used just now.
    #[error("the content cannot be kept in a temporary file: {0}")]
    Spool(#[source] io::Error),
}

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("is empty: give it a name")]
    Empty,
    #[error("is not UTF-8: pack it again with names in UTF-8")]
    NotText,
    #[error("is absolute: pack it again with relative paths")]
    Absolute,
    #[error("has `..` in it and may lead out of the tree: pack it again without")]
    Parent,
    #[error("has a backslash in it, which is a separator on some systems: use `/`")]
    Backslash,
    #[error("has a control character in it: rename it")]
    Control,
    #[error("has a part longer than 255 bytes: shorten it")]
    Part,
    #[error("is, or is taken for, git's own folder: leave `.git` out")]
    Git,
    #[error("ends with `/` but is no folder: rename it")]
    Slash,
}

/// What is wrong with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLink {
    #[error("leads nowhere: remove it")]
    Empty,
    #[error("is not UTF-8: make it again with a name in UTF-8")]
    NotText,
    #[error("is absolute: make it relative")]
    Absolute,
    #[error("has a backslash in it, which is a separator on some systems: use `/`")]
    Backslash,
    #[error("has a control character in it: make it again without")]
    Control,
    #[error("is too long: shorten it")]
    Long,
    #[error("leads out of the tree: copy what it points to into the tree")]
    Leaves,
    #[error("leads in a circle: remove it")]
    Circle,
    #[error("leads through more than 40 links: point it to its end")]
    Chain,
}

impl Error {
    /// Whether the same content may do another time: the disk or the connection is to blame, not the content.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Source(_) | Self::Spool(_))
    }

    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    /// What a reader of content said. Decoders speak of damage by the kind of their error.
    pub(super) fn of_reader(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => Self::damaged("it ends too early"),
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Self::damaged(error.to_string()),
                _ => Self::Source(error),
            },
        }
    }
}

/// How many characters of a name are shown.
const SHOWN: usize = 80;

/// A raw name as a message may hold it: escaped, and without its middle where it is long.
pub(super) fn shown(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        text.extend(chunk.valid().escape_debug());
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    let length = text.chars().count();
    if length <= SHOWN {
        return text;
    }
    let end: String = text.chars().skip(length - SHOWN / 3).collect();
    let start: String = text.chars().take(SHOWN - SHOWN / 3 - 1).collect();
    format!("{start}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_escaped_and_short() {
        for (name, expected) in [
            (b"a b/\xc3\xa9".as_slice(), "a b/é"),
            (b"a\x1b[31m\0", "a\\u{1b}[31m\\0"),
            (b"\xff\xfea", "\\xff\\xfea"),
            ("\u{202e}gpj.exe".as_bytes(), "\\u{202e}gpj.exe"),
        ] {
            assert_eq!(shown(name), expected);
        }
        let long = shown("é".repeat(5000).as_bytes());
        assert_eq!((long.chars().count(), long.contains('…')), (80, true));
    }

    #[test]
    fn what_a_decoder_says_is_told_from_what_a_disk_says() {
        for (error, passing) in [
            (io::Error::other(Error::Ratio { most: 1 }), false),
            (io::ErrorKind::UnexpectedEof.into(), false),
            (io::Error::new(io::ErrorKind::InvalidInput, "corrupt"), false),
            (io::Error::other("the disk is on fire"), true),
        ] {
            assert_eq!(Error::of_reader(error).is_passing(), passing);
        }
    }
}
