//! What an engine is and has.

use std::{fmt, str::FromStr};

use bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum, SystemVersion};

use jiff::Timestamp;

use super::{Call, Engine, Error, Result};

/// The oldest API that is worked with: Docker 20.10.
pub const OLDEST_API: ApiVersion = ApiVersion { major: 1, minor: 41 };

/// A version of the Engine API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    pub major: u32,
    pub minor: u32,
}

impl ApiVersion {
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ApiVersion {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (major, minor) = text.split_once('.').ok_or(())?;
        Ok(Self { major: major.parse().map_err(drop)?, minor: minor.parse().map_err(drop)? })
    }
}

/// What an engine is and has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// The engine's own id, which it keeps.
    pub id: String,
    /// The host's name.
    pub name: String,
    /// The version of Docker.
    pub version: String,
    /// The newest API that it speaks.
    pub api: ApiVersion,
    /// `linux`.
    pub os: String,
    /// `amd64`.
    pub architecture: String,
    /// `Debian GNU/Linux 13 (trixie)`.
    pub distribution: String,
    pub kernel: String,
    pub cpus: u32,
    /// In bytes.
    pub memory: u64,
    pub storage_driver: String,
    /// Of the operating system's control groups: 1 or 2.
    pub cgroup_version: u8,
    /// Containers of everybody, and how many of them run.
    pub containers: u64,
    pub running: u64,
    pub images: u64,
    pub runtimes: Vec<String>,
    pub log_drivers: Vec<String>,
    /// The log driver of containers that name none.
    pub log_driver: String,
    /// `rootless`, `userns`, `seccomp`, …
    pub security: Vec<String>,
    /// Whether containers outlive the engine's process.
    pub live_restore: bool,
    /// What the engine has to complain of.
    pub warnings: Vec<String>,
    /// The engine's clock when it was asked.
    pub time: Option<Timestamp>,
}

impl Engine {
    /// Whether the engine answers.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ping(&self) -> Result<()> {
        self.call(Call::Ping.of(""), self.limits.read, self.docker.ping()).await.map(drop)
    }

    /// What the engine is and has.
    ///
    /// # Errors
    /// [`Error::TooOld`], and others.
    pub async fn capacity(&self) -> Result<Capacity> {
        let request = Call::Version.of("");
        let version = self.call(request.clone(), self.limits.read, self.docker.version()).await?;
        let SystemVersion { version, api_version, arch, os, .. } = version;
        let spoken = api_version.unwrap_or_default();
        let version = version.unwrap_or_default();
        let Ok(api) = spoken.parse::<ApiVersion>() else {
            return Err(Error::Decode { request, reason: format!("{spoken:?} is no version of the API") });
        };
        if api < OLDEST_API {
            return Err(Error::TooOld { version, got: spoken, needed: OLDEST_API.to_string() });
        }
        let info = self.call(Call::Info.of(""), self.limits.read, self.docker.info()).await?;
        Ok(Capacity {
            version,
            api,
            os: os.unwrap_or_default(),
            architecture: arch.unwrap_or_default(),
            ..Capacity::from(info)
        })
    }
}

impl From<SystemInfo> for Capacity {
    fn from(info: SystemInfo) -> Self {
        let count = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default();
        let mut runtimes: Vec<_> = info.runtimes.unwrap_or_default().into_keys().collect();
        runtimes.sort();
        // `name=seccomp,profile=default`
        let security = info.security_options.unwrap_or_default();
        let security = security
            .iter()
            .filter_map(|option| option.split(',').find_map(|part| part.strip_prefix("name=")).map(str::to_owned));
        Self {
            id: info.id.unwrap_or_default(),
            name: info.name.unwrap_or_default(),
            distribution: info.operating_system.unwrap_or_default(),
            kernel: info.kernel_version.unwrap_or_default(),
            cpus: u32::try_from(count(info.ncpu)).unwrap_or(u32::MAX),
            memory: count(info.mem_total),
            storage_driver: info.driver.unwrap_or_default(),
            cgroup_version: match info.cgroup_version {
                Some(SystemInfoCgroupVersionEnum::_1) => 1,
                Some(SystemInfoCgroupVersionEnum::_2 | SystemInfoCgroupVersionEnum::EMPTY) | None => 2,
            },
            containers: count(info.containers),
            running: count(info.containers_running),
            images: count(info.images),
            runtimes,
            log_drivers: info.plugins.and_then(|plugins| plugins.log).unwrap_or_default(),
            log_driver: info.logging_driver.unwrap_or_default(),
            security: security.collect(),
            live_restore: info.live_restore_enabled.unwrap_or_default(),
            warnings: info.warnings.unwrap_or_default(),
            time: info.system_time.and_then(|time| time.parse().ok()),
            ..Self::default()
        }
    }
}
