//! What is mounted into a service's containers.

use super::reader::{Fields, Item};
use crate::docker::compose::model::{
    BindSource, FileGrant, Mount, MountKind, Propagation, Recursive, SeLinux, TmpfsMount, VolumesFrom,
    VolumesFromSource,
};
use crate::docker::compose::tree::Value;

pub fn mount(item: &Item<'_>) -> Option<Mount> {
    if item.node.map().is_none() {
        // A short form that could not be written out was told already.
        if item.node.text().is_none() {
            item.complain(format!("this must be a mount, not {}", item.node.shown()), "write `SOURCE:TARGET`");
        }
        return None;
    }
    let mut fields = item.fields();
    let kind = fields.required("type").and_then(|item| item.text());
    let target = fields.required("target").and_then(|item| absolute(&item));
    let (read_only, consistency) = (fields.flag("read_only"), fields.text("consistency"));
    let kind = match kind.as_deref() {
        Some("bind") => bind(&mut fields),
        Some("volume") => Some(volume(&mut fields)),
        Some("tmpfs") => Some(tmpfs_mount(&mut fields)),
        Some("image") => image(&mut fields),
        Some(kind @ ("npipe" | "cluster")) => {
            item.complain(
                format!("mounts of the type `{kind}` are not supported"),
                "use `bind`, `volume`, `tmpfs` or `image`",
            );
            return None;
        }
        Some(_) => {
            item.complain("the type of the mount is unknown", "use `bind`, `volume`, `tmpfs` or `image`");
            return None;
        }
        None => None,
    };
    fields.finish();
    Some(Mount { at: item.at(), target: target?, read_only, consistency, kind: kind? })
}

fn absolute(item: &Item<'_>) -> Option<String> {
    item.parsed("an absolute path inside of the container", "start it with `/`", |text| {
        text.starts_with('/').then(|| text.to_owned())
    })
}

fn bind(fields: &mut Fields<'_>) -> Option<MountKind> {
    let source = fields.required("source").and_then(|item| match &item.node.value {
        Value::Path(path) => Some(BindSource::Project(path.clone())),
        _ => item.text().map(BindSource::Absolute),
    });
    let mut options = fields.item("bind").map(|item| item.fields());
    let mut option = |key| options.as_mut().and_then(|options| options.item(key));
    let propagation = option("propagation").and_then(|item| item.one_of(&Propagation::ALL, Propagation::as_str));
    let create_host_path = option("create_host_path").and_then(|item| item.boolean()).unwrap_or(true);
    let recursive = option("recursive").and_then(|item| item.one_of(&Recursive::ALL, Recursive::as_str));
    let selinux = option("selinux").and_then(|item| selinux(&item));
    if let Some(options) = options {
        options.finish();
    }
    Some(MountKind::Bind { source: source?, propagation, create_host_path, recursive, selinux })
}

fn selinux(item: &Item<'_>) -> Option<SeLinux> {
    item.one_of(&[SeLinux::Shared, SeLinux::Private], SeLinux::as_str)
}

fn volume(fields: &mut Fields<'_>) -> MountKind {
    let source = fields.text("source").filter(|source| !source.is_empty());
    let mut options = fields.item("volume").map(|item| item.fields());
    let nocopy = options.as_mut().map(|options| options.flag("nocopy")).unwrap_or_default();
    let subpath = options.as_mut().and_then(|options| options.text("subpath"));
    let labels =
        options.as_mut().and_then(|options| options.item("labels")).map(|item| item.pairs()).unwrap_or_default();
    if let Some(options) = options {
        options.finish();
    }
    let mut bind = fields.item("bind").map(|item| item.fields());
    let selinux = bind.as_mut().and_then(|bind| bind.item("selinux")).and_then(|item| selinux(&item));
    if let Some(bind) = bind {
        bind.finish();
    }
    MountKind::Volume { source, nocopy, subpath, labels, selinux }
}

fn tmpfs_mount(fields: &mut Fields<'_>) -> MountKind {
    if let Some(source) = fields.item("source") {
        source.complain("a file system in memory has no source", "remove it");
    }
    let mut options = fields.item("tmpfs").map(|item| item.fields());
    let size = options.as_mut().and_then(|options| options.bytes("size"));
    let mode = options.as_mut().and_then(|options| options.item("mode")).and_then(|item| item.mode());
    if let Some(options) = options {
        options.finish();
    }
    MountKind::Tmpfs { size, mode }
}

fn image(fields: &mut Fields<'_>) -> Option<MountKind> {
    let source = fields.required("source").and_then(|item| item.text());
    let mut options = fields.item("image").map(|item| item.fields());
    let subpath = options.as_mut().and_then(|options| options.text("subpath"));
    if let Some(options) = options {
        options.finish();
    }
    Some(MountKind::Image { source: source?, subpath })
}

pub fn tmpfs(item: &Item<'_>) -> Option<TmpfsMount> {
    let text = item.text()?;
    let (target, options) = match text.split_once(':') {
        Some((target, options)) => (target, Some(options.to_owned())),
        None => (text.as_str(), None),
    };
    if !target.starts_with('/') {
        item.complain("this must be an absolute path inside of the container", "start it with `/`");
        return None;
    }
    Some(TmpfsMount { at: item.at(), target: target.to_owned(), options })
}

pub fn volumes_from(item: &Item<'_>) -> Option<VolumesFrom> {
    let text = item.text()?;
    let (source, rest): (fn(String) -> VolumesFromSource, &str) = match text.strip_prefix("container:") {
        Some(rest) => (VolumesFromSource::Container, rest),
        None => (VolumesFromSource::Service, &text),
    };
    let (name, mode) = match rest.split_once(':') {
        Some((name, mode)) => (name, Some(mode)),
        None => (rest, None),
    };
    if name.is_empty() || !matches!(mode, None | Some("ro" | "rw")) {
        item.complain("this must be a service, or `container:` and a name, with `:ro` or `:rw`", "correct it");
        return None;
    }
    Some(VolumesFrom { at: item.at(), source: source(name.to_owned()), mode: mode.map(str::to_owned) })
}

/// A config or a secret that a service sees: at a path, or under a name in the default folder.
pub fn file_grant(item: &Item<'_>, folder: &str) -> Option<FileGrant> {
    let mut fields = item.fields();
    let source = fields.required("source").and_then(|item| item.text());
    let target = fields.text("target").or_else(|| source.clone()).unwrap_or_default();
    let grant = FileGrant {
        at: item.at(),
        source: source.unwrap_or_default(),
        target: if target.starts_with('/') { target } else { format!("{folder}{target}") },
        uid: fields.item("uid").and_then(|item| item.text_or_number()),
        gid: fields.item("gid").and_then(|item| item.text_or_number()),
        mode: fields.item("mode").and_then(|item| item.mode()),
    };
    fields.finish();
    (!grant.source.is_empty()).then_some(grant)
}
