//! References to images.

use std::{fmt, str::FromStr, sync::LazyLock};

use regex::Regex;

/// The registry of references that name none.
const DEFAULT_REGISTRY: &str = "docker.io";

/// What a part of a reference looks like. Making one costs much more than asking it, and all are asked in every reconcile.
type Pattern = LazyLock<Option<Regex>>;

static REPOSITORY: Pattern = LazyLock::new(|| {
    let host = r"(?:localhost|[A-Za-z0-9][A-Za-z0-9.-]*(?:\.[A-Za-z0-9-]+|:[0-9]+)|\[[0-9A-Fa-f:]+\](?::[0-9]+)?)";
    let part = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*";
    Regex::new(&format!("^(?:{host}/)?{part}(?:/{part})*$")).ok()
});
static TAG: Pattern = LazyLock::new(|| Regex::new("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$").ok());
static DIGEST: Pattern = LazyLock::new(|| Regex::new("^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-f]{32,}$").ok());

/// A reference to an image, always with a tag or a digest: without one, an engine pulls every tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Without tag and digest, as it was written: `nginx`, `registry.example/team/app`.
    pub repository: String,
    pub tag: Option<String>,
    /// `sha256:…`; it decides, and a tag beside it says nothing.
    pub digest: Option<String>,
}

/// A text that is no reference to an image.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no reference to an image, such as nginx:1.29 or registry.example:5000/team/app@sha256:…")]
pub struct InvalidReference(String);

impl Reference {
    /// The registry that has the image: `docker.io`, `registry.example:5000`.
    pub fn registry(&self) -> &str {
        match self.repository.split_once('/') {
            // As Docker tells a host from the first part of a path.
            Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
            _ => DEFAULT_REGISTRY,
        }
    }

    /// The repository with its registry, as policies compare it: `docker.io/library/nginx`.
    pub fn full_repository(&self) -> String {
        let registry = self.registry();
        let path = match self.repository.strip_prefix(registry).and_then(|rest| rest.strip_prefix('/')) {
            Some(path) => path,
            None => &self.repository,
        };
        if registry == DEFAULT_REGISTRY && !path.contains('/') {
            format!("{registry}/library/{path}")
        } else {
            format!("{registry}/{path}")
        }
    }

    /// What is to be pulled of the repository: the digest, or the tag.
    pub(super) fn version(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let invalid = || InvalidReference(text.to_owned());
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        // A colon before a slash is a port's.
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (name, None),
        };
        let fits = |pattern: &Pattern, text: &str| pattern.as_ref().is_some_and(|pattern| pattern.is_match(text));
        let proper = fits(&REPOSITORY, repository)
            && tag.is_none_or(|tag| fits(&TAG, tag))
            && digest.is_none_or(|digest| fits(&DIGEST, digest));
        if !proper {
            return Err(invalid());
        }
        let tag = match (tag, digest) {
            (None, None) => Some("latest"),
            (tag, _) => tag,
        };
        Ok(Self { repository: repository.to_owned(), tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, tag, digest } = self;
        out.write_str(repository)?;
        if let Some(tag) = tag {
            write!(out, ":{tag}")?;
        }
        if let Some(digest) = digest {
            write!(out, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_reference_gets_the_tag_and_registry_it_lacks() {
        for (text, shown, full) in [
            ("nginx", "nginx:latest", "docker.io/library/nginx"),
            ("nginx:1.29", "nginx:1.29", "docker.io/library/nginx"),
            ("team/app", "team/app:latest", "docker.io/team/app"),
            ("docker.io/nginx", "docker.io/nginx:latest", "docker.io/library/nginx"),
            ("localhost/app:1", "localhost/app:1", "localhost/app"),
            ("127.0.0.1:5000/team/app", "127.0.0.1:5000/team/app:latest", "127.0.0.1:5000/team/app"),
            ("registry.example/a__b/c-d:v1.2_3", "registry.example/a__b/c-d:v1.2_3", "registry.example/a__b/c-d"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!((reference.to_string().as_str(), reference.full_repository().as_str()), (shown, full));
        }
        let pinned: Reference = format!("nginx:1.29@{DIGEST}").parse().unwrap();
        assert_eq!((pinned.tag.as_deref(), pinned.version()), (Some("1.29"), DIGEST));
        let pinned: Reference = format!("nginx@{DIGEST}").parse().unwrap();
        assert_eq!((pinned.tag.as_deref(), pinned.version()), (None, DIGEST));
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            "Nginx",
            "nginx:",
            "a//b",
            "../etc",
            "nginx@sha256:12",
            "a b",
            "nginx:1?x=1",
            "nginx:é",
            "/nginx",
            "-a",
            "a/",
        ] {
            assert_eq!(text.parse::<Reference>(), Err(InvalidReference(text.into())));
        }
    }
}
