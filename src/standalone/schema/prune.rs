//! Fields that no schema knows: found, named and dropped.

use serde_json::Value;

use super::Schema;
use super::validate::child;

impl Schema {
    /// Drops what is unknown and returns its paths, as `spec.disks[0].sice`.
    pub fn prune(&self, value: &mut Value) -> Vec<String> {
        let mut unknown = Vec::new();
        self.prune_at(value, "", &mut unknown);
        unknown
    }

    fn prune_at(&self, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                object.retain(|name, value| {
                    let path = child(path, name);
                    match self.property(name) {
                        Some(schema) => schema.prune_at(value, &path, unknown),
                        None if self.keeps(name) => {}
                        None => {
                            unknown.push(path);
                            return false;
                        }
                    }
                    true
                });
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for (index, item) in items.iter_mut().enumerate() {
                        schema.prune_at(item, &format!("{path}[{index}]"), unknown);
                    }
                }
            }
            _ => {}
        }
    }

    fn keeps(&self, name: &str) -> bool {
        self.preserve_unknown || (self.embedded_resource && matches!(name, "apiVersion" | "kind" | "metadata"))
    }
}
