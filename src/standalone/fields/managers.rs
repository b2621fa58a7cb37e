//! Who manages which fields, as `metadata.managedFields` tells it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::set::{BadFields, Set};

/// The most entries of updates that are kept apart.
const MOST_UPDATERS: usize = 10;

/// Whom the oldest updates are counted to when there are more.
const ANCIENT: &str = "ancient-changes";

/// How a manager came to its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// A manager, as it is told from others.
#[derive(Debug, Clone)]
pub struct Manager {
    pub name: String,
    pub operation: Operation,
    /// The version in which it knows its fields.
    pub version: String,
    /// Empty for the object itself.
    pub subresource: String,
}

impl Manager {
    /// Whether both are the same manager. Who applies stays the same in every version.
    pub fn is(&self, other: &Self) -> bool {
        let Self { name, operation, version, subresource } = self;
        *name == other.name
            && *operation == other.operation
            && *subresource == other.subresource
            && (*operation == Operation::Apply || *version == other.version)
    }

    /// How conflicts name it.
    pub fn describe(&self) -> String {
        let Self { name, operation, version, subresource } = self;
        let mut text = format!("{name:?}");
        if !subresource.is_empty() {
            text.push_str(&format!(" with subresource {subresource:?}"));
        }
        if *operation == Operation::Update {
            text.push_str(&format!(" using {version}"));
        }
        text
    }

    /// By what conflicts are sorted: the text by which Kubernetes knows the manager.
    pub fn sort_key(&self) -> String {
        let Self { name, operation, version, subresource } = self;
        let mut key = serde_json::Map::new();
        let version = if *operation == Operation::Apply { "" } else { version };
        let operation = operation.name();
        for (field, value) in [
            ("manager", name.as_str()),
            ("operation", operation),
            ("apiVersion", version),
            ("subresource", subresource),
        ] {
            if !value.is_empty() {
                key.insert(field.to_owned(), value.into());
            }
        }
        Value::from(key).to_string()
    }
}

/// The fields of one manager.
#[derive(Debug, Clone)]
pub struct Entry {
    pub manager: Manager,
    /// When it last changed something, as RFC 3339 writes it.
    pub time: Option<String>,
    pub fields: Set,
}

#[derive(Debug, thiserror::Error)]
pub enum BadManagers {
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    #[error("apiVersion must not be empty")]
    Version,
    #[error("missing fieldsType in managed fields entry {0}")]
    NoFieldsType(usize),
    #[error("invalid fieldsType {fields_type:?} in managed fields entry {index}")]
    FieldsType { fields_type: String, index: usize },
    #[error("error decoding set: {0}")]
    Fields(#[from] BadFields),
}

/// All managers of an object.
#[derive(Debug, Clone, Default)]
pub struct Managers(pub Vec<Entry>);

impl Managers {
    /// Reads `metadata.managedFields`; null is nobody.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn decode(list: &Value) -> Result<Self, BadManagers> {
        let mut managers = Self::default();
        for (index, entry) in list.as_array().into_iter().flatten().enumerate() {
            let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
            let operation = match text("operation") {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return Err(BadManagers::Operation),
            };
            let version = text("apiVersion").to_owned();
            if version.is_empty() {
                return Err(BadManagers::Version);
            }
            match text("fieldsType") {
                "FieldsV1" => {}
                "" => return Err(BadManagers::NoFieldsType(index)),
                other => return Err(BadManagers::FieldsType { fields_type: other.to_owned(), index }),
            }
            let name = text("manager").to_owned();
            let manager = Manager { name, operation, version, subresource: text("subresource").to_owned() };
            let fields = Set::from_fields(entry.get("fieldsV1").unwrap_or(&Value::Null))?;
            let time = entry.get("time").and_then(Value::as_str).map(str::to_owned);
            managers.0.retain(|known| !known.manager.is(&manager));
            managers.0.push(Entry { manager, time, fields });
        }
        Ok(managers)
    }

    /// The list as `metadata.managedFields` has it; `None` if there is no manager.
    pub fn encode(mut self) -> Option<Value> {
        self.0.sort_by_cached_key(|entry| {
            let Manager { name, operation, version, subresource } = entry.manager.clone();
            (operation, seconds(entry.time.as_deref()), name, version, subresource)
        });
        let entries: Vec<Value> = self.0.iter().map(encode_entry).collect();
        (!entries.is_empty()).then(|| entries.into())
    }

    pub fn find(&self, manager: &Manager) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.manager.is(manager))
    }

    pub fn take(&mut self, manager: &Manager) -> Option<Entry> {
        let index = self.0.iter().position(|entry| entry.manager.is(manager))?;
        Some(self.0.remove(index))
    }

    /// Forgets those that have no fields.
    pub fn drop_empty(&mut self) {
        self.0.retain(|entry| !entry.fields.is_empty());
    }

    /// Counts the oldest updates, version by version, to one manager, so that no object has too many.
    pub fn merge_ancient(&mut self) {
        let is_update = |entry: &Entry| entry.manager.operation == Operation::Update;
        let mut count = self.0.iter().filter(|entry| is_update(entry)).count();
        if count <= MOST_UPDATERS {
            return;
        }
        let mut oldest: Vec<Manager> =
            self.0.iter().filter(|entry| is_update(entry)).map(|e| e.manager.clone()).collect();
        oldest.sort_by_cached_key(|manager| {
            let time = self.find(manager).and_then(|entry| seconds(entry.time.as_deref()));
            (time, manager.sort_key())
        });
        // The first of a version is merged when a second one is.
        let mut first_of: Vec<Manager> = Vec::new();
        for manager in oldest {
            if count <= MOST_UPDATERS {
                break;
            }
            let Some(first) = first_of.iter().find(|first| first.version == manager.version) else {
                first_of.push(manager);
                continue;
            };
            let bucket = Manager {
                name: ANCIENT.to_owned(),
                operation: Operation::Update,
                version: manager.version.clone(),
                subresource: String::new(),
            };
            let base = self.take(&bucket).or_else(|| self.take(first));
            if let (Some(base), Some(entry)) = (base, self.take(&manager)) {
                let fields = base.fields.union(&entry.fields);
                self.0.push(Entry { manager: bucket, time: entry.time, fields });
            }
            count -= 1;
        }
    }
}

fn seconds(time: Option<&str>) -> Option<i64> {
    time.and_then(|time| time.parse::<Timestamp>().ok()).map(|time| time.as_second())
}

fn encode_entry(entry: &Entry) -> Value {
    let Entry { manager: Manager { name, operation, version, subresource }, time, fields } = entry;
    let mut value = serde_json::Map::new();
    if !name.is_empty() {
        value.insert("manager".to_owned(), name.as_str().into());
    }
    value.insert("operation".to_owned(), operation.name().into());
    value.insert("apiVersion".to_owned(), version.as_str().into());
    if let Some(time) = time {
        value.insert("time".to_owned(), time.as_str().into());
    }
    value.insert("fieldsType".to_owned(), "FieldsV1".into());
    value.insert("fieldsV1".to_owned(), fields.to_fields());
    if !subresource.is_empty() {
        value.insert("subresource".to_owned(), subresource.as_str().into());
    }
    value.into()
}

/// Whether `metadata.managedFields` asks for the managers to be forgotten: a list with an empty entry,
/// or an empty one, which custom kinds do not tell from none.
pub fn asks_to_forget(list: &Value, is_custom: bool) -> bool {
    match list.as_array().map(Vec::as_slice) {
        Some([]) => !is_custom,
        Some([one]) => *one == json!({}),
        _ => false,
    }
}
