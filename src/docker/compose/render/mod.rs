//! A project as a compose document again, in the form of `docker compose config --format json`.
//!
//! Reading the document again gives the same project. Paths of the sources are relative to their root.

mod service;
mod write;

use serde_json::{Map, Value, json};

use super::model::{FileObject, FileSource, Ipam, Network, Project, Volume};
use write::{Document, escaped, path, strings};

/// Writes a project. It holds the values of variables, but not those of secrets and configs that take them from variables.
pub fn render(project: &Project) -> Value {
    let mut document = Document::default();
    document.text("name", &project.name);
    let services = project.services.iter().map(|(name, service)| (name.clone(), service::service(service)));
    document.value("services", Value::Object(services.collect()));
    document.section("networks", project.networks.iter().map(|(name, it)| (name, network(it))));
    document.section("volumes", project.volumes.iter().map(|(name, it)| (name, volume(it))));
    document.section("configs", project.configs.iter().map(|(name, it)| (name, file_object(it))));
    document.section("secrets", project.secrets.iter().map(|(name, it)| (name, file_object(it))));
    document.finish()
}

fn network(network: &Network) -> Value {
    let Network {
        at: _,
        name,
        external,
        driver,
        driver_opts,
        ipam,
        internal,
        attachable,
        enable_ipv4,
        enable_ipv6,
        labels,
    } = network;
    let mut document = Document::default();
    document.text("name", name);
    document.flag("external", *external);
    document.option("driver", driver);
    document.pairs("driver_opts", driver_opts);
    document.value("ipam", ipam_config(ipam));
    document.flag("internal", *internal);
    document.flag("attachable", *attachable);
    document.number("enable_ipv4", *enable_ipv4);
    document.number("enable_ipv6", *enable_ipv6);
    document.pairs("labels", labels);
    document.finish()
}

fn ipam_config(ipam: &Ipam) -> Value {
    let mut document = Document::default();
    document.option("driver", &ipam.driver);
    document.list("config", &ipam.config, |pool| {
        let mut document = Document::default();
        document.option("subnet", &pool.subnet);
        document.option("ip_range", &pool.ip_range);
        document.option("gateway", &pool.gateway);
        document.pairs("aux_addresses", &pool.aux_addresses);
        document.finish()
    });
    document.pairs("options", &ipam.options);
    document.finish()
}

fn volume(volume: &Volume) -> Value {
    let Volume { at: _, name, external, driver, driver_opts, labels } = volume;
    let mut document = Document::default();
    document.text("name", name);
    document.flag("external", *external);
    document.option("driver", driver);
    document.pairs("driver_opts", driver_opts);
    document.pairs("labels", labels);
    document.finish()
}

fn file_object(object: &FileObject) -> Value {
    let FileObject { at: _, name, source, content, labels } = object;
    let mut document = Document::default();
    document.text("name", name);
    match source {
        FileSource::File(file) => document.value("file", path(file)),
        FileSource::Environment(variable) => document.text("environment", variable),
        FileSource::Inline => document.value("content", escaped(&String::from_utf8_lossy(content))),
    }
    document.pairs("labels", labels);
    document.finish()
}

/// What a list of hosts and their addresses is written as.
fn hosts(hosts: &std::collections::BTreeMap<String, Vec<String>>) -> Option<Value> {
    let entries =
        hosts.iter().flat_map(|(host, addresses)| addresses.iter().map(move |address| format!("{host}={address}")));
    let mut entries: Vec<String> = entries.collect();
    entries.sort();
    (!entries.is_empty()).then(|| strings(&entries))
}

/// Something with a single attribute or with none.
fn single(key: &str, value: Option<Value>) -> Value {
    value.map_or_else(|| Value::Object(Map::new()), |value| json!({ key: value }))
}
