//! Sentences of the engine's that decide what follows. Tried on Docker 20.10 where the tests say so; the others are from
//! the engine's sources.

/// A kind of trouble that the engine puts into words only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Trouble {
    /// The name of a new container is another's.
    NameTaken,
    /// A port of the host is another's.
    PortTaken,
    /// A static address of a network is another's.
    AddressTaken,
    /// A network's addresses overlap with another's.
    SubnetTaken,
    /// No addresses are left for another network.
    SubnetsExhausted,
    /// The host's disk is full.
    DiskFull,
    /// The registry wants other credentials.
    RegistryDenies,
    /// The registry does not have the image, or does not admit that it has.
    ImageNotFound,
    /// The image is not made for the platform.
    PlatformNotFound,
    /// The registry has had enough of us.
    RateLimited,
    /// The registry's certificate is not believed, or it speaks no TLS.
    RegistryNotTrusted,
    /// The registry cannot be reached.
    RegistryUnreachable,
    /// The command is not in the image, or cannot be run.
    CommandNotFound,
    /// A path of the host is not there, or cannot be made.
    HostPathMissing,
    /// A device of the host is not there.
    DeviceMissing,
    /// A runtime, a log driver, a volume or network plugin is not there.
    DriverMissing,
    /// What is to be removed is in use.
    InUse,
    /// It is not running, or not yet, or still.
    OtherState,
    /// A Dockerfile that is not understood.
    BuildInvalid,
    /// A command of a build failed.
    BuildFailed,
}

/// What is said of it; the first that fits decides.
const SENTENCES: &[(Trouble, &[&str])] = &[
    // Before the others: a full disk makes anything fail.
    (Trouble::DiskFull, &["no space left on device", "disk quota exceeded"]),
    (
        Trouble::NameTaken,
        &["is already in use by container", "network with name", "a volume named", "volume name is in use"],
    ),
    (
        Trouble::PortTaken,
        &[
            "port is already allocated",
            "failed to bind host port",
            "bind: address already in use",
            "ports are not available",
        ],
    ),
    (Trouble::SubnetTaken, &["pool overlaps with other one", "conflicts with network"]),
    (Trouble::SubnetsExhausted, &["available, non-overlapping", "address pools have been fully subnetted"]),
    (Trouble::AddressTaken, &["address already in use"]),
    (Trouble::RateLimited, &["toomanyrequests", "too many requests", "rate limit"]),
    (
        Trouble::PlatformNotFound,
        &[
            "no matching manifest for",
            "does not match the specified platform",
            "does not provide the specified platform",
        ],
    ),
    (
        Trouble::RegistryDenies,
        &[
            "no basic auth credentials",
            "unauthorized",
            "authentication required",
            "incorrect username or password",
            "authorization failed",
            "status: 401",
            "status: 403",
        ],
    ),
    (
        Trouble::ImageNotFound,
        &[
            "manifest unknown",
            "pull access denied",
            "repository does not exist",
            "name unknown",
            "failed to resolve reference",
        ],
    ),
    (
        Trouble::RegistryNotTrusted,
        &["x509:", "server gave http response to https client", "tls: failed to verify certificate"],
    ),
    (
        Trouble::RegistryUnreachable,
        &[
            "dial tcp",
            "no such host",
            "connection refused",
            "i/o timeout",
            "tls handshake timeout",
            "client.timeout exceeded",
            "request canceled while waiting",
            "connection reset by peer",
            "unexpected eof",
            "http: server closed idle connection",
            "received unexpected http status",
            "500 internal server error",
            "502 bad gateway",
            "503 service unavailable",
        ],
    ),
    (
        Trouble::CommandNotFound,
        &[
            "executable file not found",
            "no command specified",
            "exec format error",
            "unable to start container process",
        ],
    ),
    (
        Trouble::HostPathMissing,
        &["bind source path does not exist", "error while creating mount source path", "failed to mount local volume"],
    ),
    (
        Trouble::DriverMissing,
        &[
            "could not select device driver",
            "unknown or invalid runtime name",
            "unknown runtime specified",
            "no log driver named",
            "error looking up volume plugin",
            "could not find plugin",
            "plugin \"",
            "plugin not found",
            "error looking up logging plugin",
        ],
    ),
    (
        Trouble::DeviceMissing,
        &["error gathering device information", "unresolvable cdi devices", "could not select cdi", "blkio device"],
    ),
    (
        Trouble::InUse,
        &[
            "has active endpoints",
            "volume is in use",
            "is using its referenced image",
            "image is being used",
            "is being used by",
        ],
    ),
    (
        Trouble::OtherState,
        &[
            "is not running",
            "is already in progress",
            "cannot remove a running container",
            "container is running",
            "is restarting",
            "is paused",
            "is not paused",
            "already paused",
            "marked for removal",
            "cannot be started",
            "already exists in network",
            "is not connected to",
            "non running container",
        ],
    ),
    (
        Trouble::BuildInvalid,
        &[
            "dockerfile parse error",
            "cannot locate specified dockerfile",
            "failed to parse dockerfile",
            "cannot be empty",
            "failed to reach build target",
            "unknown instruction",
        ],
    ),
    (Trouble::BuildFailed, &["returned a non-zero code", "copy failed", "add failed"]),
];

/// What a sentence is about, if it is known.
pub(super) fn trouble(text: &str) -> Option<Trouble> {
    let text = text.to_lowercase();
    let about = |sentences: &[&str]| sentences.iter().any(|sentence| text.contains(sentence));
    SENTENCES.iter().find(|(_, sentences)| about(sentences)).map(|(trouble, _)| *trouble)
}
