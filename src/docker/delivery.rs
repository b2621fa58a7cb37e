//! What a project takes from its source: folders that become volumes of their own, files that are put into containers, and
//! contexts that images are built from. Nothing of the source is ever on the host by itself.
//!
//! - A folder of the source that is bound becomes a volume that is named after its content, so that each release has its own,
//!   and one that did not change is neither sent nor mounted anew.
//! - A file that is bound is put into the container before it starts.
//! - What is bound and not in the source, which Compose makes as an empty folder, becomes a volume that outlasts releases; so
//!   does each path that is said to be persistent, wherever it is in a folder that is bound.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    compose::model::{
        At, BindSource, BuildContext, FileGrant, FileObject, FileSource, Mount, MountKind, Project, SeLinux, Service,
        Volume,
    },
    content::{Content, Entry, Error::Missing},
    identity,
};

/// So much of a hash tells paths and contents apart.
const HASH: usize = 12;
/// So much of a path is shown in a volume's name.
const SHOWN: usize = 24;
/// The largest file that can be bound by itself, in bytes.
const LARGEST_FILE: u64 = 4 << 20;

/// What is delivered.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// What goes into volumes, by their keys.
    pub volumes: BTreeMap<String, Parcel>,
    /// What images are built from, by service.
    pub contexts: BTreeMap<String, Content>,
}

/// What goes into a volume.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The files.
    pub content: Content,
    /// Folders besides, into which something else is mounted.
    pub folders: Vec<String>,
}

/// Why something cannot be taken from the source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: services.{service}.{attribute}: {message}")]
pub struct Undeliverable {
    at: At,
    service: String,
    attribute: &'static str,
    message: String,
}

/// Takes from a source what a project binds and builds, which is no path of the source any more afterwards.
///
/// # Errors
/// What cannot be taken.
pub fn take(project: &mut Project, content: &Content, persistent: &[String]) -> Result<Delivery, Undeliverable> {
    let mut persistent: BTreeSet<String> = persistent.iter().map(|path| path.trim_matches('/').to_owned()).collect();
    persistent.extend(made_by_compose(project, content));
    let (bound, data) = (BTreeMap::new(), BTreeMap::new());
    let mut taking = Taking { name: project.name.clone(), content, persistent, bound, data };
    let mut contexts = BTreeMap::new();
    let mut files = BTreeMap::new();
    for (name, service) in &mut project.services {
        if let Some(context) = taking.context(name, service)? {
            contexts.insert(name.clone(), context);
        }
        taking.mounts(name, service, &mut files)?;
    }
    project.configs.extend(files);
    let Taking { name: project_name, bound, data, .. } = taking;
    for (key, name) in data {
        project.volumes.insert(key, Volume { name, ..Volume::default() });
    }
    let mut volumes = BTreeMap::new();
    let mut names = BTreeMap::new();
    for (path, Bound { content, folders, writable }) in bound {
        let folders: Vec<String> = folders.into_iter().collect();
        let access = if writable { "rw" } else { "ro" };
        let words = [content.digest(), access].into_iter().chain(folders.iter().map(String::as_str));
        let hash = identity::hash(words);
        let key = key("content", &path);
        let name = format!("{project_name}_{key}-{}", hash.get(..HASH).unwrap_or(&hash));
        names.insert(key.clone(), name.clone());
        let mut labels: BTreeMap<_, _> = [(identity::CONTENT.to_owned(), path)].into();
        if writable {
            labels.insert(identity::WRITABLE.to_owned(), "true".to_owned());
        }
        project.volumes.insert(key.clone(), Volume { name, labels, ..Volume::default() });
        volumes.insert(key, Parcel { content, folders });
    }
    Ok(Delivery { volumes, contexts })
}

/// What is bound and not in the source: Compose makes empty folders of it, beside those that are there.
fn made_by_compose(project: &Project, content: &Content) -> Vec<String> {
    let mounts = project.services.values().flat_map(|service| &service.volumes);
    let paths = mounts.filter_map(|mount| match &mount.kind {
        MountKind::Bind { source: BindSource::Project(path), create_host_path: true, .. } => Some(path),
        _ => None,
    });
    paths.filter(|path| *path != "." && content.get(path).is_none()).cloned().collect()
}

struct Taking<'a> {
    name: String,
    content: &'a Content,
    /// Paths of the source that outlast releases.
    persistent: BTreeSet<String>,
    /// Folders of the source that are bound, by path.
    bound: BTreeMap<String, Bound>,
    /// Volumes that outlast releases: their names by key.
    data: BTreeMap<String, String>,
}

struct Bound {
    content: Content,
    folders: BTreeSet<String>,
    writable: bool,
}

/// A bind of a path of the source.
struct Bind<'a> {
    at: &'a At,
    service: &'a str,
    target: &'a str,
    read_only: bool,
    selinux: Option<SeLinux>,
}

impl Taking<'_> {
    fn context(&self, name: &str, service: &Service) -> Result<Option<Content>, Undeliverable> {
        let Some(build) = &service.build else { return Ok(None) };
        let BuildContext::Project(path) = &build.context else { return Ok(None) };
        match self.content.subtree(path) {
            Ok(context) => Ok(Some(context)),
            // What is written inline needs no files.
            Err(Missing { .. }) if build.dockerfile_inline.is_some() => Ok(None),
            Err(error) => Err(Undeliverable {
                at: service.at.of("build").clone(),
                service: name.to_owned(),
                attribute: "build.context",
                message: format!("the source: {error}"),
            }),
        }
    }

    fn mounts(
        &mut self,
        name: &str,
        service: &mut Service,
        files: &mut BTreeMap<String, FileObject>,
    ) -> Result<(), Undeliverable> {
        let targets: Vec<String> = service.volumes.iter().map(|mount| mount.target.clone()).collect();
        let targets: Vec<String> =
            targets.into_iter().chain(service.tmpfs.iter().map(|tmpfs| tmpfs.target.clone())).collect();
        let mut mounts = Vec::new();
        for mount in std::mem::take(&mut service.volumes) {
            let MountKind::Bind { source: BindSource::Project(path), create_host_path, selinux, .. } = &mount.kind
            else {
                mounts.push(mount);
                continue;
            };
            let Mount { at, target, read_only, .. } = &mount;
            let bind = Bind { at, service: name, target, read_only: *read_only, selinux: *selinux };
            match self.found(path) {
                Found::Folder if !self.is_persistent(path) => {
                    self.folder(path, &bind, &targets, &mut mounts)?;
                }
                Found::File { size, executable } => {
                    let object = self.file(path, size, &bind)?;
                    let source = key("file", path);
                    let mode = Some(if executable { 0o755 } else { 0o644 });
                    let target = bind.target.to_owned();
                    service.configs.push(FileGrant {
                        at: at.clone(),
                        source: source.clone(),
                        target,
                        uid: None,
                        gid: None,
                        mode,
                    });
                    files.insert(source, object);
                }
                Found::Nothing if !*create_host_path => {
                    return Err(bind.error(format!("there is no {path:?} in the source")));
                }
                Found::Folder | Found::Nothing => mounts.push(self.data(path, &bind, bind.target.to_owned())),
                Found::Link => {
                    return Err(bind.error(format!("{path:?} is a link of the source; name what it leads to")));
                }
            }
        }
        service.volumes = mounts;
        Ok(())
    }

    /// Whether a path outlasts releases, or is in one that does.
    fn is_persistent(&self, path: &str) -> bool {
        self.persistent.iter().any(|kept| kept == path || below(kept, path).is_some())
    }

    fn found(&self, path: &str) -> Found {
        if path == "." {
            return Found::Folder;
        }
        match self.content.get(path) {
            Some(Entry::Folder) => Found::Folder,
            Some(Entry::File { size, executable, .. }) => Found::File { size: *size, executable: *executable },
            Some(Entry::Link { .. }) => Found::Link,
            None => Found::Nothing,
        }
    }

    /// Binds a folder, and over it what in it is persistent.
    fn folder(
        &mut self,
        path: &str,
        bind: &Bind<'_>,
        targets: &[String],
        mounts: &mut Vec<Mount>,
    ) -> Result<(), Undeliverable> {
        let source = key("content", path);
        mounts.push(bind.volume(source, bind.target.to_owned(), true));
        let inside: Vec<(String, String)> =
            self.persistent.iter().filter_map(|kept| Some((kept.clone(), below(path, kept)?.to_owned()))).collect();
        for (kept, rest) in &inside {
            let target = format!("{}/{rest}", bind.target.trim_end_matches('/'));
            if !targets.contains(&target) {
                let writable = Bind { read_only: false, ..*bind };
                mounts.push(self.data(kept, &writable, target));
            }
        }
        // A volume that is read-only holds the folders that others are mounted on, or it could not be.
        let mounted = targets.iter().filter_map(|target| below_target(bind.target, target).map(str::to_owned));
        let folders: BTreeSet<String> = inside.into_iter().map(|(_, rest)| rest).chain(mounted).collect();
        let content = self.content.subtree(path).map_err(|error| bind.error(format!("the source: {error}")))?;
        let bound = self.bound.entry(path.to_owned()).or_insert_with(|| Bound {
            content,
            folders: BTreeSet::new(),
            writable: false,
        });
        bound.writable |= !bind.read_only;
        let missing = folders.into_iter().filter(|folder| bound.content.get(folder).is_none());
        bound.folders.extend(missing.collect::<Vec<_>>());
        Ok(())
    }

    /// Binds a volume that outlasts releases.
    fn data(&mut self, path: &str, bind: &Bind<'_>, target: String) -> Mount {
        let key = key("data", path);
        self.data.insert(key.clone(), format!("{}_{key}", self.name));
        bind.volume(key, target, false)
    }

    fn file(&self, path: &str, size: u64, bind: &Bind<'_>) -> Result<FileObject, Undeliverable> {
        if size > LARGEST_FILE {
            let most = LARGEST_FILE >> 20;
            return Err(bind.error(format!("{path:?} has more than {most} MiB; bind the folder that it is in")));
        }
        let content = self.content.read(path, LARGEST_FILE).map_err(|error| bind.error(error.to_string()))?;
        Ok(FileObject {
            name: key("file", path),
            source: FileSource::File(path.to_owned()),
            content: content.to_vec(),
            ..FileObject::default()
        })
    }
}

/// What is at a path of the source.
enum Found {
    Folder,
    File { size: u64, executable: bool },
    Link,
    Nothing,
}

impl Bind<'_> {
    fn volume(&self, key: String, target: String, nocopy: bool) -> Mount {
        Mount {
            at: self.at.clone(),
            target,
            read_only: self.read_only,
            consistency: None,
            kind: MountKind::Volume {
                source: Some(key),
                nocopy,
                subpath: None,
                labels: BTreeMap::new(),
                selinux: self.selinux,
            },
        }
    }

    fn error(&self, message: String) -> Undeliverable {
        Undeliverable { at: self.at.clone(), service: self.service.to_owned(), attribute: "volumes", message }
    }
}

/// The key of what becomes of a path: no compose file has one like it, since it has a hash of the path in it.
fn key(kind: &str, path: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let shown: String = path.chars().map(plain).take(SHOWN).collect();
    let hash = identity::hash([kind, path]);
    let hash = hash.get(..HASH).unwrap_or(&hash);
    match shown.trim_matches('-') {
        "" => format!("{kind}-{hash}"),
        shown => format!("{kind}-{shown}-{hash}"),
    }
}

/// What is left of a path of the source below a folder of it.
fn below<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    if folder == "." {
        return Some(path);
    }
    path.strip_prefix(folder)?.strip_prefix('/').filter(|rest| !rest.is_empty())
}

/// What is left of a path of a container below a folder of it.
fn below_target<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(folder.trim_end_matches('/'))?.strip_prefix('/').filter(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::{
        compose,
        content::{Builder, Limits},
    };

    fn content(files: &[(&str, &str)]) -> Content {
        let mut builder = Builder::new(Limits::default()).unwrap();
        for (path, text) in files {
            builder.file(path.as_bytes(), path.ends_with(".sh"), text.as_bytes()).unwrap();
        }
        builder.finish().unwrap()
    }

    fn site() -> Content {
        content(&[
            ("compose.yaml", ""),
            ("app/index.php", "<?php"),
            ("app/storage/.keep", ""),
            ("app/start.sh", "exec php"),
            ("web/Dockerfile", "FROM scratch"),
        ])
    }

    fn project(services: &str) -> Project {
        let text = format!("services: {{{services}}}\nvolumes: {{own: {{}}}}");
        let sources = compose::Sources::inline("compose.yaml", &text);
        let (files, variables) = (["compose.yaml".to_owned()], BTreeMap::new());
        let request =
            compose::Request { sources: &sources, files: &files, variables: &variables, profiles: &[], name: "p" };
        compose::load(request).unwrap_or_else(|problems| panic!("{problems}")).project
    }

    fn taken(services: &str, content: &Content, persistent: &[&str]) -> Result<(Project, Delivery), String> {
        let persistent: Vec<String> = persistent.iter().map(|path| (*path).to_owned()).collect();
        let mut project = project(services);
        let delivery = take(&mut project, content, &persistent).map_err(|error| error.to_string())?;
        Ok((project, delivery))
    }

    /// What a service mounts: the beginning of each key, and where.
    fn mounts(project: &Project, service: &str) -> Vec<String> {
        let told = project.services[service].volumes.iter().map(|mount| match &mount.kind {
            MountKind::Volume { source: Some(key), .. } => {
                let kind = key.rsplit_once('-').map_or(key.as_str(), |(kind, _)| kind);
                format!("{kind}:{}{}", mount.target, if mount.read_only { ":ro" } else { "" })
            }
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    #[test]
    fn each_kind_of_path_becomes_what_it_is_to_be() {
        for (service, persistent, expected) in [
            ("volumes: ['./app:/app:ro', 'own:/own']", &[][..], vec!["content-app:/app:ro", "own:/own"]),
            ("volumes: ['./:/srv']", &[], vec!["content:/srv"]),
            ("volumes: ['./data:/data']", &[], vec!["data-data:/data"]),
            (
                "volumes: ['./app:/app:ro']",
                &["app/storage"],
                vec!["content-app:/app:ro", "data-app-storage:/app/storage"],
            ),
            ("volumes: ['./app/storage:/s']", &["app/storage"], vec!["data-app-storage:/s"]),
            ("volumes: ['./app/storage/x:/s']", &["app"], vec!["data-app-storage-x:/s"]),
            // What Compose would make an empty folder of is the same folder wherever it is seen.
            (
                "volumes: ['./app:/app', './app/new:/new']",
                &[],
                vec!["content-app:/app", "data-app-new:/app/new", "data-app-new:/new"],
            ),
            ("volumes: ['./app/start.sh:/start.sh']", &[], vec![]),
        ] {
            let (project, _) = taken(&format!("web: {{image: x, {service}}}"), &site(), persistent).unwrap();
            assert_eq!(mounts(&project, "web"), expected, "{service}");
        }
    }

    #[test]
    fn a_volume_is_named_after_what_is_in_it() {
        let names = |content: &Content, services: &str| {
            let (project, delivery) = taken(services, content, &[]).unwrap();
            delivery.volumes.keys().map(|key| project.volumes[key].name.clone()).collect::<Vec<_>>()
        };
        let web = "web: {image: x, volumes: ['./app:/app']}";
        let before = names(&site(), web);
        assert_eq!(before, names(&site(), web));
        assert_eq!(
            before,
            names(
                &content(&[
                    ("app/index.php", "<?php"),
                    ("app/storage/.keep", ""),
                    ("app/start.sh", "exec php"),
                    ("README.md", "another one"),
                ]),
                web
            ),
            "what is elsewhere does not matter"
        );
        assert_ne!(before, names(&content(&[("app/index.php", "<?php echo 1")]), web));
        // Two services with the same folder share it.
        assert_eq!(
            names(&site(), "a: {image: x, volumes: ['./app:/a']}, b: {image: x, volumes: ['./app:/b']}"),
            before
        );
    }

    #[test]
    fn folders_that_others_are_mounted_on_are_there() {
        let service = "web: {image: x, volumes: ['./app:/app:ro', 'own:/app/vendor/lib'], tmpfs: ['/app/tmp']}";
        let (_, delivery) = taken(service, &site(), &["app/storage"]).unwrap();
        let folders: Vec<_> = delivery.volumes.values().flat_map(|parcel| parcel.folders.clone()).collect();
        assert_eq!(folders, ["tmp", "vendor/lib"], "storage is there");
    }

    #[test]
    fn files_and_contexts_are_taken_along() {
        let service = "web: {build: ./web, volumes: ['./app/start.sh:/start.sh', './compose.yaml:/c']}";
        let (project, delivery) = taken(service, &site(), &[]).unwrap();
        let grants: Vec<_> =
            project.services["web"].configs.iter().map(|grant| (grant.target.as_str(), grant.mode)).collect();
        assert_eq!(grants, [("/start.sh", Some(0o755)), ("/c", Some(0o644))]);
        assert!(project.configs.values().any(|config| config.content == b"exec php"));
        assert!(delivery.contexts["web"].get("Dockerfile").is_some());
    }

    #[test]
    fn what_cannot_be_taken_is_told_with_its_line() {
        for (service, why) in [
            ("build: ./none", "compose.yaml:1: services.web.build.context: the source: there is nothing at `none`"),
            (
                "image: x, volumes: [{type: bind, source: ./none, target: /x, bind: {create_host_path: false}}]",
                r#"services.web.volumes: there is no "none" in the source"#,
            ),
        ] {
            let error = taken(&format!("web: {{{service}}}"), &site(), &[]).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
