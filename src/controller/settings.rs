//! What the controller is told on the command line.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use jiff::SignedDuration;

use super::lease::{InvalidTerms, Terms};
use crate::artifacts::Store;

/// What every form of the controller is told.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Settings {
    /// Namespace of the operator: its own objects and the administrators' Secrets live there.
    #[arg(long, env = "CLOUDFASTER_NAMESPACE", default_value = "cloudfaster-system")]
    pub operator_namespace: String,
    /// Id of this installation, which the marks of its machines carry. Without it the one that is kept in the ConfigMap
    /// `cloudfaster-installation` holds, made at the first start.
    #[arg(long, env = "CLOUDFASTER_INSTALLATION")]
    pub installation: Option<String>,
    /// Folder in which repositories are kept that services have for a source, and what is unpacked of them until it is delivered; for this
    /// process alone. Without it a temporary one, so that they are fetched anew after each start.
    #[arg(long, env = "CLOUDFASTER_CACHE_DIR", value_name = "FOLDER")]
    pub cache_dir: Option<PathBuf>,
    /// Networks that are not public and that sources may be fetched from all the same, separated by commas: `10.1.0.0/16`. Tenants
    /// name the sources, and whoever answers there is asked with this machine's address.
    #[arg(long, env = "CLOUDFASTER_SOURCE_NETWORKS", value_name = "NETWORKS", value_delimiter = ',')]
    pub source_networks: Vec<IpNet>,
    /// Where uploaded archives are.
    #[arg(skip)]
    pub artifacts: Option<Store>,
}

/// How replicas agree on who works.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Election {
    /// Work only while this process holds the Lease `cloudfaster-controller` in the operator's namespace. Without it there
    /// must never be a second replica.
    #[arg(long, env = "CLOUDFASTER_LEADER_ELECT", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_elect: bool,
    /// How long the others wait for a leader that is not heard of; whole seconds.
    #[arg(long, value_parser = duration, default_value = "15s", value_name = "DURATION")]
    lease_duration: Duration,
    /// How long the leader goes on when it cannot renew the Lease; then it stops at once. Shorter than --lease-duration.
    #[arg(long, value_parser = duration, default_value = "10s", value_name = "DURATION")]
    lease_renew_deadline: Duration,
    /// How often the Lease is renewed, and tried to be acquired. At most half of --lease-renew-deadline.
    #[arg(long, value_parser = duration, default_value = "2s", value_name = "DURATION")]
    lease_retry_period: Duration,
}

impl Election {
    /// The terms of the election, if there is to be one.
    ///
    /// # Errors
    /// When they cannot work.
    pub fn terms(self) -> Result<Option<Terms>, InvalidTerms> {
        let Self { leader_elect, lease_duration, lease_renew_deadline, lease_retry_period } = self;
        let terms = Terms { duration: lease_duration, renew_deadline: lease_renew_deadline, retry: lease_retry_period };
        if leader_elect { terms.checked().map(Some) } else { Ok(None) }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|_| "not a time such as 15s, 500ms or 1m 30s".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "must not be negative".to_owned())
}
