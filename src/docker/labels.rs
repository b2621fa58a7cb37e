//! The labels that tell what a container, network or volume belongs to: Compose's own, which its tools look for, and ours.

/// Compose's labels. Its `ls`, `ps` and `down` see only containers that have [`compose::CONFIG_HASH`] and [`compose::ONE_OFF`].
pub mod compose {
    pub const PROJECT: &str = "com.docker.compose.project";
    pub const SERVICE: &str = "com.docker.compose.service";
    pub const VERSION: &str = "com.docker.compose.version";
    pub const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
    /// Comma-separated.
    pub const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
    /// `False`: not made by `docker compose run`.
    pub const ONE_OFF: &str = "com.docker.compose.oneoff";
    /// From 1.
    pub const CONTAINER_NUMBER: &str = "com.docker.compose.container-number";
    /// Only on containers: a wrong one on a network or a volume makes Compose replace it.
    pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
    /// `service:condition:restart`, comma-separated.
    pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
    /// The id of the image.
    pub const IMAGE: &str = "com.docker.compose.image";
    /// The key of a network in its file.
    pub const NETWORK: &str = "com.docker.compose.network";
    /// The key of a volume in its file.
    pub const VOLUME: &str = "com.docker.compose.volume";
    /// What the name of every label of Compose's begins with.
    pub const PREFIX: &str = "com.docker.compose.";
}

/// Which installation of this operator made it.
pub const INSTALLATION: &str = "cloudfaster.app/installation";
/// The namespace of the object that it belongs to.
pub const NAMESPACE: &str = "cloudfaster.app/namespace";
/// The name of that object.
pub const NAME: &str = "cloudfaster.app/name";
/// The uid of that object.
pub const UID: &str = "cloudfaster.app/uid";
/// What the name of every label of ours begins with.
pub const PREFIX: &str = "cloudfaster.app/";
