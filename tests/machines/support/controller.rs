//! A controller that can be killed: it has a runtime of its own, so that all its tasks end at once, wherever they are.

use std::{convert::Infallible, sync::Arc};

use axum::{Router, response::Response};
use cloudfaster::{
    controller::{self, Settings},
    telemetry::Telemetry,
};
use kube::{Client, client::Body};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::crash::Gate;

/// A running controller.
pub struct Controller {
    runtime: Option<Runtime>,
}

impl Controller {
    /// Starts one that reaches Kubernetes through the gate.
    pub fn start(router: Router, gate: Arc<Gate>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.spawn(async move {
            let transport = tower::service_fn(move |request: http::Request<Body>| {
                let (router, gate) = (router.clone(), gate.clone());
                async move { Ok::<Response, Infallible>(pass(router, &gate, request).await) }
            });
            let settings = Settings { operator_namespace: "cloudfaster-system".to_owned(), ..Settings::default() };
            let client = Client::new(transport, "default");
            let ended = controller::run(settings, client, Telemetry::default(), None, CancellationToken::new()).await;
            tracing::error!(?ended, "the controller ended by itself");
        });
        Self { runtime: Some(runtime) }
    }
}

impl Drop for Controller {
    /// As `kill -9` does it: nothing is finished, nothing is said.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn pass(router: Router, gate: &Gate, request: http::Request<Body>) -> Response {
    let turn = gate.enter(request.method(), request.uri().path()).await;
    let response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    gate.leave(turn).await;
    response
}
