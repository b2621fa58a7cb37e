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

    /// Another service that has a host name on a host already.
    pub fn has_name(&self, service: &DockerService) -> bool {
        let wanted = object::hostname(service);
        let same = |other: &DockerService| {
            other.spec.host_ref == service.spec.host_ref
                && object::hostname(other) == wanted
                && (other.namespace() != service.namespace() || other.name_any() != service.name_any())
        };
        self.find(same).is_some()
    }
}

/// A client knows a service by the uid of its object, which no other ever has. Those that are nobody's no client knows.
impl Known for DockerService {
    type Id = String;

    fn ids(&self) -> Vec<String> {
        self.uid().filter(|_| self.labels().contains_key(api::USER)).into_iter().collect()
    }
}
