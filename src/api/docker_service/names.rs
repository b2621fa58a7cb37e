//! By which host names a service is reached behind its host's proxy.

use kube::ResourceExt;

use super::DockerService;

/// What distinguishes the name of a service's Filebrowser.
pub const FILEBROWSER: &str = "-filebrowser";

impl DockerService {
    /// Its host name: below the domain of its host, unless it has a dot.
    pub fn hostname(&self) -> String {
        // An object's name may have dots, which would make it one of another domain.
        self.spec.hostname.clone().unwrap_or_else(|| self.name_any().replace('.', "-"))
    }

    /// The host names that it and its Filebrowser have behind a proxy of this domain.
    pub fn host_names(&self, domain: &str) -> [String; 2] {
        let given = self.hostname();
        let (first, rest) = given.split_once('.').unwrap_or((&given, domain));
        ["", FILEBROWSER].map(|suffix| format!("{first}{suffix}.{rest}"))
    }
}
