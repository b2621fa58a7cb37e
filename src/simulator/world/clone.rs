//! Cloning: `qmclone` with the stages that a client can see.

use std::time::Duration;

use super::config::{Config, Drive};
use super::engine::{Next, Work};
use super::guest::{Guest, Kind};
use super::storage::{Volume, VolumeKey};
use super::task::TaskKey;
use super::{World, small};
use crate::simulator::faults::Fate;

/// How much `qemu-img convert -p` copies between two progress lines.
const PROGRESS: f64 = 0.012_241;

/// How long `clone` waits for the locks of source and target.
const CLONE_LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// A clone call whose parameters have been checked.
#[derive(Clone, Debug)]
pub(crate) struct CloneRequest {
    pub node: String,
    pub source: u32,
    pub newid: u32,
    pub target: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub snapshot: Option<String>,
    pub full: bool,
    pub storage: Option<String>,
    pub format: Option<String>,
    pub pool: Option<String>,
    /// KiB per second.
    pub bwlimit: Option<u64>,
}

pub(crate) struct CloneWork {
    request: CloneRequest,
    stage: Stage,
    /// The configuration that is written after each drive.
    config: Config,
    drives: Vec<(String, Drive)>,
    made: Vec<VolumeKey>,
}

enum Stage {
    LockSource,
    LockTarget,
    Create,
    /// Make the volume of the next drive.
    Allocate,
    /// Copy: lines written so far.
    Copy {
        lines: u32,
        copy: Copy,
    },
    Finish,
}

#[derive(Clone)]
struct Copy {
    key: String,
    drive: Drive,
    volume: VolumeKey,
    size: u64,
    command: String,
    /// Bytes that fit on the storage, when they are fewer than the size.
    fits: Option<u64>,
}

impl CloneRequest {
    pub fn work(self) -> Box<dyn Work> {
        Box::new(CloneWork {
            request: self,
            stage: Stage::LockSource,
            config: Config::default(),
            drives: Vec::new(),
            made: Vec::new(),
        })
    }
}

impl Work for CloneWork {
    fn step(&mut self, world: &mut World, task: TaskKey) -> Next {
        match std::mem::replace(&mut self.stage, Stage::Finish) {
            Stage::LockSource => {
                self.stage = Stage::LockTarget;
                Next::Lock { vmid: self.request.source, shared: true, timeout: CLONE_LOCK_TIMEOUT }
            }
            Stage::LockTarget => {
                self.stage = Stage::Create;
                Next::Lock { vmid: self.request.newid, shared: false, timeout: CLONE_LOCK_TIMEOUT }
            }
            Stage::Create => match self.create(world, task) {
                Ok(()) => {
                    self.stage = Stage::Allocate;
                    Next::Sleep(Duration::from_millis(50))
                }
                Err(error) => Next::fail(error),
            },
            Stage::Allocate => self.allocate(world, task),
            Stage::Copy { lines, copy } => self.copy(world, task, lines, copy),
            Stage::Finish => self.finish(world),
        }
    }

    fn interrupted(&mut self, world: &mut World, _task: TaskKey) -> String {
        let stage = std::mem::replace(&mut self.stage, Stage::Finish);
        match stage {
            Stage::LockSource | Stage::LockTarget | Stage::Create => "received interrupt".into(),
            Stage::Copy { copy, .. } => {
                let error = format!("clone failed: copy failed: {} failed: interrupted by signal", copy.command);
                self.clean_up(world);
                error
            }
            Stage::Allocate | Stage::Finish => {
                self.clean_up(world);
                "clone failed: received interrupt".into()
            }
        }
    }
}

impl CloneWork {
    fn create(&mut self, world: &mut World, task: TaskKey) -> Result<(), String> {
        let request = &self.request;
        let (node, newid) = (request.node.clone(), request.newid);
        let source = world.guest_on(&node, request.source).ok_or_else(|| small::no_config(request.source, &node))?;
        if let Some(lock) = source.config.lock() {
            return Err(format!("VM is locked ({lock})"));
        }
        let config = match &request.snapshot {
            Some(name) => source.snapshots.get(name).cloned().ok_or(format!("snapshot '{name}' does not exist"))?,
            None => source.config.clone(),
        };
        if world.is_taken_on(&node, newid) {
            return Err(format!("unable to create VM {newid}: config file already exists"));
        }
        if world.is_v9() {
            world.tasks.log(task, format!("creating a clone of VM {} with ID {newid}", request.source));
        }
        if world.guest(newid).is_some() {
            let file = format!("/etc/pve/nodes/{node}/qemu-server/{newid}.conf");
            return Err(format!("close (rename) atomic file '{file}' failed: File exists"));
        }
        if !world.has_quorum() {
            return Err(world.no_quorum_write(&node, newid));
        }
        let mut guest = Guest::new(newid, &node, Kind::Qemu);
        guest.config.set("lock", "clone");
        guest.config.set("description", " qmclone temporary file");
        world.insert_guest(guest);
        if let Some(pool) = self.request.pool.as_ref().and_then(|pool| world.pools.get_mut(pool)) {
            pool.insert(newid);
        }
        self.plan(world, &config);
        Ok(())
    }

    /// Sets out which lines the copy gets and which drives are to be copied.
    fn plan(&mut self, world: &mut World, source: &Config) {
        self.drives = source.drives();
        for (key, value) in source.iter() {
            let is_drive = self.drives.iter().any(|(name, _)| name == key);
            let is_left_out = matches!(key, "template" | "lock" | "parent" | "snaptime" | "vmgenid" | "vmstate")
                || key.starts_with("unused");
            if !is_drive && !is_left_out {
                self.config.set(key, small::with_new_identity(world, key, value));
            }
        }
        self.config.set("vmgenid", world.new_uuid());
        self.config.set("lock", "clone");
        let old = source.get("name").map_or_else(|| format!("VM-{}", self.request.source), str::to_owned);
        self.config.set("name", self.request.name.clone().unwrap_or_else(|| format!("Copy-of-VM-{old}")));
        match self.request.description.as_deref() {
            Some("") => {
                self.config.remove("description");
            }
            Some(text) => self.config.set("description", text),
            None => {}
        }
        // CD-ROMs are not copied, except for the cloud-init drive.
        self.drives.retain(|(key, drive)| {
            let copied = drive.volume().is_some() && (!drive.is_cdrom() || drive.is_cloud_init());
            if !copied {
                self.config.set(key, drive.text());
            }
            copied
        });
        self.drives.reverse();
    }

    fn allocate(&mut self, world: &mut World, task: TaskKey) -> Next {
        let Some((key, drive)) = self.drives.pop() else {
            self.stage = Stage::Finish;
            return Next::Sleep(Duration::from_millis(50));
        };
        let (node, newid) = (self.request.node.clone(), self.request.newid);
        let Some((old_storage, old_name)) = drive.volume().map(|(storage, name)| (storage.to_owned(), name.to_owned()))
        else {
            return Next::Sleep(Duration::ZERO);
        };
        let source = world.volume_key(&old_storage, &node, &old_name);
        let Some(volume) = world.volumes.get(&source).cloned() else {
            return self.fail(world, format!("volume '{}' does not exist", drive.file));
        };
        let linked = !self.request.full && !drive.is_cloud_init();
        let storage =
            if linked { old_storage.clone() } else { self.request.storage.clone().unwrap_or(old_storage.clone()) };
        let Some(found) = world.storages.get(&storage) else {
            return self.fail(world, format!("storage '{storage}' does not exist"));
        };
        let format = found.format(Some(self.request.format.as_deref().unwrap_or(&volume.format)));
        let mut lines = Vec::new();
        let name = if drive.is_cloud_init() {
            world.cloud_init_name(&storage, newid, &format)
        } else {
            world.new_disk_name(&storage, &node, newid, &format, "vm")
        };
        let made = if linked {
            lines.push(format!("create linked clone of drive {key} ({})", drive.file));
            self.linked(world, &mut lines, &source, &volume, &name)
        } else {
            lines.push(format!("create full clone of drive {key} ({})", drive.file));
            lines.extend(world.format_line(&storage, &name, volume.size, &format, None));
            if world.is_v9() {
                lines.push(format!("allocated target volume '{storage}:{name}'"));
            }
            world.volume_key(&storage, &node, &name)
        };
        for line in lines {
            world.tasks.log(task, line);
        }
        let (used, total) = world.space(&storage, &node);
        let needed = if linked { 0 } else { volume.size };
        let fits = total.saturating_sub(used);
        let path = |storage: &str, name: &str| {
            world.storages.get(storage).map(|found| found.path_of(name)).unwrap_or_default()
        };
        let rate = self.request.bwlimit.filter(|rate| *rate > 0).map(|rate| format!(" -r {rate}K")).unwrap_or_default();
        let zero = if world.is_v9() { "" } else { "zeroinit:" };
        let command = format!(
            "command '/usr/bin/qemu-img convert -p -n{rate} -f {} -O {format} {} {zero}{}'",
            volume.format,
            path(&old_storage, &old_name),
            path(&storage, &name),
        );
        let base = linked.then(|| old_name.clone());
        let new =
            Volume { vmid: newid, size: volume.size, used: needed.min(fits), format, created: world.unix_time(), base };
        world.volumes.insert(made.clone(), new);
        self.made.push(made.clone());
        let mut target = drive.clone();
        target.file = format!("{storage}:{}", made.name);
        target.set_size(volume.size);
        let fits = (fits < needed).then_some(fits);
        let copy = Copy { key, drive: target, volume: made, size: volume.size, command, fits };
        if linked || drive.is_cloud_init() {
            return self.copied(world, &copy, Duration::from_millis(60));
        }
        self.stage = Stage::Copy { lines: 0, copy };
        Next::Sleep(Duration::ZERO)
    }

    fn linked(
        &self,
        world: &World,
        lines: &mut Vec<String>,
        source: &VolumeKey,
        volume: &Volume,
        name: &str,
    ) -> VolumeKey {
        let newid = self.request.newid;
        let file = name.rsplit('/').next().unwrap_or(name);
        let is_files = world.storages.get(&source.storage).is_some_and(super::storage::Storage::is_files);
        let base = &source.name;
        if is_files {
            lines.push(format!("clone {base}: images, {file}, {newid} to {file} (base=../{base})"));
        } else {
            lines.push(format!("clone {base}: images, {file}, {newid} to {file}"));
        }
        lines.extend(world.format_line(&source.storage, name, volume.size, &volume.format, Some(base)));
        let full_name = match world.storages.get(&source.storage).map(|found| found.spec.kind) {
            Some(crate::simulator::scenario::StorageKind::LvmThin) => name.to_owned(),
            _ => format!("{base}/{name}"),
        };
        VolumeKey { name: full_name, ..source.clone() }
    }

    fn copy(&mut self, world: &mut World, task: TaskKey, lines: u32, copy: Copy) -> Next {
        let done = (f64::from(lines) * PROGRESS).min(1.0);
        let percent = done * 100.0;
        match world.faults.clone_fate(&self.request.node, self.request.source, self.request.newid, percent) {
            Some(Fate::Fails) => {
                let error = format!("clone failed: copy failed: {} failed: exit code 1", copy.command);
                world.tasks.log(task, "qemu-img: error while reading at byte 0: Input/output error");
                return self.fail(world, error);
            }
            Some(Fate::Killed) => return Next::Killed,
            None => {}
        }
        let bytes = (copy.size as f64 * done) as u64;
        if let Some(fits) = copy.fits.filter(|fits| bytes >= *fits) {
            world.tasks.log(task, format!("qemu-img: error while writing at byte {fits}: No space left on device"));
            let error = format!("clone failed: copy failed: {} failed: exit code 1", copy.command);
            return self.fail(world, error);
        }
        let line = format!("transferred {} of {} ({percent:.2}%)", human(bytes), human(copy.size));
        if done >= 1.0 {
            world.tasks.log(task, line.clone());
            world.tasks.log(task, line);
            return self.copied(world, &copy, Duration::from_millis(30));
        }
        world.tasks.log(task, line);
        let mut rate = world.clone_bytes_per_second;
        if let Some(limit) = self.request.bwlimit.filter(|limit| *limit > 0) {
            rate = rate.min(limit << 10);
        }
        let pause = Duration::from_secs_f64(copy.size as f64 * PROGRESS / rate as f64);
        self.stage = Stage::Copy { lines: lines + 1, copy };
        Next::Sleep(pause)
    }

    /// A drive is done: from the first one on the file holds the real configuration.
    fn copied(&mut self, world: &mut World, copy: &Copy, pause: Duration) -> Next {
        debug_assert!(self.made.contains(&copy.volume));
        self.config.set(&copy.key, copy.drive.text());
        if let Some(guest) = world.guest_mut(self.request.newid) {
            guest.config = self.config.clone();
        }
        self.stage = Stage::Allocate;
        Next::Sleep(pause)
    }

    fn finish(&mut self, world: &mut World) -> Next {
        if !world.has_quorum() {
            let error = world.no_quorum_write(&self.request.node, self.request.newid);
            return self.fail(world, format!("clone failed: {error}"));
        }
        self.config.remove("lock");
        let config = self.config.clone();
        let target = self.request.target.clone();
        if let Some(guest) = world.guest_mut(self.request.newid) {
            guest.config = config;
            if let Some(target) = target {
                guest.node = target;
            }
        }
        Next::Done(Ok(()))
    }

    fn fail(&mut self, world: &mut World, error: String) -> Next {
        self.clean_up(world);
        let error = if error.starts_with("clone failed") { error } else { format!("clone failed: {error}") };
        Next::fail(error)
    }

    /// A clone that fails removes its target.
    fn clean_up(&mut self, world: &mut World) {
        for key in std::mem::take(&mut self.made) {
            // A volume that cannot be deleted stays behind; the real one only warns, too.
            let _ = world.free_volume(&key, self.request.newid);
        }
        world.remove_guest(self.request.newid);
        world.drop_from_pools(self.request.newid);
    }
}

/// Bytes as `qemu-img` progress shows them: one decimal and a unit.
fn human(bytes: u64) -> String {
    let mut number = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB"].into_iter();
    let mut unit = units.next().unwrap_or("B");
    for next in units {
        if number < 1024.0 {
            break;
        }
        number /= 1024.0;
        unit = next;
    }
    if number >= 1024.0 { format!("{:.1} TiB", number / 1024.0) } else { format!("{number:.1} {unit}") }
}
