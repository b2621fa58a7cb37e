//! The options of the embedded control plane.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the control plane keeps its data and is reached; `cloudfaster standalone` takes these.
#[derive(Debug, Clone, clap::Args)]
pub struct PlaneArgs {
    /// Directory of the objects, the certificates and the token; made if it is missing
    #[arg(long, value_name = "DIRECTORY", env = "CLOUDFASTER_DATA_DIR", default_value = "cloudfaster-data")]
    pub data_dir: PathBuf,

    /// Address on which kubectl reaches the control plane; with port 0, any free one
    #[arg(long, value_name = "ADDRESS", env = "CLOUDFASTER_LISTEN", default_value = "127.0.0.1:6443")]
    pub listen: SocketAddr,

    /// Kubeconfig file to write [default: `kubeconfig` in the data directory]
    #[arg(long, value_name = "FILE", env = "CLOUDFASTER_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
}

impl PlaneArgs {
    /// The kubeconfig file that is written.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone().unwrap_or_else(|| self.data_dir.join("kubeconfig"))
    }
}
