//! The kinds that are served: the built-in ones, and those of the CRDs that were given.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionSpec, CustomResourceDefinitionVersion,
};
use serde_json::Value;

use super::builtin;
use super::schema::Schema;
use super::store::ShelfId;
use super::table::Column;

/// One version of one kind.
#[derive(Debug)]
pub struct Kind {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub kind: String,
    pub list_kind: String,
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    /// Several versions, and both views of events, stand on one shelf.
    pub shelf: ShelfId,
    /// The `apiVersion` in which the shelf keeps its objects.
    pub stored_as: String,
    pub status_subresource: bool,
    pub origin: Origin,
    pub schema: Schema,
    /// The schema as OpenAPI publishes it.
    pub published: Value,
    pub columns: Vec<Column>,
    /// Paths, as `spec.nodeName`, by which lists can be narrowed besides name and namespace.
    pub selectable: Vec<String>,
    pub verbs: &'static [&'static str],
}

/// Where a kind comes from, which decides about its special rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Namespace,
    Secret,
    ConfigMap,
    CoreEvent,
    Event,
    Lease,
    /// A `CustomResourceDefinition`, which can be read only.
    Definition,
    Custom,
}

pub const ALL_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

impl Kind {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The resource as messages name it: `secrets`, `proxmoxvms.cloudfaster.app`.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    pub fn is_custom(&self) -> bool {
        self.origin == Origin::Custom
    }

    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }
}

/// Why the control plane cannot serve what it was given.
#[derive(Debug, thiserror::Error)]
#[error("the definition {name} cannot be served: {reason}")]
pub struct BadDefinition {
    pub name: String,
    pub reason: String,
}

#[derive(Debug)]
pub struct Registry {
    /// By group and version; within it by plural.
    groups: BTreeMap<(String, String), BTreeMap<String, Arc<Kind>>>,
    /// One kind per shelf: the one in whose version its objects are stored.
    stored: HashMap<ShelfId, Arc<Kind>>,
    definitions: Vec<CustomResourceDefinition>,
}

impl Registry {
    /// # Errors
    /// A definition contradicts itself: no stored version, a pattern that is none.
    pub fn new(definitions: Vec<CustomResourceDefinition>) -> Result<Self, BadDefinition> {
        let mut registry = Self { groups: BTreeMap::new(), stored: HashMap::new(), definitions: Vec::new() };
        let builtin = builtin::kinds().map_err(|reason| BadDefinition { name: "built-in kinds".to_owned(), reason })?;
        for kind in builtin {
            registry.add(kind);
        }
        for definition in &definitions {
            for kind in custom_kinds(&definition.spec).map_err(|reason| BadDefinition {
                name: definition.metadata.name.clone().unwrap_or_default(),
                reason,
            })? {
                registry.add(kind);
            }
        }
        registry.definitions = definitions;
        Ok(registry)
    }

    fn add(&mut self, kind: Kind) {
        let kind = Arc::new(kind);
        if kind.api_version() == kind.stored_as {
            self.stored.insert(Arc::clone(&kind.shelf), Arc::clone(&kind));
        }
        self.groups.entry((kind.group.clone(), kind.version.clone())).or_default().insert(kind.plural.clone(), kind);
    }

    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.version(group, version)?.get(plural)
    }

    /// The kinds of a group's version, by plural.
    pub fn version(&self, group: &str, version: &str) -> Option<&BTreeMap<String, Arc<Kind>>> {
        self.groups.get(&(group.to_owned(), version.to_owned()))
    }

    /// Every group's version with its kinds.
    pub fn versions(&self) -> impl Iterator<Item = (&str, &str, impl Iterator<Item = &Arc<Kind>>)> {
        self.groups.iter().map(|((group, version), kinds)| (group.as_str(), version.as_str(), kinds.values()))
    }

    /// The kind in whose version a shelf's objects are stored.
    pub fn stored(&self, shelf: &str) -> Option<&Arc<Kind>> {
        self.stored.get(shelf)
    }

    /// One kind per shelf.
    pub fn shelves(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.stored.values()
    }

    /// The kind an owner reference names, in any version that is served.
    pub fn by_kind(&self, api_version: &str, kind: &str) -> Option<&Arc<Kind>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.version(group, version)?.values().find(|candidate| candidate.kind == kind)
    }

    pub fn definitions(&self) -> &[CustomResourceDefinition] {
        &self.definitions
    }
}

fn custom_kinds(spec: &CustomResourceDefinitionSpec) -> Result<Vec<Kind>, String> {
    let stored = spec.versions.iter().find(|version| version.storage).ok_or("no version is stored")?;
    let stored_as = format!("{}/{}", spec.group, stored.name);
    spec.versions
        .iter()
        .filter(|version| version.served)
        .map(|version| custom_kind(spec, version, &stored_as))
        .collect()
}

fn custom_kind(
    spec: &CustomResourceDefinitionSpec,
    version: &CustomResourceDefinitionVersion,
    stored_as: &str,
) -> Result<Kind, String> {
    let names = &spec.names;
    let published = version
        .schema
        .as_ref()
        .and_then(|validation| validation.open_api_v3_schema.as_ref())
        .map(serde_json::to_value)
        .transpose()
        .map_err(|error| error.to_string())?
        .ok_or_else(|| format!("version {} has no schema", version.name))?;
    let columns =
        version.additional_printer_columns.iter().flatten().map(Column::custom).collect::<Result<Vec<_>, _>>()?;
    Ok(Kind {
        group: spec.group.clone(),
        version: version.name.clone(),
        kind: names.kind.clone(),
        list_kind: names.list_kind.clone().unwrap_or_else(|| format!("{}List", names.kind)),
        plural: names.plural.clone(),
        singular: names.singular.clone().unwrap_or_else(|| names.kind.to_lowercase()),
        short_names: names.short_names.clone().unwrap_or_default(),
        categories: names.categories.clone().unwrap_or_default(),
        namespaced: spec.scope == "Namespaced",
        shelf: format!("{}.{}", names.plural, spec.group).into(),
        stored_as: stored_as.to_owned(),
        status_subresource: version.subresources.as_ref().is_some_and(|subresources| subresources.status.is_some()),
        origin: Origin::Custom,
        schema: Schema::compile_root(&published, &builtin::object_meta())?,
        published,
        columns: Column::of_custom(columns),
        selectable: version
            .selectable_fields
            .iter()
            .flatten()
            .map(|field| field.json_path.trim_start_matches('.').to_owned())
            .collect(),
        verbs: ALL_VERBS,
    })
}
