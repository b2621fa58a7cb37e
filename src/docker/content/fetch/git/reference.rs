//! Which commit of a repository is meant.

use std::fmt;

use gix_hash::ObjectId;
use semver::{Version, VersionReq};

use super::{
    super::{Error, Result},
    remote::Advertised,
};

/// How many names an error tells.
const TOLD: usize = 10;

const BRANCHES: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

/// Which commit of a repository is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The branch that the server says is the main one.
    Default,
    /// The last commit of a branch.
    Branch(String),
    /// The commit of a tag.
    Tag(String),
    /// A commit, by its full name in hexadecimal.
    Commit(String),
    /// The tag with the highest version in a range, as in `^1.2` or `>=1.2, <2`. Tags may begin with `v`. A version
    /// before a release counts only if the range names one.
    Version(String),
}

/// A reference, checked.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Default,
    Branch(String),
    Tag(String),
    Commit(ObjectId),
    Version(VersionReq),
}

/// What a reference stands for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The branch or the tag.
    pub name: String,
    /// What is to be asked for: of a tag with a message, the tag.
    pub object: ObjectId,
    pub commit: ObjectId,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Branch,
    Tag,
}

impl Reference {
    /// # Errors
    /// [`Error::Invalid`].
    pub(super) fn check(&self) -> Result<Wanted> {
        let invalid = |why: String| Err(Error::Invalid(why));
        match self {
            Self::Default => Ok(Wanted::Default),
            Self::Branch(name) => match proper(name, BRANCHES) {
                Some(name) => Ok(Wanted::Branch(name)),
                None => invalid(format!("{} is not the name of a branch", shorten(name))),
            },
            Self::Tag(name) => match proper(name, TAGS) {
                Some(name) => Ok(Wanted::Tag(name)),
                None => invalid(format!("{} is not the name of a tag", shorten(name))),
            },
            Self::Commit(name) => match name.parse() {
                Ok(commit) if name.len() == 40 => Ok(Wanted::Commit(commit)),
                Ok(_) | Err(_) => invalid(format!(
                    "{} is not the full name of a commit, which has 40 hexadecimal digits",
                    shorten(name)
                )),
            },
            Self::Version(range) => match VersionReq::parse(range) {
                Ok(range) => Ok(Wanted::Version(range)),
                Err(error) => invalid(format!(
                    "{} is not a range of versions such as ^1.2 or \">=1.2, <2\": {error}",
                    shorten(range)
                )),
            },
        }
    }
}

impl Wanted {
    /// Where the references begin that tell.
    pub(super) fn prefixes(&self) -> Vec<String> {
        match self {
            Self::Default => vec!["HEAD".to_owned()],
            Self::Branch(name) => vec![format!("{BRANCHES}{name}")],
            Self::Tag(name) => vec![format!("{TAGS}{name}")],
            Self::Version(_) => vec![TAGS.to_owned()],
            Self::Commit(_) => vec![BRANCHES.to_owned(), TAGS.to_owned()],
        }
    }

    /// Where the references begin among which there may be the one that was meant.
    pub(super) fn alternatives(&self) -> Vec<String> {
        match self {
            Self::Default | Self::Branch(_) => vec![BRANCHES.to_owned()],
            Self::Tag(_) | Self::Version(_) => vec![TAGS.to_owned()],
            Self::Commit(_) => Vec::new(),
        }
    }

    /// The one of the references that is meant. Commits are not looked for.
    pub(super) fn choose(&self, references: &[Advertised]) -> Option<Target> {
        let named = |prefix: &str, name: &str, kind| {
            let full = format!("{prefix}{name}");
            references.iter().find(|reference| reference.name == full).map(|found| target(found, name, kind))
        };
        match self {
            Self::Default => {
                let head = references.iter().find(|reference| reference.name == "HEAD")?;
                let name = head.target.as_deref().map_or("HEAD", |name| name.strip_prefix(BRANCHES).unwrap_or(name));
                Some(target(head, name, Kind::Branch))
            }
            Self::Branch(name) => named(BRANCHES, name, Kind::Branch),
            Self::Tag(name) => named(TAGS, name, Kind::Tag),
            Self::Version(range) => {
                let versions = references.iter().filter_map(|reference| {
                    let name = reference.name.strip_prefix(TAGS)?;
                    let version = version(name)?;
                    range.matches(&version).then_some((version, name, reference))
                });
                let highest = versions.max_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
                highest.map(|(_, name, reference)| target(reference, name, Kind::Tag))
            }
            Self::Commit(_) => None,
        }
    }

    /// The error that there is no such reference.
    pub(super) fn missing(&self, url: String, references: &[Advertised]) -> Error {
        let below = |prefix: &str| -> Vec<&str> {
            references.iter().filter_map(|reference| reference.name.strip_prefix(prefix)).collect()
        };
        let instead = match self {
            Self::Default | Self::Branch(_) => list("branches", below(BRANCHES), self.name()),
            Self::Tag(_) => list("tags", below(TAGS), self.name()),
            Self::Version(_) => {
                let mut versions: Vec<_> =
                    below(TAGS).into_iter().filter_map(|name| Some((version(name)?, name))).collect();
                versions.sort();
                list("versions", versions.into_iter().rev().map(|(_, name)| name).collect(), None)
            }
            Self::Commit(_) => "is it on no branch, or was it removed?".to_owned(),
        };
        Error::NoReference { url, wanted: self.to_string(), instead }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Branch(name) | Self::Tag(name) => Some(name),
            Self::Default | Self::Commit(_) | Self::Version(_) => None,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default branch"),
            Self::Branch(name) => write!(formatter, "branch {name:?}"),
            Self::Tag(name) => write!(formatter, "tag {name:?}"),
            Self::Commit(commit) => write!(formatter, "commit {commit}"),
            Self::Version(range) => write!(formatter, "tag with a version {range}"),
        }
    }
}

fn target(reference: &Advertised, name: &str, kind: Kind) -> Target {
    Target { name: name.to_owned(), object: reference.object, commit: reference.commit, kind }
}

fn version(tag: &str) -> Option<Version> {
    Version::parse(tag.strip_prefix(['v', 'V']).unwrap_or(tag)).ok()
}

/// A name of a reference by git's own rules, with or without what all of its kind begin with.
fn proper(name: &str, prefix: &str) -> Option<String> {
    let name = name.strip_prefix(prefix).unwrap_or(name);
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let allowed = |character: char| !character.is_control() && !" ~^:?*[\\".contains(character);
    let fine = name.len() <= 255
        && name.split('/').all(part)
        && name.chars().all(allowed)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && !name.starts_with('-')
        && name != "@";
    fine.then(|| name.to_owned())
}

fn shorten(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    format!("{short:?}")
}

/// Names, those first that are like the one that was meant.
fn list(kind: &str, mut names: Vec<&str>, like: Option<&str>) -> String {
    if names.is_empty() {
        return format!("it has no {kind}");
    }
    if let Some(like) = like {
        names.sort_by_cached_key(|name| (strsim::damerau_levenshtein(like, name), *name));
    }
    let more = names.len().saturating_sub(TOLD);
    let told: Vec<String> = names.iter().take(TOLD).map(|name| shorten(name)).collect();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("its {kind} are {}{more}", told.join(", "))
}

#[cfg(test)]
mod tests;
