//! The services that clients know, found by their uids.

use std::sync::Arc;

use kube::ResourceExt;

use super::object;
use crate::{
    api::{self, DockerService},
    rest::index::{Index, Known},
};

/// The services.
pub type Services = Index<DockerService>;

impl Services {
    /// The service with an id that is not being deleted.
    pub fn with_uid(&self, uid: &str, seen: impl Fn(&DockerService) -> bool) -> Option<Arc<DockerService>> {
        self.with_id(&uid.to_owned()).into_iter().find(|service| seen(service))
    }

    /// A name below its host's domain that a service would have, and another has already.
    pub fn taken(&self, service: &DockerService, domain: &str) -> Option<String> {
        let wanted = object::reached_at(service, domain);
        let has_one = |other: &DockerService| {
            other.spec.host_ref == service.spec.host_ref
                && (other.namespace() != service.namespace() || other.name_any() != service.name_any())
                && other.host_names(domain).iter().any(|name| wanted.contains(name))
                && !object::reached_at(other, domain).is_disjoint(&wanted)
        };
        let other = self.find(has_one)?;
        let theirs = object::reached_at(&other, domain);
        let mut names = service.host_names(domain).into_iter();
        let name = names.find(|name| wanted.contains(name) && theirs.contains(name))?;
        Some(name.strip_suffix(domain).and_then(|name| name.strip_suffix('.')).unwrap_or(&name).to_owned())
    }
}

/// A client knows a service by the uid of its object, which no other ever has. Those that are nobody's no client knows.
impl Known for DockerService {
    type Id = String;

    fn ids(&self) -> Vec<String> {
        self.uid().filter(|_| self.labels().contains_key(api::USER)).into_iter().collect()
    }
}
