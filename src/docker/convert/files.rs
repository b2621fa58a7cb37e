//! Configs and secrets: files that are put into a container after it is created and before it is started.
//!
//! Compose binds those that are files of its machine, and puts the others in as this does; a host that is not ours has no such
//! files.

use bytes::Bytes;

use crate::docker::{
    compose::model::{FileGrant, FileObject, Mount, MountKind, Project, Service},
    engine::{Archive, Node},
};

use super::Error;

/// For whom no other permission bits are said: readable by everybody.
const MODE: u32 = 0o444;

/// The files that a service's containers get to see, to be unpacked at `/`; empty if there are none.
///
/// # Errors
/// A file that would not reach the container.
pub fn files(project: &Project, name: &str) -> Result<Archive, Error> {
    let Some(service) = project.services.get(name) else {
        return Err(Error::Unknown { kind: "service", name: name.to_owned() });
    };
    let mut archive = Archive::default();
    let configs = service.configs.iter().map(|grant| ("configs", "config", grant, project.configs.get(&grant.source)));
    let secrets = service.secrets.iter().map(|grant| ("secrets", "secret", grant, project.secrets.get(&grant.source)));
    for (attribute, kind, grant, object) in configs.chain(secrets) {
        let FileGrant { at, source, target, uid, gid, mode } = grant;
        let Some(FileObject { content, .. }) = object else {
            return Err(Error::Unknown { kind, name: source.clone() });
        };
        let undeliverable = |reason| Error::Undeliverable {
            at: at.clone(),
            service: name.to_owned(),
            attribute,
            target: target.clone(),
            reason,
        };
        if let Some(reason) = obstacle(service, target) {
            return Err(undeliverable(reason));
        }
        let id = |text: &Option<String>| match text {
            Some(text) => text.parse().map_err(|_| undeliverable("its owner and group have to be numbers")),
            None => Ok(0),
        };
        let file = Node::File {
            mode: mode.unwrap_or(MODE),
            user: id(uid)?,
            group: id(gid)?,
            content: Bytes::copy_from_slice(content),
        };
        let path = target.trim_start_matches('/');
        archive.insert(path, file).map_err(|_| undeliverable("it is no absolute path"))?;
    }
    Ok(archive)
}

/// What keeps a file from being put there: the engine refuses, or something is mounted over it when the container starts.
fn obstacle(service: &Service, target: &str) -> Option<&'static str> {
    let below = |folder: &str| {
        let rest = target.strip_prefix(folder.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if service.tmpfs.iter().any(|tmpfs| below(&tmpfs.target)) {
        return Some("a tmpfs is mounted there");
    }
    let around = service.volumes.iter().filter(|mount| below(&mount.target));
    match around.max_by_key(|mount| mount.target.len()) {
        Some(Mount { kind: MountKind::Tmpfs { .. }, .. }) => Some("a tmpfs is mounted there"),
        Some(Mount { kind: MountKind::Image { .. }, .. }) => Some("an image is mounted there, which is read-only"),
        Some(Mount { read_only: true, .. }) => Some("what is mounted there is read-only"),
        Some(Mount { kind: MountKind::Bind { .. } | MountKind::Volume { .. }, .. }) => None,
        None if service.read_only => Some("its root is read-only; mount a volume at the folder of the file"),
        None => None,
    }
}
