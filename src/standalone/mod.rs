//! The embedded control plane: the Kubernetes API, as far as kubectl, kube-rs and client-go's
//! informers use it, in this process and durable on disk.
//!
//! [`ControlPlane::router`] is an ordinary router that the kube client uses as its transport:
//! `kube::Client::new(control_plane.router(), "default")`.

mod builtin;
mod certificates;
mod command;
mod discovery;
mod fields;
mod garbage;
mod handlers;
mod housekeeping;
mod json;
mod jsonpath;
mod management;
mod meta;
mod openapi;
mod patch;
mod plane;
mod private;
mod protobuf;
mod registry;
mod schema;
mod selectors;
mod server;
mod status;
mod store;
mod strategic;
mod table;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use tokio_util::sync::CancellationToken;

use plane::Plane;
use registry::Registry;
use store::Store;

pub use certificates::CertificateError;
pub use command::PlaneArgs;
pub use registry::BadDefinition;
pub use server::{ServeError, Serving};
pub use status::ApiError;
pub use store::DiskError;

/// The store's file in the data directory.
const STORE: &str = "objects.redb";

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Definition(#[from] BadDefinition),
    #[error("cannot make the data directory: {0}")]
    Directory(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] DiskError),
    #[error("cannot set up the cluster: {0}")]
    SetUp(#[from] ApiError),
}

/// A running control plane; clones are the same one.
#[derive(Clone)]
pub struct ControlPlane {
    plane: Arc<Plane>,
}

impl ControlPlane {
    /// Opens the control plane whose objects are in `directory`, which is made if it is missing.
    /// It serves the built-in kinds and those of `definitions`, and ends with `shutdown`.
    ///
    /// # Errors
    /// A definition cannot be served, or the store cannot be used (another process has it open, say).
    pub async fn open(
        directory: &Path,
        definitions: Vec<CustomResourceDefinition>,
        shutdown: CancellationToken,
    ) -> Result<Self, OpenError> {
        tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).await?;
        Self::start(Some(&directory.join(STORE)), definitions, shutdown).await
    }

    /// A control plane that forgets everything when it ends.
    ///
    /// # Errors
    /// A definition cannot be served.
    pub async fn in_memory(
        definitions: Vec<CustomResourceDefinition>,
        shutdown: CancellationToken,
    ) -> Result<Self, OpenError> {
        Self::start(None, definitions, shutdown).await
    }

    async fn start(
        file: Option<&Path>,
        definitions: Vec<CustomResourceDefinition>,
        shutdown: CancellationToken,
    ) -> Result<Self, OpenError> {
        let registry = Registry::new(definitions)?;
        let shelves: Vec<_> = registry.shelves().map(|kind| Arc::clone(&kind.shelf)).collect();
        let store = Store::open(file, shelves, |shelf, object| {
            // The schema may have changed since the object was written.
            if let Some(kind) = registry.stored(shelf)
                && kind.is_custom()
            {
                kind.schema.prune(object);
                kind.schema.fill_defaults(object);
            }
        })?;
        let plane = Arc::new(Plane::new(registry, store, shutdown));
        housekeeping::set_up(&plane).await?;
        tokio::spawn(housekeeping::run(Arc::clone(&plane)));
        Ok(Self { plane })
    }

    /// The API, for those who are trusted: in this process nobody is asked who they are.
    pub fn router(&self) -> Router {
        handlers::router(Arc::clone(&self.plane))
    }

    /// Serves the API over TLS on `listen`, to those who have the token that `directory` keeps with
    /// the certificates, and writes a kubeconfig file for them. It ends with the control plane.
    ///
    /// # Errors
    /// The address is taken, or the files cannot be written.
    pub async fn serve(&self, directory: &Path, listen: SocketAddr, kubeconfig: &Path) -> Result<Serving, ServeError> {
        let shutdown = self.plane.shutdown.clone();
        server::serve(self.router(), directory, listen, kubeconfig, shutdown).await
    }

    /// Ends all watches, writes what is queued, and releases the data directory.
    pub async fn close(&self) {
        self.plane.shutdown.cancel();
        self.plane.store.close().await;
    }
}
