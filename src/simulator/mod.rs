//! A simulated Proxmox VE: for trying the operator out, for tests, for benchmarks.
//!
//! The domain is a state machine without I/O ([`world`]) that gets the time passed in; the API ([`api`]) is
//! a thin layer of calls on it; [`server`] brings both to HTTPS. Its truth is the exchanges recorded from
//! real Proxmox daemons, which a test replays against it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use cloudfaster::simulator::{Fault, Scenario, Simulator};
//!
//! let simulator = Simulator::new(Scenario::default());
//! let server = simulator.serve("127.0.0.1:0".parse()?).await?;
//! simulator.fault(Fault::node_down("pve2"))?;
//! println!("{} {}", server.url(), server.fingerprint());
//! # Ok(())
//! # }
//! ```

mod access;
mod api;
mod by_hand;
mod clock;
mod command;
mod faults;
mod handle;
mod presets;
mod scenario;
mod schema;
mod server;
mod view;
mod world;

pub use clock::{Auto, ClockMode};
pub use command::{Args, run};
pub use faults::{Effect, Fault, Filter, NodeTrouble};
pub use handle::Simulator;
pub use scenario::{
    AclSpec, ContainerSpec, GuestSpec, NodeSpec, Release, Scenario, StorageKind, StorageSpec, TokenSpec, UserSpec,
};
pub use server::Server;
pub use view::{RequestRecord, TaskView, VmView, VolumeView};

/// Why the simulator cannot do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on, or a file cannot be read or written.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A scenario does not parse.
    #[error("{path}: {message}")]
    Scenario {
        /// The file.
        path: String,
        /// Line and reason.
        message: String,
    },
    /// The path of a fault's filter is no regular expression.
    #[error("the path of the filter: {0}")]
    Filter(#[from] regex::Error),
    /// There is no such guest.
    #[error("there is no VM {0}")]
    NoSuchVm(u32),
    /// There is no such node.
    #[error("there is no node {0}")]
    NoSuchNode(String),
}
