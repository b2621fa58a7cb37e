//! Where a repository is: the forms of URLs that are fetched from, and no others.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use reqwest::Url;

use crate::docker::{
    content::fetch::http::{host, shown},
    engine::HostPort,
};

/// In bytes.
const LONGEST: usize = 2048;

/// What has a meaning of its own in `ssh://` URLs, or cannot be there.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'\\');

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitUrl {
    /// `https://host/path`, or `http://host/path`.
    Http(Url),
    /// `ssh://user@host/path`, or `user@host:path`.
    Ssh(SshUrl),
}

/// A repository behind SSH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshUrl {
    /// Who is to be let in.
    pub user: String,
    /// By whom.
    pub at: HostPort,
    /// As the server takes it: relative to the user's home if it does not begin with a slash.
    pub path: String,
}

/// A text that is no URL to fetch from. The message says why, and what to do; it does not repeat the text, which may
/// hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the URL of a repository (https://host/path or ssh://user@host/path): {0}")]
pub struct InvalidUrl(pub(super) String);

impl GitUrl {
    /// Reads a URL. Plain HTTP is refused unless insecure ways are allowed.
    ///
    /// # Errors
    /// [`InvalidUrl`].
    pub fn parse(text: &str, allow_insecure: bool) -> Result<Self, InvalidUrl> {
        if text.len() > LONGEST {
            return refuse(format!("it is longer than {LONGEST} bytes"));
        }
        if text.is_empty() {
            return refuse("it is empty");
        }
        if text.starts_with('-') {
            return refuse("it begins with a dash, as options of a program do");
        }
        if let Some(odd) = text.chars().find(|character| character.is_control() || character.is_whitespace()) {
            return refuse(format!("it holds {odd:?}, which must be percent-encoded if it is meant"));
        }
        if text.contains('\\') {
            return refuse("it holds a backslash");
        }
        let before_slash = text.split_once('/').map_or(text, |(before, _)| before);
        match text.split_once("://") {
            Some((scheme, rest)) if before_slash.ends_with(':') && !scheme.contains(':') => {
                match scheme.to_ascii_lowercase().as_str() {
                    "https" => http(text),
                    "http" if allow_insecure => http(text),
                    "http" => refuse("it is not encrypted; use https://, or allow insecure ways"),
                    "ssh" => ssh(rest),
                    "git" => refuse("git:// is neither encrypted nor authenticated; use https://"),
                    "file" => refuse("files of the operator are not fetched"),
                    other => refuse(format!("{} is not supported", shorten(other))),
                }
            }
            _ if before_slash.contains("::") => refuse("helpers (as in ext::…) are not run"),
            _ => match before_slash.split_once(':') {
                Some((place, _)) if place.contains('@') => scp(text),
                Some(_) => refuse("a user is missing, as in git@host:path"),
                None => refuse("files of the operator are not fetched"),
            },
        }
    }

    /// The host, with the port if it is not the usual one.
    pub fn host(&self) -> String {
        match self {
            Self::Http(url) => host(url),
            Self::Ssh(SshUrl { at: HostPort { host, port: 22 }, .. }) => host.clone(),
            Self::Ssh(SshUrl { at: HostPort { host, port }, .. }) => format!("{host}:{port}"),
        }
    }

    /// Whether credentials of one are meant for the other too.
    pub(super) fn same_server(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(one), Self::Http(other)) => one.origin() == other.origin(),
            (Self::Ssh(one), Self::Ssh(other)) => one.user == other.user && one.at == other.at,
            (Self::Http(_), Self::Ssh(_)) | (Self::Ssh(_), Self::Http(_)) => false,
        }
    }

    /// Reads the URL of a submodule, which may be relative to the repository it is in.
    ///
    /// # Errors
    /// [`InvalidUrl`].
    pub(super) fn submodule(&self, text: &str, allow_insecure: bool) -> Result<Self, InvalidUrl> {
        if !(text.starts_with("./") || text.starts_with("../")) {
            return Self::parse(text, allow_insecure);
        }
        let mut base = match self {
            Self::Http(url) => url.path().trim_end_matches('/'),
            Self::Ssh(url) => url.path.trim_end_matches('/'),
        };
        let mut rest = text;
        loop {
            if let Some(below) = rest.strip_prefix("./") {
                rest = below;
            } else if let Some(below) = rest.strip_prefix("../") {
                rest = below;
                base = match base.rsplit_once('/') {
                    Some((folder, _)) => folder,
                    None if base.is_empty() => return refuse("it leads out of its server"),
                    None => "",
                };
            } else {
                break;
            }
        }
        // A path that is relative to the user's home stays so.
        let path = if base.is_empty() && !self.is_rooted() { rest.to_owned() } else { format!("{base}/{rest}") };
        match self {
            Self::Http(url) => {
                let mut url = url.clone();
                url.set_path(&path);
                Self::parse(url.as_str(), allow_insecure || url.scheme() == "http")
            }
            Self::Ssh(SshUrl { user, at: HostPort { host, port }, .. }) => entry(user, host, *port, path),
        }
    }

    fn is_rooted(&self) -> bool {
        match self {
            Self::Http(_) => true,
            Self::Ssh(url) => url.path.starts_with('/'),
        }
    }
}

impl fmt::Display for GitUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => formatter.write_str(&shown(url)),
            Self::Ssh(SshUrl { user, at: HostPort { host, port: 22 }, path })
                if !path.starts_with('/') && !host.contains(':') && !path.contains(char::is_whitespace) =>
            {
                write!(formatter, "{user}@{host}:{path}")
            }
            Self::Ssh(SshUrl { user, at: HostPort { host, port }, path }) => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                let port = if *port == 22 { String::new() } else { format!(":{port}") };
                let home = if path.starts_with('/') { "" } else { "/~/" };
                write!(formatter, "ssh://{user}@{host}{port}{home}{}", utf8_percent_encode(path, ENCODED))
            }
        }
    }
}

fn refuse<T>(why: impl Into<String>) -> Result<T, InvalidUrl> {
    Err(InvalidUrl(why.into()))
}

fn shorten(text: &str) -> String {
    text.chars().take(20).filter(char::is_ascii_alphanumeric).collect::<String>() + "://"
}

fn http(text: &str) -> Result<GitUrl, InvalidUrl> {
    let url = Url::parse(text).map_err(|error| InvalidUrl(error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("it holds credentials, which everybody can read here; put them into a Secret");
    }
    if url.fragment().is_some() {
        return refuse("it has a fragment (#…); name a branch, a tag or a commit in its own field");
    }
    if url.query().is_some() {
        return refuse("it has a query (?…)");
    }
    if url.host_str().is_none_or(|host| host.is_empty() || host.starts_with('-')) {
        return refuse("its host is none");
    }
    check_path(&decode(url.path())?)?;
    Ok(GitUrl::Http(url))
}

fn ssh(rest: &str) -> Result<GitUrl, InvalidUrl> {
    let Some((place, path)) = rest.split_once('/') else { return refuse("it has no path") };
    let Some((user, at)) = place.rsplit_once('@') else {
        return refuse("a user is missing, as in ssh://git@host/path");
    };
    let (host, port) = match at.strip_prefix('[').and_then(|at| at.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => match port.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None => return refuse("its host is none"),
        },
        None => match at.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (at, None),
        },
    };
    let port = match port {
        None => 22,
        Some(port) if port.bytes().all(|digit| digit.is_ascii_digit()) => match port.parse() {
            Ok(port) if port != 0 => port,
            _ => return refuse("its port is none"),
        },
        Some(_) => return refuse("its port is none"),
    };
    if path.contains('#') || path.contains('?') {
        return refuse("it has a query or a fragment; name a branch, a tag or a commit in its own field");
    }
    // As git does: `/~user/…` is for the server to expand.
    let path = decode(path)?;
    let path = match path.strip_prefix("~/") {
        Some(below) => below.to_owned(),
        None if path.starts_with('~') => path,
        None => format!("/{path}"),
    };
    entry(user, host, port, path)
}

fn scp(text: &str) -> Result<GitUrl, InvalidUrl> {
    let Some((place, path)) = text.split_once(':') else { return refuse("it has no path") };
    let Some((user, host)) = place.rsplit_once('@') else { return refuse("a user is missing") };
    entry(user, host, 22, path.strip_prefix("~/").unwrap_or(path).to_owned())
}

fn entry(user: &str, host: &str, port: u16, path: String) -> Result<GitUrl, InvalidUrl> {
    if user.contains(':') {
        return refuse("it holds a password, which everybody can read here; put a key into a Secret");
    }
    let plain = |text: &str, more: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.chars().all(|character| character.is_ascii_alphanumeric() || more.contains(character))
    };
    if !plain(user, "._-+@") {
        return refuse("its user is none");
    }
    let address = host.parse::<std::net::Ipv6Addr>().is_ok();
    if !address && !plain(host, "._-") {
        return refuse("its host is none");
    }
    check_path(&path)?;
    let host = host.to_ascii_lowercase();
    Ok(GitUrl::Ssh(SshUrl { user: user.to_owned(), at: HostPort { host, port }, path }))
}

fn decode(path: &str) -> Result<String, InvalidUrl> {
    match percent_decode_str(path).decode_utf8() {
        Ok(path) => Ok(path.into_owned()),
        Err(_) => refuse("its path is not UTF-8"),
    }
}

fn check_path(path: &str) -> Result<(), InvalidUrl> {
    if path.trim_matches('/').is_empty() {
        return refuse("it has no path");
    }
    if path.starts_with('-') {
        return refuse("its path begins with a dash, as options of a program do");
    }
    if path.chars().any(char::is_control) {
        return refuse("its path holds a control character");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
