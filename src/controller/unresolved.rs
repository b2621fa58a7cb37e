//! What ends the resolving of a tenant's object early, and the one thing that all of them have resolved alike: who admits them.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};

use super::{
    policy::{self, Selects},
    secret::Problem,
};
use crate::reason::Reason;

/// Why there is nothing to observe, plan and do for an object.
pub enum Unresolved {
    /// Something is not there yet.
    Waiting(Reason),
    /// It is not allowed or cannot be understood.
    Stalled(Reason),
    /// It is being deleted and nothing was ever made.
    Nothing,
    /// It is being deleted, and what was made is left as it is, without asking where it is.
    Orphaned,
    /// Kubernetes cannot be asked.
    Kubernetes(kube::Error),
}

impl From<kube::Error> for Unresolved {
    fn from(error: kube::Error) -> Self {
        Self::Kubernetes(error)
    }
}

impl From<Problem> for Unresolved {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Wait(reason) => Self::Waiting(reason),
            Problem::Stall(reason) => Self::Stalled(reason),
        }
    }
}

/// It waits for this.
pub fn wait(word: &str, message: impl Into<String>) -> Unresolved {
    Unresolved::Waiting(Reason::new(word, message))
}

/// It stands still for this.
pub fn stall(word: &str, message: impl Into<String>) -> Unresolved {
    Unresolved::Stalled(Reason::new(word, message))
}

/// What a tenant's object is to be on.
pub struct Ground<'a> {
    /// Its kind.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The word for one that cannot be understood.
    pub invalid: &'a str,
}

impl Ground<'_> {
    /// Its spec cannot be understood.
    pub fn invalid(&self, error: impl std::fmt::Display) -> Unresolved {
        let Self { kind, name, invalid } = self;
        wait(invalid, format!("{kind} {name}: {error}"))
    }

    /// The entry of its `spec.tenants` that admits a namespace.
    ///
    /// # Errors
    /// That none does, or that Kubernetes cannot be asked.
    pub async fn admits<'a, T: Selects>(
        &self,
        client: &Client,
        tenants: &'a [T],
        namespace: &str,
    ) -> Result<&'a T, Unresolved> {
        let found = Api::<Namespace>::all(client.clone()).get_opt(namespace).await?;
        let labels = found.and_then(|found| found.metadata.labels).unwrap_or_default();
        let tenant = policy::tenant_of(tenants, &labels).map_err(|error| self.invalid(error))?;
        tenant.ok_or_else(|| wait("NamespaceNotAdmitted", not_admitted(self.kind, self.name, namespace)))
    }
}

/// That no entry of `spec.tenants` admits a namespace, and what helps.
pub fn not_admitted(kind: &str, name: &str, namespace: &str) -> String {
    format!("{kind} {name} does not admit the namespace {namespace}; its administrator can add it to spec.tenants")
}
