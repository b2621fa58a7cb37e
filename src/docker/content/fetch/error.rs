//! What can go wrong, and what it means.

use std::{error::Error as StdError, io, time::Duration};

use super::{address::Forbidden, git::InvalidUrl};
use crate::docker::content;

/// Why nothing was fetched. No message holds credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is none that is fetched from.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// A host leads to where nobody may go.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Nobody answers, or the connection broke.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        /// With the port, if it is not the usual one.
        host: String,
        /// What happened.
        reason: String,
    },
    /// It takes too long.
    #[error("{host} did not finish: {what} for {after:?}")]
    Timeout {
        /// With the port, if it is not the usual one.
        host: String,
        /// What was waited for.
        what: &'static str,
        /// For how long.
        after: Duration,
    },
    /// The server is in trouble, or wants to be left alone.
    #[error("{host} answers with HTTP status {status}")]
    Busy {
        /// With the port, if it is not the usual one.
        host: String,
        /// 429, or from 500 on.
        status: u16,
    },
    /// The server cannot prove who it is.
    #[error("{host} is not trusted: {reason}")]
    NotTrusted {
        /// With the port, if it is not the usual one.
        host: String,
        /// What is wrong with its certificate or key.
        reason: String,
    },
    /// The server refuses the credentials, or wants some.
    #[error("{host} refuses access: {reason}")]
    NotAdmitted {
        /// With the port, if it is not the usual one.
        host: String,
        /// What to do.
        reason: String,
    },
    /// There is nothing at the URL.
    #[error("{url} does not exist{hint}")]
    NotFound {
        /// Without a query.
        url: String,
        /// What else could be the matter, or nothing.
        hint: &'static str,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{url} has no {wanted}; {instead}")]
    NoReference {
        /// The repository.
        url: String,
        /// As in `branch "main"`.
        wanted: String,
        /// What there is.
        instead: String,
    },
    /// A server sends us elsewhere, in a way that is not followed.
    #[error("{host} redirects to {to}, which is not followed: {reason}")]
    Redirect {
        /// With the port, if it is not the usual one.
        host: String,
        /// Without a query.
        to: String,
        /// Why not.
        reason: &'static str,
    },
    /// Something is larger than it may be.
    #[error("{what} is larger than {limit} {unit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// What is allowed.
        limit: u64,
        /// Of what.
        unit: &'static str,
    },
    /// A download is not what it should be.
    #[error("{url} has the SHA-256 {got}, expected is {expected}")]
    Digest {
        /// Without a query.
        url: String,
        /// In hexadecimal.
        expected: String,
        /// In hexadecimal.
        got: String,
    },
    /// The server does not speak as a server of this kind does.
    #[error("{host} does not answer as expected: {reason}")]
    Protocol {
        /// With the port, if it is not the usual one.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// A submodule cannot be had.
    #[error("submodule {path}: {error}")]
    Submodule {
        /// Where it is in the repository.
        path: String,
        /// Why.
        error: Box<Error>,
    },
    /// What was fetched is no content that can be delivered.
    #[error(transparent)]
    Content(#[from] content::Error),
    /// The operator's own disk.
    #[error("the cache of repositories cannot be used: {0}")]
    Storage(io::Error),
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again: it may pass by itself.
    Wait,
    /// Somebody has to change something at the server, or the credentials; try again now and then.
    Refused,
    /// It cannot succeed as long as what is asked for stays the same.
    Invalid,
}

impl Error {
    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Busy { .. } | Self::Storage(_) => Class::Wait,
            Self::NotTrusted { .. }
            | Self::NotAdmitted { .. }
            | Self::NotFound { .. }
            | Self::NoReference { .. }
            | Self::Protocol { .. } => Class::Refused,
            Self::Url(_)
            | Self::Forbidden(_)
            | Self::Invalid(_)
            | Self::Redirect { .. }
            | Self::TooLarge { .. }
            | Self::Digest { .. } => Class::Invalid,
            Self::Content(error) if error.is_passing() => Class::Wait,
            Self::Content(_) => Class::Invalid,
            Self::Submodule { error, .. } => error.class(),
        }
    }
}

/// Finds an error of a type among the causes of another.
pub(super) fn cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // The source of an I/O error is the source of what it wraps, not what it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|wrapped| cause(wrapped)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error with all its causes, in one line.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        // Many errors repeat what caused them.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_found_however_they_are_wrapped() {
        let one = Forbidden { host: "a".into(), address: "127.0.0.1".parse().unwrap(), kind: "a loopback address" };
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::PermissionDenied, one.clone()));
        assert_eq!(cause::<Forbidden>(&wrapped), Some(&one));
        assert_eq!(cause::<Forbidden>(&io::Error::other("else")), None);
    }
}
