//! What a call can end with, other than its answer. No secret and no query is in any of it.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{Fingerprint, phrases};

/// Why a call gave no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Proxmox refused.
    #[error(transparent)]
    Api(#[from] Box<ApiError>),

    /// The server shows another certificate than the pinned one. Nothing was sent.
    #[error("{endpoint} shows a certificate with the fingerprint {got}, expected is {}", join(expected))]
    Fingerprint { endpoint: String, expected: Vec<Fingerprint>, got: Fingerprint },

    /// The server's certificate is not believed. Nothing was sent.
    #[error("the certificate of {endpoint} is not trusted: {reason}")]
    Certificate { endpoint: String, reason: String },

    /// There is no connection. Nothing was sent.
    #[error("{endpoint} cannot be reached: {reason}")]
    Unreachable { endpoint: String, reason: String },

    /// The connection ended after the request was sent and before the answer was complete: a write may
    /// or may not have happened.
    #[error("the answer to {request} was lost: {reason}")]
    ReplyLost { request: String, reason: String },

    /// No answer in time: a write may or may not have happened.
    #[error("no answer to {request} within {} s", after.as_secs())]
    Timeout { request: String, after: Duration },

    /// Proxmox said that it succeeded, in a way that is not understood.
    #[error("the answer to {request} is not understood: {reason}")]
    Decode { request: String, reason: String },

    /// The client's settings cannot work. Nothing was sent.
    #[error("{0}")]
    Settings(String),
}

impl Error {
    /// Whether it is certain that a write changed nothing. A refused change of a configuration is
    /// **not**: Proxmox may have stored a part of it.
    pub fn certainly_no_effect(&self) -> bool {
        match self {
            Self::Fingerprint { .. } | Self::Certificate { .. } | Self::Unreachable { .. } | Self::Settings(_) => true,
            // 595: the answering node could not connect to the one that had to do it.
            Self::Api(refusal) => matches!(refusal.status, 400 | 401 | 501 | 595),
            Self::ReplyLost { .. } | Self::Timeout { .. } | Self::Decode { .. } => false,
        }
    }

    /// Proxmox's refusal, if that is what it is.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(refusal) => Some(refusal),
            Self::Fingerprint { .. }
            | Self::Certificate { .. }
            | Self::Unreachable { .. }
            | Self::ReplyLost { .. }
            | Self::Timeout { .. }
            | Self::Decode { .. }
            | Self::Settings(_) => None,
        }
    }

    /// The VM has no configuration on that node.
    pub fn is_missing_config(&self) -> bool {
        self.api().is_some_and(ApiError::is_missing_config)
    }

    /// Credentials were refused.
    pub fn is_auth(&self) -> bool {
        self.api().is_some_and(ApiError::is_auth)
    }
}

/// A refusal of Proxmox's: an answer of 400 or above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// What was asked, without query: `GET /nodes/pve1/qemu/600/config`.
    pub request: String,
    /// The status code; Proxmox uses unregistered ones too.
    pub status: u16,
    /// Proxmox's own sentence, from the body's `message` or the reason phrase.
    pub text: String,
    /// What is wrong with which parameter, if Proxmox says so.
    pub fields: BTreeMap<String, String>,
}

impl ApiError {
    /// The VM has no configuration on that node (500 `Configuration file '…' does not exist`).
    pub fn is_missing_config(&self) -> bool {
        self.status == 500 && phrases::is_missing_config(&self.text)
    }

    /// The id of a new VM is taken.
    pub fn is_config_exists(&self) -> bool {
        self.status == 500 && phrases::is_config_exists(&self.text)
    }

    /// Another process works on the VM just now.
    pub fn is_lock_timeout(&self) -> bool {
        phrases::is_lock_timeout(&self.text)
    }

    /// The VM's lock that stood in the way: `backup`.
    pub fn vm_lock(&self) -> Option<&str> {
        phrases::vm_lock(&self.text)
    }

    /// The answering node has no quorum.
    pub fn is_no_quorum(&self) -> bool {
        phrases::is_no_quorum(&self.text)
    }

    /// The path and the privilege that a 403 misses.
    pub fn missing_permission(&self) -> Option<(&str, &str)> {
        (self.status == 403).then(|| phrases::missing_permission(&self.text)).flatten()
    }

    /// The configuration was changed by somebody else since its digest was read.
    pub fn is_digest_mismatch(&self) -> bool {
        phrases::is_digest_mismatch(&self.text)
    }

    /// The answering node cannot reach the node that was asked about (595), or lost it on the way (596 to 599).
    pub fn node_unreachable(&self) -> bool {
        (595..=599).contains(&self.status)
    }

    /// Credentials were refused (401).
    pub fn is_auth(&self) -> bool {
        self.status == 401
    }

    /// The task is not known (any more).
    pub fn is_no_such_task(&self) -> bool {
        self.fields.get("upid").is_some_and(|text| text.contains("no such task"))
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} {}", self.request, self.status, self.text)?;
        let mut separator = " (";
        for (field, text) in &self.fields {
            write!(out, "{separator}{field}: {}", text.trim())?;
            separator = "; ";
        }
        if self.fields.is_empty() { Ok(()) } else { out.write_str(")") }
    }
}

impl std::error::Error for ApiError {}

fn join(fingerprints: &[Fingerprint]) -> String {
    let shown: Vec<_> = fingerprints.iter().map(ToString::to_string).collect();
    shown.join(" or ")
}
