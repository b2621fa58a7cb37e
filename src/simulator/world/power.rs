//! Power: start, stop, shutdown, reboot, suspend, resume, reset.

use std::time::Duration;

use super::World;
use super::engine::{Next, Work};
use super::guest::{Guest, Running};
use super::small::{no_config, no_such_config};
use super::task::TaskKey;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    Start,
    Stop,
    Shutdown,
    Reboot,
    Suspend,
    Resume,
    Reset,
}

impl Power {
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "start" => Self::Start,
            "stop" => Self::Stop,
            "shutdown" => Self::Shutdown,
            "reboot" => Self::Reboot,
            "suspend" => Self::Suspend,
            "resume" => Self::Resume,
            "reset" => Self::Reset,
            _ => return None,
        })
    }

    pub fn task_type(self) -> &'static str {
        match self {
            Self::Start => "qmstart",
            Self::Stop => "qmstop",
            Self::Shutdown => "qmshutdown",
            Self::Reboot => "qmreboot",
            Self::Suspend => "qmpause",
            Self::Resume => "qmresume",
            Self::Reset => "qmreset",
        }
    }
}

/// A power call whose parameters have been checked.
#[derive(Clone, Debug)]
pub(crate) struct PowerRequest {
    pub node: String,
    pub vmid: u32,
    pub power: Power,
    pub skiplock: bool,
    /// How long a shutdown waits for the guest.
    pub timeout: Duration,
    /// Whether a shutdown that times out ends the guest hard.
    pub force_stop: bool,
    /// UPIDs of shutdown tasks that a stop has ended.
    pub overruled: Vec<String>,
}

struct PowerWork {
    request: PowerRequest,
    stage: Stage,
}

enum Stage {
    Lock,
    Begin,
    /// QEMU is being started.
    Starting,
    /// The guest goes down by itself.
    GoingDown,
    /// The guest does not listen.
    Deaf,
}

impl PowerRequest {
    pub fn work(self) -> Box<dyn Work> {
        Box::new(PowerWork { request: self, stage: Stage::Lock })
    }
}

impl World {
    /// Makes a guest run: what waited for the next boot takes effect.
    pub fn power_on(&mut self, vmid: u32) {
        let (now, boot, pid) = (self.now, self.boot_time, self.new_pid());
        let Some(guest) = self.guest_mut(vmid) else {
            return;
        };
        guest.apply_pending();
        guest.cloud_init = guest.config.clone();
        guest.running = Some(Running {
            since: now,
            booted_at: now + boot,
            pid,
            paused: false,
            cpus: guest.config.cpus(),
            memory: guest.config.memory(),
        });
    }

    pub fn power_off(&mut self, vmid: u32) {
        if let Some(guest) = self.guest_mut(vmid) {
            guest.running = None;
            guest.apply_pending();
        }
    }
}

impl Work for PowerWork {
    fn step(&mut self, world: &mut World, task: TaskKey) -> Next {
        let PowerRequest { node, vmid, power, .. } = &self.request;
        let (vmid, power) = (*vmid, *power);
        match self.stage {
            Stage::Lock => {
                for upid in std::mem::take(&mut self.request.overruled) {
                    world.tasks.log(task, format!("overruled qmshutdown tasks: {upid}"));
                }
                self.stage = Stage::Begin;
                Next::lock(vmid)
            }
            Stage::Begin => {
                let Some(guest) = world.guest_on(node, vmid) else {
                    return Next::fail(match power {
                        Power::Stop | Power::Shutdown => no_config(vmid, node),
                        _ => no_such_config(vmid, node),
                    });
                };
                let guest = guest.clone();
                match power {
                    Power::Start => self.start(world, task, &guest),
                    _ => self.change(world, task, &guest),
                }
            }
            Stage::Starting => {
                world.power_on(vmid);
                Next::Done(Ok(()))
            }
            Stage::GoingDown => {
                world.power_off(vmid);
                if power == Power::Reboot {
                    world.power_on_later(vmid, Duration::from_secs(2));
                }
                Next::Done(Ok(()))
            }
            Stage::Deaf if self.request.force_stop => {
                world.tasks.log(task, "VM still running - terminating now with SIGTERM");
                world.power_off(vmid);
                Next::Done(Ok(()))
            }
            Stage::Deaf => Next::fail("VM quit/powerdown failed - got timeout"),
        }
    }
}

impl PowerWork {
    fn start(&mut self, world: &mut World, task: TaskKey, guest: &Guest) -> Next {
        let vmid = guest.vmid;
        if let Some(lock) = guest.config.lock().filter(|_| !self.request.skiplock) {
            return Next::fail(format!("VM is locked ({lock})"));
        }
        if guest.config.is_template() {
            return Next::fail("you can't start a vm if it's a template");
        }
        if guest.running.is_some() {
            return Next::fail(format!("VM {vmid} already running"));
        }
        let config = guest.with_pending();
        if config.drives().iter().any(|(_, drive)| drive.is_cloud_init()) {
            world.tasks.log(task, "generating cloud-init ISO");
        }
        if let Some(error) = world.faults.start_failure(&guest.node, vmid) {
            return Next::fail(error);
        }
        for (_, drive) in config.drives().iter().filter(|(_, drive)| !drive.is_cdrom()) {
            let missing =
                world.volume_by_id(&guest.node, &drive.file).is_some_and(|key| world.volumes.get(&key).is_none());
            if missing {
                return Next::fail(format!("volume '{}' does not exist", drive.file));
            }
        }
        let qemu_fails = "start failed: QEMU exited with code 1";
        let bridges = config.nics().into_iter().filter_map(|(_, _, bridge)| bridge);
        if let Some(bridge) = bridges.into_iter().find(|bridge| !world.bridges.contains(bridge)) {
            if world.is_v9() {
                return Next::fail(format!("bridge '{bridge}' does not exist"));
            }
            let script = "/usr/libexec/qemu-server/pve-bridge";
            world.tasks.log(task, format!("bridge '{bridge}' does not exist"));
            world.tasks.log(
                task,
                format!(
                    "kvm: -netdev type=tap,id=net0,ifname=tap{vmid}i0,script={script},downscript={script}down: \
                     network script {script} failed with status 512"
                ),
            );
            return Next::fail(qemu_fails);
        }
        let Some((memory, cpus)) = world.node(&guest.node).map(|node| (node.memory, node.cpus)) else {
            return Next::fail(no_such_config(vmid, &guest.node));
        };
        if config.cpus() > u64::from(cpus) {
            return Next::fail(format!("MAX {cpus} vcpus allowed per VM on this node"));
        }
        if config.memory() > memory {
            world.tasks.log(task, "kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory");
            return Next::fail(qemu_fails);
        }
        self.stage = Stage::Starting;
        Next::Sleep(Duration::from_millis(800))
    }

    /// Everything that needs a running guest; stop and shutdown are content with a stopped one.
    fn change(&mut self, world: &mut World, task: TaskKey, guest: &Guest) -> Next {
        let vmid = guest.vmid;
        let Some(running) = &guest.running else {
            return match self.request.power {
                Power::Stop | Power::Shutdown => Next::Done(Ok(())),
                _ => Next::fail(format!("VM {vmid} not running")),
            };
        };
        if let Some(lock) = guest.config.lock().filter(|_| !self.request.skiplock) {
            return Next::fail(format!("VM is locked ({lock})"));
        }
        match self.request.power {
            Power::Stop => {
                self.stage = Stage::GoingDown;
                Next::Sleep(Duration::from_millis(500))
            }
            Power::Shutdown | Power::Reboot if running.booted_at <= world.now => {
                self.stage = Stage::GoingDown;
                Next::Sleep(Duration::from_secs(2))
            }
            Power::Shutdown | Power::Reboot => {
                if guest.config.agent() {
                    let command = if world.is_v9() { "qga" } else { "qmp" };
                    world.tasks.log(
                        task,
                        format!(
                            "QEMU Guest Agent is not running - VM {vmid} {command} command 'guest-ping' failed - got timeout"
                        ),
                    );
                }
                self.stage = Stage::Deaf;
                Next::Sleep(self.request.timeout)
            }
            Power::Suspend | Power::Resume | Power::Reset | Power::Start => {
                let (power, now, boot) = (self.request.power, world.now, world.boot_time);
                if let Some(running) = world.guest_mut(vmid).and_then(|guest| guest.running.as_mut()) {
                    match power {
                        Power::Suspend => running.paused = true,
                        Power::Resume => running.paused = false,
                        _ => running.booted_at = now + boot,
                    }
                }
                Next::Done(Ok(()))
            }
        }
    }
}
