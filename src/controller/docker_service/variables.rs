//! The variables of a service: what is given inline, and what its Secrets hold. Nothing else is seen by its compose file.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use crate::{
    api::{common::NameRef, docker_service::Variable},
    controller::secret::{self, Problem},
    reason::Reason,
};

/// A shorter value is a word that stands everywhere.
const SHORTEST_SECRET: usize = 4;

/// The variables, and which of their values nobody is to see.
#[derive(Clone, Default)]
pub struct Variables {
    /// All of them, by name.
    pub all: BTreeMap<String, String>,
    secrets: Vec<String>,
}

impl Variables {
    /// Reads them. A variable of its own wins over one of a whole Secret, and of whole Secrets the last.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn read(
        api: &Api<Secret>,
        env: &[Variable],
        env_from: &[NameRef],
    ) -> Result<Result<Self, Problem>, kube::Error> {
        let mut read = Self::default();
        for (index, reference) in env_from.iter().enumerate() {
            let secret = match secret::read(api, &reference.name, &format!("spec.envFrom[{index}]")).await? {
                Ok(secret) => secret,
                Err(problem) => return Ok(Err(problem)),
            };
            for (name, value) in secret.data.into_iter().flatten() {
                if !is_name(&name) {
                    let message = format!(
                        "spec.envFrom[{index}]: the key {name:?} of Secret {} cannot name a variable",
                        reference.name
                    );
                    return Ok(Err(Problem::Wait(Reason::new("InvalidSecret", message))));
                }
                let Ok(value) = String::from_utf8(value.0) else {
                    let message = format!("spec.envFrom[{index}]: {name} of Secret {} is no text", reference.name);
                    return Ok(Err(Problem::Wait(Reason::new("InvalidSecret", message))));
                };
                read.hide(&value);
                read.all.insert(name, value);
            }
        }
        for Variable { name, value, secret_key_ref } in env {
            let value = match (value, secret_key_ref) {
                (_, Some(reference)) => {
                    match secret::read_key(api, reference, &format!("spec.env[{name}].secretKeyRef")).await? {
                        Ok((value, _)) => {
                            read.hide(&value);
                            value
                        }
                        Err(problem) => return Ok(Err(problem)),
                    }
                }
                (Some(value), None) => value.clone(),
                (None, None) => {
                    let message = format!("spec.env[{name}]: give exactly one of value and secretKeyRef");
                    return Ok(Err(Problem::Stall(Reason::new("InvalidSpec", message))));
                }
            };
            read.all.insert(name.clone(), value);
        }
        Ok(Ok(read))
    }

    /// Adds one that nobody is to see.
    pub fn insert_secret(&mut self, name: &str, value: String) {
        self.hide(&value);
        self.all.insert(name.to_owned(), value);
    }

    fn hide(&mut self, value: &str) {
        // A text of several lines is shown line by line.
        let parts = value.lines().map(str::trim).filter(|part| part.len() >= SHORTEST_SECRET);
        self.secrets.extend(parts.map(str::to_owned));
    }

    /// A text for people, without what Secrets hold: a value that is refused, or what an engine says, may show it.
    pub fn redact(&self, text: &str) -> String {
        let mut secrets: Vec<&String> = self.secrets.iter().filter(|secret| text.contains(secret.as_str())).collect();
        // The longest first: one may hold another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, "(secret)"))
    }

    /// A reason without what Secrets hold.
    pub fn redacted(&self, reason: Reason) -> Reason {
        Reason { message: self.redact(&reason.message), ..reason }
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic())
        && text.chars().all(|letter| letter == '_' || letter.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_secrets_hold_is_shown_to_nobody() {
        let mut variables = Variables::default();
        for value in ["hunter2", "hunter2hunter2", "on", "-----BEGIN KEY-----\nabcdef\n"] {
            variables.hide(value);
        }
        let shown = variables.redact("cannot use hunter2hunter2 nor hunter2 on abcdef");
        assert_eq!(shown, "cannot use (secret) nor (secret) on (secret)");
        assert!(is_name("_A1") && !is_name("1A") && !is_name("a.b") && !is_name(""));
    }
}
