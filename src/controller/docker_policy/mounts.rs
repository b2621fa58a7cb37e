//! What containers may mount: paths of the host, also by a volume driver's options, and volumes.

use std::collections::BTreeMap;

use super::{Refused, Terms, image, names};
use crate::{
    api::docker_tenant::AllowedHostPath,
    controller::policy::{list, matches_any},
    docker::compose::model::{
        At, BindSource, Mount, MountKind, Positions, Propagation, Recursive, Volume, VolumesFrom, VolumesFromSource,
    },
};

/// Whoever can write these is root on the host, or reads what all others have: the engine's socket, those of its parts, its
/// data and its settings.
const ENGINE: [&str; 11] = [
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/var/run/docker",
    "/run/docker",
    "/var/run/containerd",
    "/run/containerd",
    "/var/run/podman",
    "/run/podman",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/etc/docker",
];

/// Options of a tmpfs that keep to the tmpfs.
const TMPFS: [&str; 13] = [
    "size",
    "mode",
    "uid",
    "gid",
    "nr_inodes",
    "nr_blocks",
    "ro",
    "rw",
    "noexec",
    "nosuid",
    "nodev",
    "noatime",
    "huge",
];

/// Whether a path is absolute, and leads nowhere but where it says.
pub fn is_plain(path: &str) -> bool {
    path.starts_with('/') && !path.split('/').any(|part| part == ".." || part == ".") && !path.contains('\0')
}

/// Whether one path is the other or holds it.
fn holds(folder: &str, path: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    let path = path.trim_end_matches('/');
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Refuses a path of the host that may not be mounted, or not for writing.
fn check_path(terms: &Terms<'_>, at: &At, attribute: &str, path: &str, writes: bool, refused: &mut Refused) {
    let allowed: Vec<&AllowedHostPath> = terms.allow.host_paths.iter().collect();
    let told = |AllowedHostPath { path, read_only }: &&AllowedHostPath| {
        if *read_only { format!("{path} (read-only)") } else { path.clone() }
    };
    let list = list(allowed.iter().map(told), "no path of the host may be mounted; use a volume");
    let open = |entry: &&AllowedHostPath| holds(&entry.path, path) && !(writes && entry.read_only);
    if !is_plain(path) || !allowed.iter().any(open) {
        refused.add(at, attribute, path, &list);
        return;
    }
    let own = terms.host.endpoint.strip_prefix("unix://");
    let mut engine = ENGINE.iter().copied().chain(own);
    if !terms.allow.engine_socket && engine.any(|part| holds(part, path) || holds(path, part)) {
        refused.add(at, attribute, path, "it leads to the engine itself, and engineSocket is not opened");
    }
}

/// Refuses a mount that may not be made.
pub fn check(terms: &Terms<'_>, path: &str, mount: &Mount, refused: &mut Refused) {
    let Mount { at, target: _, read_only, consistency: _, kind } = mount;
    let attribute = format!("{path}.volumes");
    match kind {
        MountKind::Bind { source, propagation, create_host_path: _, recursive, selinux: _ } => {
            let BindSource::Absolute(source) = source else { return };
            let writes = !*read_only || *recursive == Some(Recursive::Writable);
            check_path(terms, at, &attribute, source, writes, refused);
            check_propagation(terms, at, &attribute, *propagation, refused);
        }
        // The subpath of a volume cannot lead out of it: the engine opens it from the volume's root.
        MountKind::Volume { source: _, nocopy: _, subpath: _, labels, selinux: _ } => {
            let positions = Positions::new(at.clone());
            names::check_labels(terms, &positions, &attribute, "volume.labels", labels, refused);
        }
        // It counts as the container's memory.
        MountKind::Tmpfs { size: _, mode: _ } => {}
        MountKind::Image { source, subpath: _ } => image::check(terms, at, &attribute, source, refused),
    }
}

fn check_propagation(
    terms: &Terms<'_>,
    at: &At,
    attribute: &str,
    propagation: Option<Propagation>,
    refused: &mut Refused,
) {
    match propagation {
        None | Some(Propagation::Private | Propagation::RPrivate | Propagation::Slave | Propagation::RSlave) => {}
        Some(shared @ (Propagation::Shared | Propagation::RShared)) if !terms.allow.privileged => {
            let remedy = "what is mounted in the container would show on the host, and privileged is not opened";
            refused.add(at, &format!("{attribute}.bind.propagation"), shared.as_str(), remedy);
        }
        Some(Propagation::Shared | Propagation::RShared) => {}
    }
}

/// Refuses the volumes of a container that is not the service's own.
pub fn check_from(terms: &Terms<'_>, path: &str, from: &VolumesFrom, refused: &mut Refused) {
    let VolumesFrom { at, source, mode: _ } = from;
    match source {
        VolumesFromSource::Service(_) => {}
        VolumesFromSource::Container(name) if matches_any(&terms.allow.containers, name) => {}
        VolumesFromSource::Container(name) => {
            let allowed = list(terms.allow.containers.iter().cloned(), "nothing is shared with other containers");
            refused.add(at, &format!("{path}.volumes_from"), &format!("container:{name}"), &allowed);
        }
    }
}

/// Refuses a volume that may not be made or used.
pub fn check_volume(terms: &Terms<'_>, key: &str, volume: &Volume, refused: &mut Refused) {
    let Volume { at, name, external, driver, driver_opts, labels } = volume;
    let path = format!("volumes.{key}");
    if *external {
        if !matches_any(&terms.allow.external_volumes, name) {
            let allowed = list(terms.allow.external_volumes.iter().cloned(), "no external volume may be used");
            refused.add(at.of("external"), &format!("{path}.external"), name, &allowed);
        }
        return;
    }
    names::check(terms, at.of("name"), &format!("{path}.name"), name, refused);
    names::check_labels(terms, at, &path, "labels", labels, refused);
    match driver.as_deref() {
        None | Some("local") => check_local(terms, at, &path, driver_opts, refused),
        Some(driver) if matches_any(&terms.allow.volume_drivers, driver) => {}
        Some(driver) => {
            let allowed = std::iter::once("local".to_owned()).chain(terms.allow.volume_drivers.iter().cloned());
            refused.add(at.of("driver"), &format!("{path}.driver"), driver, &list(allowed, ""));
        }
    }
}

/// The driver `local` mounts what its options say, with the rights of root on the host.
fn check_local(
    terms: &Terms<'_>,
    at: &Positions,
    path: &str,
    options: &BTreeMap<String, String>,
    refused: &mut Refused,
) {
    for (option, value) in options {
        if !["type", "o", "device", "size"].contains(&option.as_str()) {
            let attribute = format!("driver_opts.{option}");
            refused.add(at.of(&attribute), &format!("{path}.{attribute}"), value, "allowed: type, o, device, size");
        }
    }
    let option = |name: &str| options.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let (kind, device) = (option("type"), option("device"));
    let words: Vec<&str> = option("o").into_iter().flat_map(|words| words.split(',')).map(str::trim).collect();
    if kind.is_none() && device.is_none() && words.is_empty() {
        return;
    }
    let at_option = |name: &str| at.of(&format!("driver_opts.{name}"));
    let name_of = |name: &str| format!("{path}.driver_opts.{name}");
    for word in &words {
        if ["shared", "rshared", "slave", "rslave", "remount", "move"].contains(word) && !terms.allow.privileged {
            let remedy = "it changes mounts of the host, and privileged is not opened";
            refused.add(at_option("o"), &name_of("o"), word, remedy);
        }
    }
    let binds = words.iter().any(|word| ["bind", "rbind"].contains(word));
    let writes = !words.contains(&"ro");
    match kind {
        _ if binds => {
            check_path(terms, at_option("device"), &name_of("device"), device.unwrap_or_default(), writes, refused);
        }
        None | Some("none" | "bind") => {
            check_path(terms, at_option("device"), &name_of("device"), device.unwrap_or_default(), writes, refused);
        }
        Some("tmpfs") => {
            let key = |word: &&&str| word.split('=').next().is_some_and(|key| TMPFS.contains(&key));
            if let Some(word) = words.iter().find(|word| !key(word)) {
                refused.add(at_option("o"), &name_of("o"), word, &list(TMPFS.iter().map(ToString::to_string), ""));
            }
        }
        Some(kind) if terms.allow.file_systems.iter().any(|allowed| allowed == kind) => {}
        Some(kind) => {
            let allowed = std::iter::once("tmpfs".to_owned()).chain(terms.allow.file_systems.iter().cloned());
            refused.add(at_option("type"), &name_of("type"), kind, &list(allowed, ""));
        }
    }
}
