//! What is mounted: as `Binds` where those are enough, as Compose does, else as `Mounts`.

use std::collections::BTreeMap;

use bollard::models::{
    Mount as EngineMount, MountBindOptions, MountBindOptionsPropagationEnum, MountImageOptions, MountTmpfsOptions,
    MountType, MountVolumeOptions,
};

use crate::docker::compose::model::{BindSource, Mount, MountKind, Propagation, Recursive, SeLinux};

use super::{Context, Error, map};

#[derive(Debug, Default)]
pub(super) struct Mounts {
    pub binds: Vec<String>,
    pub mounts: Vec<EngineMount>,
}

pub(super) fn mounts(context: &Context<'_>) -> Result<Mounts, Error> {
    let mut found = Mounts::default();
    // The last of several at one target.
    let by_target: BTreeMap<&str, &Mount> =
        context.service.volumes.iter().map(|mount| (mount.target.as_str(), mount)).collect();
    for mount in by_target.values() {
        one(context, mount, &mut found)?;
    }
    // Volumes that the image asks for, and that a container before this one had.
    for (target, volume) in context.given.anonymous {
        if !by_target.contains_key(target.as_str()) {
            found.mounts.push(inherited(target, volume, false));
        }
    }
    Ok(found)
}

fn one(context: &Context<'_>, mount: &Mount, found: &mut Mounts) -> Result<(), Error> {
    let Mount { at, target, read_only, consistency, kind } = mount;
    let plain = |typ: MountType, source: Option<String>| EngineMount {
        target: Some(target.clone()),
        source,
        typ: Some(typ),
        read_only: Some(*read_only),
        consistency: consistency.clone(),
        ..EngineMount::default()
    };
    match kind {
        MountKind::Bind { source, propagation, create_host_path, recursive, selinux } => {
            let BindSource::Absolute(source) = source else {
                return Err(Error::ProjectFile {
                    at: at.clone(),
                    service: context.name.to_owned(),
                    attribute: "volumes",
                    path: match source {
                        BindSource::Project(path) | BindSource::Absolute(path) => path.clone(),
                    },
                });
            };
            if *create_host_path && propagation.is_none() && recursive.is_none() {
                found.binds.push(bind(source, target, *read_only, *selinux));
                return Ok(());
            }
            let options = MountBindOptions {
                propagation: propagation.map(propagated),
                non_recursive: Some(*recursive == Some(Recursive::Disabled)),
                create_mountpoint: Some(*create_host_path),
                read_only_non_recursive: Some(*recursive == Some(Recursive::Writable)),
                read_only_force_recursive: Some(*recursive == Some(Recursive::Readonly)),
            };
            if let Some(Recursive::Writable | Recursive::Readonly) = recursive {
                context.needs(44, "25.0", at, "volumes.bind.recursive")?;
            }
            found
                .mounts
                .push(EngineMount { bind_options: Some(options), ..plain(MountType::BIND, Some(source.clone())) });
        }
        MountKind::Volume { source: None, nocopy, subpath, labels, selinux: _ } => {
            if let Some(volume) = context.given.anonymous.get(target) {
                found.mounts.push(inherited(target, volume, *read_only));
                return Ok(());
            }
            if subpath.is_some() {
                context.needs(45, "26.0", at, "volumes.volume.subpath")?;
            }
            let options = MountVolumeOptions {
                no_copy: nocopy.then_some(true),
                labels: map(labels),
                driver_config: None,
                subpath: subpath.clone(),
            };
            found.mounts.push(EngineMount { volume_options: Some(options), ..plain(MountType::VOLUME, None) });
        }
        MountKind::Volume { source: Some(key), nocopy, subpath, labels, selinux } => {
            let Some(volume) = context.project.volumes.get(key) else {
                return Err(Error::Unknown { kind: "volume", name: key.clone() });
            };
            if !nocopy && subpath.is_none() && labels.is_empty() {
                found.binds.push(bind(&volume.name, target, *read_only, *selinux));
                return Ok(());
            }
            if subpath.is_some() {
                // Older ones ignore it, and show the whole volume.
                context.needs(45, "26.0", at, "volumes.volume.subpath")?;
            }
            let options = MountVolumeOptions {
                no_copy: nocopy.then_some(true),
                labels: map(labels),
                driver_config: None,
                subpath: subpath.clone(),
            };
            found.mounts.push(EngineMount {
                volume_options: Some(options),
                ..plain(MountType::VOLUME, Some(volume.name.clone()))
            });
        }
        MountKind::Tmpfs { size, mode } => {
            let options = (size.is_some() || mode.is_some()).then(|| MountTmpfsOptions {
                size_bytes: *size,
                mode: mode.map(i64::from),
                options: None,
            });
            found.mounts.push(EngineMount { tmpfs_options: options, ..plain(MountType::TMPFS, None) });
        }
        MountKind::Image { source, subpath } => {
            context.needs(48, "28.0", at, "volumes.type")?;
            let options = subpath.as_ref().map(|subpath| MountImageOptions { subpath: Some(subpath.clone()) });
            found.mounts.push(EngineMount { image_options: options, ..plain(MountType::IMAGE, Some(source.clone())) });
        }
    }
    Ok(())
}

fn bind(source: &str, target: &str, read_only: bool, selinux: Option<SeLinux>) -> String {
    let access = if read_only { "ro" } else { "rw" };
    let label = selinux.map(|label| format!(",{}", label.as_str())).unwrap_or_default();
    format!("{source}:{target}:{access}{label}")
}

fn inherited(target: &str, volume: &str, read_only: bool) -> EngineMount {
    EngineMount {
        target: Some(target.to_owned()),
        source: Some(volume.to_owned()),
        typ: Some(MountType::VOLUME),
        read_only: Some(read_only),
        ..EngineMount::default()
    }
}

fn propagated(propagation: Propagation) -> MountBindOptionsPropagationEnum {
    match propagation {
        Propagation::Private => MountBindOptionsPropagationEnum::PRIVATE,
        Propagation::RPrivate => MountBindOptionsPropagationEnum::RPRIVATE,
        Propagation::Shared => MountBindOptionsPropagationEnum::SHARED,
        Propagation::RShared => MountBindOptionsPropagationEnum::RSHARED,
        Propagation::Slave => MountBindOptionsPropagationEnum::SLAVE,
        Propagation::RSlave => MountBindOptionsPropagationEnum::RSLAVE,
    }
}
