//! What a failed call means: one exhaustive classification, in one place.

use super::{
    Error, Refusal,
    phrases::{Trouble, trouble},
    request::Call,
};

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// It may or may not have happened, or things are not as they were thought to be: look, then decide.
    LookAgain,
    /// The same again, after a pause.
    Retry,
    /// Something that passes by itself or by somebody else's hand stands in the way: again, after longer and longer pauses.
    Wait,
    /// The engine refuses it for good: not before something else is asked for.
    Stalled,
}

/// A failure: what follows, a word for it, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub class: Class,
    /// As in a condition's reason: `PortTaken`.
    pub word: &'static str,
    pub message: String,
}

/// What a failed call means.
pub fn of(error: &Error) -> Failure {
    let failure = |class, word| Failure { class, word, message: error.to_string() };
    match error {
        Error::Refused(refusal) => {
            let (class, word) = of_refusal(refusal);
            failure(class, word)
        }
        Error::Unreachable { .. } => failure(Class::Retry, "HostUnreachable"),
        Error::NotTrusted { .. } => failure(Class::Wait, "HostNotTrusted"),
        Error::NotAdmitted { .. } => failure(Class::Wait, "HostRefusesCredentials"),
        Error::ReplyLost { .. } => failure(Class::LookAgain, "ReplyLost"),
        Error::Timeout { .. } => failure(Class::LookAgain, "Timeout"),
        Error::Decode { .. } => failure(Class::LookAgain, "ReplyNotUnderstood"),
        Error::TooOld { .. } => failure(Class::Wait, "EngineTooOld"),
        Error::NotAllowed(_) => failure(Class::Stalled, "NotAllowed"),
        Error::Invalid(_) => failure(Class::Stalled, "InvalidRequest"),
    }
}

fn of_refusal(refusal: &Refusal) -> (Class, &'static str) {
    let Refusal { request, status, text } = refusal;
    let call = request.call;
    if let Some(trouble) = trouble(text).filter(|trouble| can_be(*trouble, call)) {
        return of_trouble(trouble);
    }
    match status {
        Some(400) => (Class::Stalled, "Refused"),
        // Plugins for authorization answer so.
        Some(401 | 403) => (Class::Wait, "Forbidden"),
        Some(404) => (Class::LookAgain, "NotFound"),
        Some(409) => (Class::LookAgain, "Conflict"),
        Some(501) => (Class::Stalled, "NotImplemented"),
        _ => match call {
            Call::StartContainer | Call::RestartContainer => (Class::Retry, "StartFailed"),
            Call::PullImage => (Class::Retry, "PullFailed"),
            Call::ImportImage => (Class::Retry, "ImportFailed"),
            Call::BuildImage => (Class::Retry, "BuildFailed"),
            Call::CreateContainer => (Class::Retry, "CreateFailed"),
            Call::StopContainer | Call::KillContainer => (Class::Retry, "StopFailed"),
            Call::RemoveContainer | Call::RemoveNetwork | Call::RemoveVolume | Call::RemoveImage => {
                (Class::Retry, "RemoveFailed")
            }
            Call::Upload | Call::Download => (Class::Retry, "TransferFailed"),
            Call::Exec => (Class::Retry, "CommandFailed"),
            Call::Ping
            | Call::Version
            | Call::Info
            | Call::Events
            | Call::ListContainers
            | Call::InspectContainer
            | Call::PauseContainer
            | Call::UnpauseContainer
            | Call::RenameContainer
            | Call::WaitContainer
            | Call::ReadLogs
            | Call::ListNetworks
            | Call::InspectNetwork
            | Call::CreateNetwork
            | Call::ConnectNetwork
            | Call::DisconnectNetwork
            | Call::ListVolumes
            | Call::InspectVolume
            | Call::CreateVolume
            | Call::ListImages
            | Call::InspectImage
            | Call::TagImage => (Class::Retry, "EngineError"),
        },
    }
}

fn of_trouble(trouble: Trouble) -> (Class, &'static str) {
    match trouble {
        Trouble::NameTaken => (Class::LookAgain, "NameTaken"),
        Trouble::PortTaken => (Class::Wait, "PortTaken"),
        Trouble::AddressTaken => (Class::Wait, "AddressTaken"),
        Trouble::SubnetTaken => (Class::Wait, "SubnetTaken"),
        Trouble::SubnetsExhausted => (Class::Wait, "SubnetsExhausted"),
        Trouble::DiskFull => (Class::Wait, "DiskFull"),
        Trouble::RegistryDenies => (Class::Wait, "RegistryDenies"),
        Trouble::ImageNotFound => (Class::Wait, "ImageNotFound"),
        Trouble::PlatformNotFound => (Class::Stalled, "PlatformNotFound"),
        Trouble::RateLimited => (Class::Wait, "RateLimited"),
        Trouble::RegistryNotTrusted => (Class::Wait, "RegistryNotTrusted"),
        Trouble::RegistryUnreachable => (Class::Wait, "RegistryUnreachable"),
        Trouble::CommandNotFound => (Class::Stalled, "CommandNotFound"),
        Trouble::HostPathMissing => (Class::Wait, "HostPathMissing"),
        Trouble::DeviceMissing => (Class::Wait, "DeviceMissing"),
        Trouble::DriverMissing => (Class::Wait, "DriverMissing"),
        Trouble::InUse => (Class::LookAgain, "InUse"),
        Trouble::OtherState => (Class::LookAgain, "OtherState"),
        Trouble::BuildInvalid => (Class::Stalled, "BuildInvalid"),
        Trouble::BuildFailed => (Class::Wait, "BuildFailed"),
    }
}

/// Whether a call can run into a trouble: the same words can be about something else elsewhere.
fn can_be(trouble: Trouble, call: Call) -> bool {
    let registry = matches!(call, Call::PullImage | Call::BuildImage);
    let starts = matches!(call, Call::StartContainer | Call::RestartContainer);
    match trouble {
        Trouble::DiskFull | Trouble::InUse | Trouble::OtherState => true,
        Trouble::NameTaken => {
            matches!(call, Call::CreateContainer | Call::RenameContainer | Call::CreateNetwork | Call::CreateVolume)
        }
        Trouble::PortTaken => starts,
        Trouble::AddressTaken => starts || call == Call::ConnectNetwork,
        Trouble::SubnetTaken | Trouble::SubnetsExhausted => call == Call::CreateNetwork,
        Trouble::RegistryDenies
        | Trouble::ImageNotFound
        | Trouble::RateLimited
        | Trouble::RegistryNotTrusted
        | Trouble::RegistryUnreachable => registry,
        Trouble::PlatformNotFound => registry || call == Call::CreateContainer,
        Trouble::CommandNotFound => starts || matches!(call, Call::CreateContainer | Call::Exec),
        Trouble::HostPathMissing | Trouble::DeviceMissing => starts || call == Call::CreateContainer,
        Trouble::DriverMissing => {
            starts || matches!(call, Call::CreateContainer | Call::CreateNetwork | Call::CreateVolume)
        }
        Trouble::BuildInvalid | Trouble::BuildFailed => call == Call::BuildImage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        use Call::{
            BuildImage, CreateContainer, CreateNetwork, CreateVolume, KillContainer, PullImage, RemoveContainer,
            RemoveNetwork, RemoveVolume, StartContainer,
        };
        use Class::{LookAgain, Retry, Stalled, Wait};
        for (call, status, text, expected) in [
            (
                CreateContainer,
                Some(409),
                "Conflict. The container name \"/a\" is already in use by container \"12\". You have to remove (or rename)",
                (LookAgain, "NameTaken"),
            ),
            (CreateContainer, Some(404), "No such image: a:latest", (LookAgain, "NotFound")),
            (CreateContainer, Some(400), "Minimum memory limit allowed is 6MB", (Stalled, "Refused")),
            (
                CreateContainer,
                Some(400),
                "invalid mount config for type \"bind\": bind source path does not exist: /a",
                (Wait, "HostPathMissing"),
            ),
            (
                StartContainer,
                Some(500),
                "driver failed programming external connectivity on endpoint a (12): Bind for 0.0.0.0:80 failed: port is already allocated",
                (Wait, "PortTaken"),
            ),
            (
                StartContainer,
                Some(500),
                "driver failed programming external connectivity on endpoint a: Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use",
                (Wait, "PortTaken"),
            ),
            (StartContainer, Some(403), "Address already in use", (Wait, "AddressTaken")),
            (
                StartContainer,
                Some(400),
                "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"a\": executable file not found in $PATH: unknown",
                (Stalled, "CommandNotFound"),
            ),
            (StartContainer, Some(404), "network 12 not found", (LookAgain, "NotFound")),
            (StartContainer, Some(500), "something new", (Retry, "StartFailed")),
            (
                StartContainer,
                Some(500),
                "could not select device driver \"nvidia\" with capabilities: [[gpu]]",
                (Wait, "DriverMissing"),
            ),
            (
                PullImage,
                Some(404),
                "pull access denied for a, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                (Wait, "ImageNotFound"),
            ),
            (
                PullImage,
                Some(404),
                "manifest for a:b not found: manifest unknown: manifest unknown",
                (Wait, "ImageNotFound"),
            ),
            (
                PullImage,
                Some(500),
                "Head \"http://a/v2/b/manifests/c\": no basic auth credentials",
                (Wait, "RegistryDenies"),
            ),
            (
                PullImage,
                Some(500),
                "Get \"https://a/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                (Wait, "RegistryUnreachable"),
            ),
            (
                PullImage,
                Some(500),
                "Get \"https://a/v2/\": x509: certificate signed by unknown authority",
                (Wait, "RegistryNotTrusted"),
            ),
            (PullImage, None, "write /var/lib/docker/tmp/GetImageBlob1: no space left on device", (Wait, "DiskFull")),
            (PullImage, None, "toomanyrequests: You have reached your pull rate limit.", (Wait, "RateLimited")),
            (
                PullImage,
                Some(404),
                "no matching manifest for linux/arm64 in the manifest list entries",
                (Stalled, "PlatformNotFound"),
            ),
            (PullImage, Some(400), "invalid reference format", (Stalled, "Refused")),
            (BuildImage, None, "The command '/bin/sh -c false' returned a non-zero code: 1", (Wait, "BuildFailed")),
            (
                BuildImage,
                Some(400),
                "dockerfile parse error line 1: unknown instruction: NONSENSE",
                (Stalled, "BuildInvalid"),
            ),
            (CreateNetwork, Some(403), "Pool overlaps with other one on this address space", (Wait, "SubnetTaken")),
            (CreateNetwork, Some(409), "network with name a already exists", (LookAgain, "NameTaken")),
            (
                CreateVolume,
                Some(404),
                "create a: error looking up volume plugin b: plugin \"b\" not found",
                (Wait, "DriverMissing"),
            ),
            (
                RemoveNetwork,
                Some(403),
                "error while removing network: network a id 12 has active endpoints",
                (LookAgain, "InUse"),
            ),
            (RemoveVolume, Some(409), "remove a: volume is in use - [12]", (LookAgain, "InUse")),
            (RemoveContainer, Some(409), "removal of container a is already in progress", (LookAgain, "OtherState")),
            (
                KillContainer,
                Some(409),
                "Cannot kill container: a: Container 12 is not running",
                (LookAgain, "OtherState"),
            ),
            (KillContainer, Some(403), "authorization denied by plugin a: no", (Wait, "Forbidden")),
            (KillContainer, Some(503), "", (Retry, "StopFailed")),
        ] {
            let error = Error::refused(call.of("a"), status, text);
            let failure = of(&error);
            assert_eq!((failure.class, failure.word), expected, "{text}");
        }
    }

    #[test]
    fn words_of_another_call_decide_nothing() {
        let error =
            Error::refused(Call::InspectContainer.of("a"), Some(500), "unauthorized: x509: port is already allocated");
        assert_eq!(of(&error).word, "EngineError");
    }
}
