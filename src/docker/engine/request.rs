//! What is asked of an engine, as errors name it and as their classification needs it.

use std::fmt;

/// What is asked, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub call: Call,
    /// A name, an id, an image's reference; empty if it is about the engine as a whole.
    pub target: String,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Ping,
    Version,
    Info,
    Events,
    ListContainers,
    InspectContainer,
    CreateContainer,
    StartContainer,
    StopContainer,
    RestartContainer,
    KillContainer,
    PauseContainer,
    UnpauseContainer,
    RenameContainer,
    RemoveContainer,
    WaitContainer,
    ReadLogs,
    Exec,
    Upload,
    Download,
    ListNetworks,
    InspectNetwork,
    CreateNetwork,
    ConnectNetwork,
    DisconnectNetwork,
    RemoveNetwork,
    ListVolumes,
    InspectVolume,
    CreateVolume,
    RemoveVolume,
    ListImages,
    InspectImage,
    TagImage,
    RemoveImage,
    PullImage,
    ImportImage,
    BuildImage,
}

impl Call {
    /// Of this target.
    pub(super) fn of(self, target: impl Into<String>) -> Request {
        Request { call: self, target: target.into() }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Version => "ask for the version",
            Self::Info => "ask for the capacity",
            Self::Events => "listen to events",
            Self::ListContainers => "list containers",
            Self::InspectContainer => "inspect container",
            Self::CreateContainer => "create container",
            Self::StartContainer => "start container",
            Self::StopContainer => "stop container",
            Self::RestartContainer => "restart container",
            Self::KillContainer => "signal container",
            Self::PauseContainer => "pause container",
            Self::UnpauseContainer => "resume container",
            Self::RenameContainer => "rename container",
            Self::RemoveContainer => "remove container",
            Self::WaitContainer => "wait for container",
            Self::ReadLogs => "read the log of container",
            Self::Exec => "run a command in container",
            Self::Upload => "upload into container",
            Self::Download => "download from container",
            Self::ListNetworks => "list networks",
            Self::InspectNetwork => "inspect network",
            Self::CreateNetwork => "create network",
            Self::ConnectNetwork => "connect to network",
            Self::DisconnectNetwork => "disconnect from network",
            Self::RemoveNetwork => "remove network",
            Self::ListVolumes => "list volumes",
            Self::InspectVolume => "inspect volume",
            Self::CreateVolume => "create volume",
            Self::RemoveVolume => "remove volume",
            Self::ListImages => "list images",
            Self::InspectImage => "inspect image",
            Self::TagImage => "tag image",
            Self::RemoveImage => "remove image",
            Self::PullImage => "pull image",
            Self::ImportImage => "import image",
            Self::BuildImage => "build image",
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, target } = self;
        out.write_str(call.words())?;
        if target.is_empty() { Ok(()) } else { write!(out, " {target}") }
    }
}
