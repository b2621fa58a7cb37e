//! Sets of fields, and `FieldsV1`, in which `metadata.managedFields` writes them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde_json::{Map, Value, json};

use super::element::{BadElement, Element};
use super::shape::Shape;

/// Fields of an object, by their paths. That a field is in the set says nothing of what is above
/// or below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set(BTreeMap<Element, Node>);

/// No node is empty: it is a member, or there are members below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    member: bool,
    below: Set,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

/// A path as messages write it, as `.spec.disks[name="a"].size`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldPath(pub Vec<Element>);

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| element.fmt(f))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BadFields {
    #[error(transparent)]
    Element(#[from] BadElement),
    #[error("a set of fields is an object")]
    Shape,
}

impl Set {
    /// The set of these paths, whose steps are all names.
    pub fn of_names(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let path: Vec<Element> = path.iter().map(|name| Element::Field((*name).to_owned())).collect();
            set.insert(&path);
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a field. The object itself, whose path is empty, is in no set.
    pub fn insert(&mut self, path: &[Element]) {
        match path {
            [] => {}
            [last] => self.node(last).member = true,
            [first, rest @ ..] => self.node(first).below.insert(rest),
        }
    }

    fn node(&mut self, element: &Element) -> &mut Node {
        match self.0.entry(element.clone()) {
            Entry::Occupied(node) => node.into_mut(),
            Entry::Vacant(place) => place.insert(Node::default()),
        }
    }

    pub fn has(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.0.get(last).is_some_and(|node| node.member),
            [first, rest @ ..] => self.0.get(first).is_some_and(|node| node.below.has(rest)),
        }
    }

    /// Whether `element` itself is a member, and what is below it.
    pub fn at(&self, element: &Element) -> (bool, Option<&Self>) {
        match self.0.get(element) {
            Some(node) => (node.member, (!node.below.is_empty()).then_some(&node.below)),
            None => (false, None),
        }
    }

    /// Every path: those of one level before those below it, as Kubernetes lists them.
    pub fn paths(&self) -> Vec<FieldPath> {
        let mut paths = Vec::new();
        self.collect_paths(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect_paths(&self, above: &mut Vec<Element>, paths: &mut Vec<FieldPath>) {
        for (element, _) in self.0.iter().filter(|(_, node)| node.member) {
            above.push(element.clone());
            paths.push(FieldPath(above.clone()));
            above.pop();
        }
        for (element, node) in &self.0 {
            above.push(element.clone());
            node.below.collect_paths(above, paths);
            above.pop();
        }
    }

    /// What is in either.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        self.add(other);
        self
    }

    fn add(&mut self, other: &Self) {
        for (element, theirs) in &other.0 {
            let ours = self.node(element);
            ours.member |= theirs.member;
            ours.below.add(&theirs.below);
        }
    }

    /// What is in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let pairs = self.0.iter().filter_map(|(element, ours)| Some((element, ours, other.0.get(element)?)));
        Self::of_nodes(pairs.map(|(element, ours, theirs)| {
            let node = Node { member: ours.member && theirs.member, below: ours.below.intersection(&theirs.below) };
            (element, node)
        }))
    }

    /// What is here and not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        self.without(other, false)
    }

    /// What is here, and is neither in `other` nor below anything in it.
    pub fn difference_with_all_below(&self, other: &Self) -> Self {
        self.without(other, true)
    }

    fn without(&self, other: &Self, all_below: bool) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        Self::of_nodes(self.0.iter().map(|(element, ours)| {
            let node = match other.0.get(element) {
                None => ours.clone(),
                Some(theirs) if theirs.member && all_below => Node::default(),
                Some(theirs) => {
                    Node { member: ours.member && !theirs.member, below: ours.below.without(&theirs.below, all_below) }
                }
            };
            (element, node)
        }))
    }

    fn of_nodes<'a>(nodes: impl Iterator<Item = (&'a Element, Node)>) -> Self {
        Self(nodes.filter(|(_, node)| !node.is_empty()).map(|(element, node)| (element.clone(), node)).collect())
    }

    /// As this set, with the fields that the schema names and that have members below them: who
    /// owns `.spec.cores` has a part in `.spec` as well.
    pub fn with_named_fields(&self, shape: Shape<'_>) -> Self {
        Self(
            self.0
                .iter()
                .map(|(element, node)| {
                    let (named, inner) = shape.step(element);
                    let member = node.member || (named && !node.below.is_empty());
                    let below = match inner {
                        Some(inner) => node.below.with_named_fields(inner),
                        None => node.below.clone(),
                    };
                    (element.clone(), Node { member, below })
                })
                .collect(),
        )
    }

    /// The set as `FieldsV1` writes it.
    pub fn to_fields(&self) -> Value {
        let fields: Map<String, Value> = self
            .0
            .iter()
            .map(|(element, node)| {
                let mut below = node.below.to_fields();
                if node.member
                    && let Some(below) = below.as_object_mut()
                    && !below.is_empty()
                {
                    below.shift_insert(0, ".".to_owned(), json!({}));
                }
                (element.encode(), below)
            })
            .collect();
        fields.into()
    }

    /// Reads what [`Self::to_fields`] writes.
    ///
    /// # Errors
    /// It is no set of fields.
    pub fn from_fields(fields: &Value) -> Result<Self, BadFields> {
        let fields = match fields {
            Value::Null => return Ok(Self::default()),
            Value::Object(fields) => fields,
            _ => return Err(BadFields::Shape),
        };
        let mut set = Self::default();
        for (step, below) in fields.iter().filter(|(step, _)| *step != ".") {
            let Some(element) = Element::decode(step)? else {
                continue;
            };
            let owned = below.get(".").is_some();
            let below = Self::from_fields(below)?;
            let member = owned || below.is_empty();
            set.0.insert(element, Node { member, below });
        }
        Ok(set)
    }
}
