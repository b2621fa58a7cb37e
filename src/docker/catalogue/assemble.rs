//! Puts the parts of a compose file together.

use serde_json::{Map, Value, json};

use super::entry::{Entry, Kind, Part};
use super::select::Selection;
use super::{CONTENT, Error, Request, files};

/// A compose file that grows.
pub(super) struct Assembly<'a> {
    request: &'a Request<'a>,
    services: Map<String, Value>,
    volumes: Map<String, Value>,
    configs: Map<String, Value>,
}

impl<'a> Assembly<'a> {
    pub fn new(request: &'a Request<'a>) -> Self {
        let (services, volumes, configs) = (Map::new(), Map::new(), Map::new());
        Self { request, services, volumes, configs }
    }

    /// Adds what an entry is made of.
    pub fn add(&mut self, entry: &Entry, selection: &Selection<'_>) -> Result<(), Error> {
        let mut whole = entry.compose.clone();
        merge_part(&mut whole, if self.request.with_source { &entry.with_source } else { &entry.without_source });
        if entry.kind == Kind::Web {
            // The first one counts, so it is laid over the others.
            for database in selection.databases().rev() {
                if let Some(part) = entry.beside.get(&database.name) {
                    merge_part(&mut whole, part);
                }
            }
            if let Some(Value::Object(service)) = whole.services.get_mut(&entry.service) {
                self.connect(entry, service, selection);
            }
        }
        let Part { services, volumes, configs } = whole;
        for (name, service) in services {
            let Value::Object(service) = service else { return Err(broken(entry, &name)) };
            let service = self.service(entry, service)?;
            self.services.insert(name, Value::Object(service));
        }
        self.volumes.extend(volumes);
        for (name, config) in configs {
            let text = files::find(&config.file).ok_or_else(|| broken(entry, &config.file))?;
            self.configs.insert(name, json!({ "content": text.replace('$', "$$") }));
        }
        Ok(())
    }

    /// What the main service of a web type has of the databases and of its own URL.
    fn connect(&self, entry: &Entry, service: &mut Map<String, Value>, selection: &Selection<'_>) {
        let mut added = Map::new();
        if let (Some(variable), Some(url)) = (&entry.url, self.request.url) {
            added.insert(variable.clone(), Value::String(url.replace('$', "$$")));
        }
        let mut awaited = Map::new();
        for database in selection.databases().filter(|_| entry.connected) {
            awaited.insert(database.service.clone(), json!({ "condition": "service_healthy" }));
            for (name, value) in database.gives_first.iter().chain(&database.gives) {
                added.entry(name).or_insert_with(|| value.clone());
            }
        }
        for (attribute, entries) in [("depends_on", awaited), ("environment", added)] {
            if entries.is_empty() {
                continue;
            }
            let present = service.entry(attribute).or_insert_with(|| json!({}));
            if let Value::Object(present) = present {
                for (name, value) in entries {
                    present.entry(name).or_insert(value);
                }
            }
        }
    }

    /// A service with its image, and with what all services have.
    fn service(&mut self, entry: &Entry, service: Map<String, Value>) -> Result<Map<String, Value>, Error> {
        let mut written = Map::new();
        let key = service.get("image").and_then(Value::as_str).unwrap_or_default();
        let own = (self.request.image)(key);
        let image = own.as_ref().or_else(|| entry.images.get(key)).ok_or_else(|| broken(entry, key))?;
        written.insert("image".to_owned(), Value::String(image.replace('$', "$$")));
        written.insert("restart".to_owned(), json!("unless-stopped"));
        written.insert("security_opt".to_owned(), json!(["no-new-privileges:true"]));
        for (attribute, value) in service {
            let value = match (attribute.as_str(), value) {
                ("image", _) => continue,
                ("volumes", Value::Array(mounts)) => {
                    Value::Array(mounts.into_iter().map(|mount| self.mount(mount)).collect())
                }
                (_, value) => value,
            };
            written.insert(attribute, value);
        }
        Ok(written)
    }

    /// Where the content is delivered, it is the root of the source, and not a volume of that name.
    fn mount(&mut self, mount: Value) -> Value {
        let content = mount.as_str().and_then(|mount| mount.strip_prefix(CONTENT)?.strip_prefix(':'));
        match content {
            None => mount,
            Some(target) if self.request.with_source => Value::String(format!("./:{target}")),
            Some(_) => {
                self.volumes.entry(CONTENT).or_insert_with(|| json!({}));
                mount
            }
        }
    }

    /// The text of the file.
    pub fn finish(self) -> Result<String, Error> {
        let Self { request: _, services, volumes, configs } = self;
        let mut document = Map::new();
        let sections = [("services", services), ("volumes", volumes), ("configs", configs)];
        for (name, section) in sections.into_iter().filter(|(_, section)| !section.is_empty()) {
            document.insert(name.to_owned(), Value::Object(section));
        }
        serde_saphyr::to_string(&document).map_err(|error| Error::Broken(error.to_string()))
    }
}

fn broken(entry: &Entry, what: &str) -> Error {
    Error::Broken(format!("{}: `{what}` is not there or is of the wrong kind", entry.name))
}

fn merge_part(whole: &mut Part, part: &Part) {
    let Part { services, volumes, configs } = part;
    merge_maps(&mut whole.services, services);
    merge_maps(&mut whole.volumes, volumes);
    whole.configs.extend(configs.clone());
}

/// Lays a mapping over another: mappings are merged, lists are continued with what they have not, anything else is replaced.
fn merge_maps(below: &mut Map<String, Value>, above: &Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => merge_maps(below, above),
            (Some(Value::Array(below)), Value::Array(above)) => {
                for item in above {
                    if !below.contains(item) {
                        below.push(item.clone());
                    }
                }
            }
            _ => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}
