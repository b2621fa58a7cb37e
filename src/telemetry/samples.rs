//! Figures that are taken at the moment Prometheus asks: from caches, so that they cost nothing in between.

use std::{collections::BTreeMap, fmt};

use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};

/// What is known of the objects of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// The kind.
    pub kind: &'static str,
    /// How many are in each phase.
    pub phases: BTreeMap<String, u64>,
    /// How many wait after a failure.
    pub backing_off: u64,
    /// How many were woken and are not reconciled yet.
    pub woken: u64,
}

/// What is known of the sites that are being polled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sites {
    /// How many told all at their last poll.
    pub current: u64,
    /// How many did not.
    pub failing: u64,
    /// How many were never asked.
    pub unknown: u64,
    /// How old the oldest of what is known is, in seconds.
    pub oldest: f64,
}

/// What is known of the Docker engines that are being listened to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Engines {
    /// How many are connected.
    pub reached: u64,
    /// How many were, and are not.
    pub lost: u64,
    /// How many were never reached.
    pub unknown: u64,
}

/// What a source tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// Of a kind.
    Objects(Objects),
    /// Of the inventories.
    Sites(Sites),
    /// Of the Docker engines.
    Engines(Engines),
}

/// Where figures come from; nothing when what it knew is gone.
pub trait Source: Fn() -> Option<Sample> + Send + Sync + 'static {}

impl<F: Fn() -> Option<Sample> + Send + Sync + 'static> Source for F {}

/// All sources.
#[derive(Default)]
pub struct Samples(Mutex<Vec<Box<dyn Source<Output = Option<Sample>>>>>);

impl Samples {
    /// One more.
    pub fn add(&self, source: impl Source) {
        self.0.lock().push(Box::new(source));
    }
}

impl fmt::Debug for Samples {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Samples")
    }
}

#[derive(Debug, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Debug, EncodeLabelSet)]
struct Phase {
    kind: &'static str,
    phase: String,
}

#[derive(Debug, EncodeLabelSet)]
struct State {
    state: &'static str,
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let (mut kinds, mut sites, mut engines) = (Vec::new(), Vec::new(), Vec::new());
        for sample in self.0.lock().iter().filter_map(|source| source()) {
            match sample {
                Sample::Objects(objects) => kinds.push(objects),
                Sample::Sites(found) => sites.push(found),
                Sample::Engines(found) => engines.push(found),
            }
        }
        let phases = kinds.iter().flat_map(|Objects { kind, phases, .. }| {
            phases.iter().map(move |(phase, count)| (Phase { kind, phase: phase.clone() }, *count))
        });
        gauges(&mut encoder, "cloudfaster_objects", "Objects by phase", phases)?;
        let backing_off = kinds.iter().map(|objects| (Kind { kind: objects.kind }, objects.backing_off));
        gauges(&mut encoder, "cloudfaster_objects_backing_off", "Objects that wait after a failure", backing_off)?;
        let woken = kinds.iter().map(|objects| (Kind { kind: objects.kind }, objects.woken));
        gauges(&mut encoder, "cloudfaster_objects_woken", "Objects that were woken and wait for their turn", woken)?;
        for Sites { current, failing, unknown, oldest } in sites {
            let states = [("current", current), ("failing", failing), ("unknown", unknown)];
            let states = states.map(|(state, count)| (State { state }, count));
            gauges(&mut encoder, "cloudfaster_inventory_sites", "Sites by what their last poll told", states)?;
            let help = "Age of the oldest of what is known of the sites";
            let age = ConstGauge::new(oldest);
            age.encode(encoder.encode_descriptor(
                "cloudfaster_inventory_age_seconds",
                help,
                None,
                MetricType::Gauge,
            )?)?;
        }
        for Engines { reached, lost, unknown } in engines {
            let states = [("reached", reached), ("lost", lost), ("unknown", unknown)];
            let states = states.map(|(state, count)| (State { state }, count));
            gauges(&mut encoder, "cloudfaster_docker_engines", "Docker engines by whether they are connected", states)?;
        }
        Ok(())
    }
}

fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn figures_are_taken_when_they_are_asked_for() {
        let metrics = Metrics::default();
        let phases = BTreeMap::from([("Running".to_owned(), 3), ("Cloning".to_owned(), 1)]);
        let objects = Objects { kind: "ProxmoxVM", phases, backing_off: 2, woken: 0 };
        metrics.sample(move || Some(Sample::Objects(objects.clone())));
        metrics.sample(|| Some(Sample::Sites(Sites { current: 1, failing: 0, unknown: 0, oldest: 2.5 })));
        metrics.sample(|| Some(Sample::Engines(Engines { reached: 2, lost: 1, unknown: 0 })));
        metrics.sample(|| None);
        metrics.reconcile_begins("ProxmoxVM");
        let text = metrics.encode().unwrap();
        for line in [
            "cloudfaster_objects{kind=\"ProxmoxVM\",phase=\"Running\"} 3",
            "cloudfaster_objects_backing_off{kind=\"ProxmoxVM\"} 2",
            "cloudfaster_inventory_sites{state=\"current\"} 1",
            "cloudfaster_inventory_age_seconds 2.5",
            "cloudfaster_docker_engines{state=\"reached\"} 2",
            "cloudfaster_reconciles_running{kind=\"ProxmoxVM\"} 1",
            "cloudfaster_leader 0",
        ] {
            assert!(text.lines().any(|each| each == line), "{line} is missing in\n{text}");
        }
        metrics.reconcile_ended("ProxmoxVM", "done", std::time::Duration::from_millis(20));
        let text = metrics.encode().unwrap();
        assert!(text.contains("cloudfaster_reconciles_total{kind=\"ProxmoxVM\",outcome=\"done\"} 1"), "{text}");
        assert!(text.contains("cloudfaster_reconcile_duration_seconds_count{kind=\"ProxmoxVM\"} 1"), "{text}");
    }
}
