//! What is counted, for Prometheus.
//!
//! Labels are of few values: kinds, phases, methods, routes without names, outcomes in a word. Names and messages of
//! objects never become labels.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use super::{
    process::Process,
    samples::{Samples, Source},
};

/// The media type of what [`Metrics::encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReconcileLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProxmoxLabels {
    method: String,
    route: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KubernetesLabels {
    verb: &'static str,
    resource: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VerbLabels {
    verb: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RestRouteLabels {
    method: &'static str,
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// Everything that is counted. Clones are the same.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_seconds: Family<KindLabels, Histogram>,
    running: Family<KindLabels, Gauge>,
    proxmox: Family<ProxmoxLabels, Counter>,
    proxmox_seconds: Family<RouteLabels, Histogram>,
    kubernetes: Family<KubernetesLabels, Counter>,
    kubernetes_seconds: Family<VerbLabels, Histogram>,
    rest: Family<RestLabels, Counter>,
    rest_seconds: Family<RestRouteLabels, Histogram>,
    rest_refused: Family<ReasonLabels, Counter>,
    leader: Gauge,
    samples: Arc<Samples>,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Arc::default(),
            reconciles: Family::default(),
            reconcile_seconds: Family::new_with_constructor(seconds),
            running: Family::default(),
            proxmox: Family::default(),
            proxmox_seconds: Family::new_with_constructor(seconds),
            kubernetes: Family::default(),
            kubernetes_seconds: Family::new_with_constructor(seconds),
            rest: Family::default(),
            rest_seconds: Family::new_with_constructor(seconds),
            rest_refused: Family::default(),
            leader: Gauge::default(),
            samples: Arc::default(),
        };
        Self { registry: Arc::new(metrics.registry()), ..metrics }
    }
}

/// From 5 ms to a bit under 3 minutes, which is how long a reconcile may take.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 16))
}

impl Metrics {
    fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        let build: Family<BuildLabels, Gauge> = Family::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("cloudfaster_build_info", "The version that runs", build);
        registry.register(
            "cloudfaster_leader",
            "Whether this process leads, or needs not be elected",
            self.leader.clone(),
        );
        registry.register("cloudfaster_reconciles", "Reconciles by how they ended", self.reconciles.clone());
        registry.register_with_unit(
            "cloudfaster_reconcile_duration",
            "How long a reconcile took",
            Unit::Seconds,
            self.reconcile_seconds.clone(),
        );
        registry.register("cloudfaster_reconciles_running", "Reconciles that are under way", self.running.clone());
        registry.register(
            "cloudfaster_proxmox_requests",
            "Requests to Proxmox by the class of their answer",
            self.proxmox.clone(),
        );
        registry.register_with_unit(
            "cloudfaster_proxmox_request_duration",
            "How long Proxmox took to answer",
            Unit::Seconds,
            self.proxmox_seconds.clone(),
        );
        registry.register(
            "cloudfaster_kubernetes_requests",
            "Requests to the Kubernetes API by the class of their answer",
            self.kubernetes.clone(),
        );
        registry.register_with_unit(
            "cloudfaster_kubernetes_request_duration",
            "How long the Kubernetes API took to begin its answer",
            Unit::Seconds,
            self.kubernetes_seconds.clone(),
        );
        registry.register("cloudfaster_rest_requests", "Requests to the REST API by their answer", self.rest.clone());
        registry.register_with_unit(
            "cloudfaster_rest_request_duration",
            "How long the REST API took to begin its answer",
            Unit::Seconds,
            self.rest_seconds.clone(),
        );
        registry.register(
            "cloudfaster_rest_keys_refused",
            "Requests to the REST API whose API key is missing, unknown or expired",
            self.rest_refused.clone(),
        );
        registry.register_collector(Box::new(self.samples.clone()));
        registry.register_collector(Box::new(Process));
        registry
    }

    /// All of it, in the text format of OpenMetrics, which Prometheus reads.
    ///
    /// # Errors
    /// Never, but for a defect.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }

    /// Adds what is counted at the moment it is asked for.
    pub fn sample(&self, source: impl Source) {
        self.samples.add(source);
    }

    /// A reconcile begins.
    pub fn reconcile_begins(&self, kind: &'static str) {
        self.running.get_or_create(&KindLabels { kind }).inc();
    }

    /// A reconcile ended, or was cut off.
    pub fn reconcile_ended(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.running.get_or_create(&KindLabels { kind }).dec();
        self.reconciles.get_or_create(&ReconcileLabels { kind, outcome }).inc();
        self.reconcile_seconds.get_or_create(&KindLabels { kind }).observe(took.as_secs_f64());
    }

    /// Proxmox answered, or did not. The route is without names and numbers.
    pub fn proxmox(&self, method: &str, route: &str, outcome: &'static str, took: Duration) {
        let (method, route) = (method.to_owned(), route.to_owned());
        self.proxmox.get_or_create(&ProxmoxLabels { method: method.clone(), route: route.clone(), outcome }).inc();
        self.proxmox_seconds.get_or_create(&RouteLabels { method, route }).observe(took.as_secs_f64());
    }

    /// Kubernetes answered, or did not.
    pub fn kubernetes(&self, verb: &'static str, resource: &str, outcome: &'static str, took: Duration) {
        self.kubernetes.get_or_create(&KubernetesLabels { verb, resource: resource.to_owned(), outcome }).inc();
        self.kubernetes_seconds.get_or_create(&VerbLabels { verb }).observe(took.as_secs_f64());
    }

    /// The REST API answered. The route is without names and numbers.
    pub fn rest(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        self.rest.get_or_create(&RestLabels { method, route: route.to_owned(), status }).inc();
        let labels = RestRouteLabels { method, route: route.to_owned() };
        self.rest_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// The REST API was given a key that opens nothing.
    pub fn rest_refused(&self, reason: &'static str) {
        self.rest_refused.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Whether this process leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
    }
}
