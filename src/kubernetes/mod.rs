//! What the reconcilers and the REST shim alike need of Kubernetes: a client that is counted, watches that survive, and
//! errors in words. Nothing here knows what is read or written.

mod client;
mod watch;

pub use client::observed;
pub use watch::{relisting, why};

/// A Kubernetes error in a sentence: the API server's own, or the cause at the bottom of it. The `Display` of either holds
/// debug text or too little.
pub fn describe(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return if status.message.is_empty() {
            format!("Kubernetes answers {}", status.code)
        } else {
            status.message.clone()
        };
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let (error, cause) = (error.to_string(), cause.to_string());
    if error.contains(&cause) { error } else { format!("{error}: {cause}") }
}
