#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::element::{Atom, Element};
use super::managers::Entry;
use super::merge::{merge, without};
use super::*;
use crate::standalone::schema::Schema;

/// A schema with every way of merging.
fn schema() -> Schema {
    Schema::compile(&json!({
        "type": "object",
        "properties": {
            "apiVersion": { "type": "string" },
            "spec": {
                "type": "object",
                "properties": {
                    "text": { "type": "string" },
                    "number": { "type": "integer" },
                    "names": { "type": "object", "additionalProperties": { "type": "string" } },
                    "whole": {
                        "type": "object",
                        "x-kubernetes-map-type": "atomic",
                        "properties": { "a": { "type": "string" }, "b": { "type": "string" } },
                    },
                    "list": { "type": "array", "items": { "type": "string" } },
                    "set": { "type": "array", "items": { "type": "string" }, "x-kubernetes-list-type": "set" },
                    "items": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name", "port"],
                        "items": {
                            "type": "object",
                            "properties": {
                                "name": { "type": "string" },
                                "port": { "type": "integer", "default": 80 },
                                "value": { "type": "string" },
                            },
                        },
                    },
                    "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                },
            },
        },
    }))
    .unwrap()
}

/// One version, in which the server sets nothing.
struct OneVersion {
    schema: Schema,
    ignored: Set,
}

impl OneVersion {
    fn new() -> Self {
        Self { schema: schema(), ignored: Set::default() }
    }
}

impl Versions for OneVersion {
    fn shape(&self, version: &str) -> Option<Shape<'_>> {
        (version == "v1").then(|| Shape::of(&self.schema))
    }

    fn convert(&self, object: &Value, _: &str) -> Value {
        object.clone()
    }

    fn ignored(&self) -> &Set {
        &self.ignored
    }
}

fn manager(name: &str, operation: Operation) -> Manager {
    Manager { name: name.to_owned(), operation, version: "v1".to_owned(), subresource: String::new() }
}

fn object(spec: &Value) -> Value {
    json!({ "apiVersion": "v1", "spec": spec })
}

/// The paths of a set, as messages write them.
fn shown(set: &Set) -> Vec<String> {
    set.paths().iter().map(ToString::to_string).collect()
}

#[test]
fn steps_are_written_as_kubernetes_writes_them() {
    let key = |keys: &[(&str, Value)]| {
        Element::Key(keys.iter().map(|(name, value)| ((*name).to_owned(), Atom(value.clone()))).collect())
    };
    for (element, encoded, shown) in [
        (Element::Field("a.b".to_owned()), "f:a.b", ".a.b"),
        (Element::Field("f:v".to_owned()), "f:f:v", ".f:v"),
        (key(&[("name", json!("a")), ("port", json!(80))]), r#"k:{"name":"a","port":80}"#, r#"[name="a",port=80]"#),
        (Element::Value(Atom(json!("a<b"))), r#"v:"a\u003cb""#, r#"[="a<b"]"#),
        (Element::Value(Atom(json!(true))), "v:true", "[=true]"),
        (Element::Index(3), "i:3", "[3]"),
    ] {
        assert_eq!(element.encode(), encoded);
        assert_eq!(element.to_string(), shown);
        assert_eq!(Element::decode(encoded).unwrap(), Some(element));
    }
    assert_eq!(Element::decode("x:later").unwrap(), None, "what a later version may know is passed over");
    for bad in ["f", "k:[]", "v:{", "i:a", "long:a"] {
        assert!(Element::decode(bad).is_err(), "{bad}");
    }
}

#[test]
fn differences_are_told_by_the_way_a_field_merges() {
    let schema = schema();
    for (name, old, new, added, modified, removed) in [
        ("nothing", json!({ "text": "a" }), json!({ "text": "a" }), vec![], vec![], vec![]),
        ("a value", json!({ "text": "a" }), json!({ "text": "b" }), vec![], vec![".spec.text"], vec![]),
        (
            "fields that come and go",
            json!({ "names": { "a": "1", "b": "2" } }),
            json!({ "names": { "b": "2", "c": "3" } }),
            vec![".spec.names.c"],
            vec![],
            vec![".spec.names.a"],
        ),
        (
            "an object that comes",
            json!({}),
            json!({ "names": { "a": "1" } }),
            vec![".spec.names", ".spec.names.a"],
            vec![],
            vec![],
        ),
        ("an empty one", json!({}), json!({ "names": {} }), vec![".spec.names"], vec![], vec![]),
        (
            "an atomic object",
            json!({ "whole": { "a": "1" } }),
            json!({ "whole": { "a": "1", "b": "2" } }),
            vec![],
            vec![".spec.whole"],
            vec![],
        ),
        ("an atomic list", json!({ "list": ["a"] }), json!({ "list": ["a", "b"] }), vec![], vec![".spec.list"], vec![]),
        (
            "a set",
            json!({ "set": ["a", "b"] }),
            json!({ "set": ["c", "b"] }),
            vec![r#".spec.set[="c"]"#],
            vec![],
            vec![r#".spec.set[="a"]"#],
        ),
        (
            "items by their keys, with defaults",
            json!({ "items": [{ "name": "a", "value": "1" }, { "name": "b", "port": 1 }] }),
            json!({ "items": [{ "name": "b", "port": 1 }, { "name": "a", "port": 80, "value": "2" }] }),
            vec![r#".spec.items[name="a",port=80].port"#],
            vec![r#".spec.items[name="a",port=80].value"#],
            vec![],
        ),
        (
            "another form",
            json!({ "free": { "x": { "a": 1 } } }),
            json!({ "free": { "x": "text" } }),
            vec![],
            vec![".spec.free.x"],
            vec![".spec.free.x.a"],
        ),
        (
            "items that cannot be told apart",
            json!({ "set": ["a"] }),
            json!({ "set": ["a", "a"] }),
            vec![r#".spec.set[="a"]"#],
            vec![],
            vec![],
        ),
    ] {
        let changes = Changes::between(Shape::of(&schema), &object(&old), &object(&new));
        let sorted = |set: &Set| shown(set).into_iter().collect::<BTreeSet<_>>();
        let expected = |paths: Vec<&str>| paths.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(sorted(&changes.added), expected(added), "{name}: added");
        assert_eq!(sorted(&changes.modified), expected(modified), "{name}: modified");
        // Items that double are owned anew as one: the single one goes.
        if name != "items that cannot be told apart" {
            assert_eq!(sorted(&changes.removed), expected(removed), "{name}: removed");
        }
    }
}

#[test]
fn given_items_keep_their_order_and_others_their_place() {
    let schema = schema();
    for (live, given, expected) in [
        ("abc", "", "abc"),
        ("", "ab", "ab"),
        ("abc", "cb", "acb"),
        ("abc", "ba", "bca"),
        ("axb", "nab", "naxb"),
        ("xa", "na", "xna"),
        ("abx", "ban", "bxan"),
        ("abcd", "dxa", "bcdxa"),
    ] {
        let set = |letters: &str| {
            let letters: Vec<String> = letters.chars().map(String::from).collect();
            object(&json!({ "set": letters }))
        };
        let merged = merge(Shape::of(&schema), &set(live), &set(given));
        let merged: String = merged["spec"]["set"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
        assert_eq!(merged, expected, "{given} over {live}");
    }
}

#[test]
fn what_does_not_fit_is_told_in_the_words_of_kubernetes() {
    let schema = schema();
    for (spec, expected) in [
        (json!({ "text": "a", "items": [{ "name": "a" }, { "name": "a", "port": 81 }] }), None),
        (json!({ "text": null, "items": null, "free": { "any": [1, { "b": {} }] } }), None),
        (json!({ "next": 1 }), Some(".spec.next: field not declared in schema")),
        (json!({ "number": "1" }), Some(".spec.number: expected numeric (int or float), got string")),
        (json!({ "text": 1 }), Some(".spec.text: expected string, got &value.valueUnstructured{Value:1}")),
        (json!({ "names": [] }), Some(".spec.names: expected map, got &{[]}")),
        (json!({ "list": { "a": 1 } }), Some(".spec.list: expected list, got &{map[a:1]}")),
        (json!({ "set": ["a", "a"] }), Some(r#".spec.set: duplicate entries for key [="a"]"#)),
        (
            json!({ "items": [{ "name": "a" }, { "name": "a", "port": 80 }] }),
            Some(r#".spec.items: duplicate entries for key [name="a",port=80]"#),
        ),
        (
            json!({ "number": true, "text": 1 }),
            Some(
                "errors:\n  .spec.number: expected numeric (int or float), got bool\n  .spec.text: expected string, got &value.valueUnstructured{Value:1}",
            ),
        ),
    ] {
        assert_eq!(misfit(Shape::of(&schema), &object(&spec)).as_deref(), expected, "{spec}");
    }
}

#[test]
fn the_oldest_of_too_many_updates_are_counted_together() {
    let versions = OneVersion::new();
    let mut managers = Managers::default();
    let mut live = object(&json!({}));
    for index in 0..13 {
        let mut next = live.clone();
        next["spec"]["names"][format!("n{index:02}")] = json!("x");
        let author = manager(&format!("m{index:02}"), Operation::Update);
        update(&versions, &live, &next, &mut managers, &author, &format!("2026-01-01T00:00:{index:02}Z"));
        live = next;
    }
    let names: Vec<&str> = managers.0.iter().map(|entry| entry.manager.name.as_str()).collect();
    assert_eq!(names.len(), 10, "{names:?}");
    let ancient = managers.find(&manager("ancient-changes", Operation::Update)).unwrap();
    assert_eq!(
        shown(&ancient.fields),
        [".spec", ".spec.names", ".spec.names.n00", ".spec.names.n01", ".spec.names.n02", ".spec.names.n03"]
            .iter()
            .filter(|path| **path != ".spec")
            .copied()
            .collect::<Vec<_>>()
    );
    assert_eq!(ancient.time.as_deref(), Some("2026-01-01T00:00:03Z"));
}

#[test]
fn managers_whose_version_is_not_served_any_more_are_forgotten() {
    let versions = OneVersion::new();
    let mut gone = manager("old", Operation::Update);
    gone.version = "v0".to_owned();
    let fields = Set::of_names(&[&["spec", "text"]]);
    let mut managers = Managers(vec![Entry { manager: gone, time: None, fields }]);
    let (old, new) = (object(&json!({ "text": "a" })), object(&json!({ "text": "a", "number": 1 })));
    update(&versions, &old, &new, &mut managers, &manager("new", Operation::Update), "2026-01-01T00:00:00Z");
    let names: Vec<&str> = managers.0.iter().map(|entry| entry.manager.name.as_str()).collect();
    assert_eq!(names, ["new"]);
}

/// A few names, so that they often meet.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["a", "b", "c", "d"]
}

/// A spec that fits the schema; no object or list in it is empty.
fn spec() -> impl Strategy<Value = Value> {
    let text = proptest::option::of(name());
    // Never absent, so that there always is something.
    let number = 0..3_i64;
    let names = proptest::option::of(proptest::collection::btree_map(name(), name(), 1..3));
    let list = proptest::option::of(proptest::collection::vec(name(), 1..3));
    let set = proptest::option::of(proptest::collection::btree_set(name(), 1..3));
    let items = proptest::option::of(proptest::collection::btree_map((name(), 80..82_i64), name(), 1..3));
    let free =
        proptest::option::of(proptest::collection::btree_map(name(), proptest::collection::vec(0..3, 1..2), 1..3));
    (text, number, names, list, set, items, free).prop_map(|(text, number, names, list, set, items, free)| {
        let items = items.map(|items| {
            let items = items.into_iter();
            items.map(|((name, port), value)| json!({ "name": name, "port": port, "value": value })).collect::<Value>()
        });
        let whole = text.as_ref().map(|text| json!({ "a": text }));
        let mut spec = json!({});
        for (field, value) in [
            ("text", text.map(Value::from)),
            ("number", Some(number.into())),
            ("names", names.map(|names| json!(names))),
            ("whole", whole),
            ("list", list.map(|list| json!(list))),
            ("set", set.map(|set| json!(set))),
            ("items", items),
            ("free", free.map(|free| json!(free))),
        ] {
            if let Some(value) = value {
                spec[field] = value;
            }
        }
        spec
    })
}

fn fields(spec: &Value) -> Set {
    fields_of(Shape::of(&schema()), &object(spec))
}

fn applied(
    live: &Value,
    config: &Value,
    managers: &Managers,
    name: &str,
    force: bool,
) -> Result<(Value, Managers), ()> {
    let by = manager(name, Operation::Apply);
    apply(&OneVersion::new(), live, config, managers, &by, force, "2026-01-01T00:00:00Z")
        .map(|applied| (applied.object, applied.managers))
        .map_err(drop)
}

proptest! {
    #[test]
    fn sets_obey_the_laws_of_sets_and_survive_being_written(one in spec(), two in spec()) {
        let (a, b) = (fields(&one), fields(&two));
        let (union, common, rest) = (a.clone().union(&b), a.intersection(&b), a.difference(&b));
        for path in union.paths() {
            let (in_a, in_b) = (a.has(&path.0), b.has(&path.0));
            prop_assert!(in_a || in_b);
            prop_assert_eq!(common.has(&path.0), in_a && in_b);
            prop_assert_eq!(rest.has(&path.0), in_a && !in_b);
        }
        prop_assert_eq!(rest.union(&common), a.clone());
        prop_assert!(a.difference_with_all_below(&a).is_empty());
        let written = a.to_fields();
        prop_assert_eq!(Set::from_fields(&written).unwrap(), a.clone());
        let text = written.to_string();
        prop_assert_eq!(Set::from_fields(&serde_json::from_str(&text).unwrap()).unwrap(), a);
    }

    #[test]
    fn what_differs_is_what_one_has_and_the_other_has_not(one in spec(), two in spec()) {
        let schema = schema();
        let shape = Shape::of(&schema);
        let changes = Changes::between(shape, &object(&one), &object(&two));
        let back = Changes::between(shape, &object(&two), &object(&one));
        prop_assert_eq!(&changes.added, &back.removed);
        prop_assert_eq!(&changes.removed, &back.added);
        prop_assert_eq!(&changes.modified, &back.modified);
        prop_assert!(changes.added.intersection(&changes.modified).is_empty());
        prop_assert!(changes.added.intersection(&fields(&one)).is_empty());
        prop_assert_eq!(changes == Changes::default(), sorted(&one) == sorted(&two));
    }

    #[test]
    fn merging_gives_all_that_is_given_and_keeps_the_rest(one in spec(), two in spec()) {
        let schema = schema();
        let shape = Shape::of(&schema);
        let merged = merge(shape, &object(&one), &object(&two));
        let had = fields_of(shape, &merged);
        prop_assert_eq!(&had, &fields(&one).union(&fields(&two)));
        prop_assert_eq!(merge(shape, &merged, &object(&two)), merged.clone());
        let kept = fields(&one).difference(&fields(&two));
        let changes = Changes::between(shape, &object(&one), &merged);
        prop_assert!(changes.written().intersection(&kept).is_empty() && changes.removed.is_empty());
        let left = without(shape, &merged, &fields(&two).with_named_fields(shape)).unwrap_or_default();
        prop_assert!(fields_of(shape, &left).intersection(&fields(&two)).is_empty());
    }

    #[test]
    fn applying_again_changes_nothing_and_applying_nothing_takes_all_back(live in spec(), config in spec()) {
        let (live, config) = (object(&live), object(&config));
        let author = manager("author", Operation::Update);
        let mut managers = Managers::default();
        let versions = OneVersion::new();
        update(&versions, &json!({}), &live, &mut managers, &author, "2026-01-01T00:00:00Z");
        let (object, managers) = applied(&live, &config, &managers, "applier", true).unwrap();
        let (again, same) = applied(&object, &config, &managers, "applier", false).unwrap();
        prop_assert_eq!(&again, &object);
        prop_assert_eq!(same.clone().encode(), managers.clone().encode());

        let (after, left) = applied(&object, &json!({ "apiVersion": "v1" }), &managers, "applier", false).unwrap();
        prop_assert!(left.find(&manager("applier", Operation::Apply)).is_none());
        // What only the applier had is gone; what the author still has is there.
        let schema = schema();
        let shape = Shape::of(&schema);
        let there = fields_of(shape, &after);
        let authors = left.find(&author).map(|entry| entry.fields.clone()).unwrap_or_default();
        let only = fields_of(shape, &config).difference(&fields_of(shape, &live)).difference(&authors);
        prop_assert!(there.intersection(&only).is_empty(), "{after} still has {:?}", shown(&there.intersection(&only)));
        prop_assert!(authors.intersection(&fields_of(shape, &live)).difference(&there).is_empty());
    }

    #[test]
    fn two_appliers_conflict_just_where_they_want_different_values(one in spec(), two in spec()) {
        let (first, second) = (object(&one), object(&two));
        let nothing = json!({ "apiVersion": "v1" });
        let (live, managers) = applied(&nothing, &first, &Managers::default(), "first", false).unwrap();
        let schema = schema();
        let shape = Shape::of(&schema);
        let differ = Changes::between(shape, &first, &merge(shape, &first, &second)).modified;
        match applied(&live, &second, &managers, "second", false) {
            Ok((object, managers)) => {
                prop_assert!(differ.is_empty());
                // Both have all they want, and the first can go on unchanged.
                let (same, _) = applied(&object, &first, &managers, "first", false).unwrap();
                prop_assert_eq!(sorted(&same), sorted(&object));
            }
            Err(()) => prop_assert!(!differ.is_empty()),
        }
    }
}

/// A value with its sets and maps in order, to compare what their order does not matter for.
fn sorted(value: &Value) -> Value {
    let mut value = value.clone();
    for pointer in ["/set", "/items", "/spec/set", "/spec/items"] {
        if let Some(items) = value.pointer_mut(pointer).and_then(Value::as_array_mut) {
            items.sort_by_key(ToString::to_string);
        }
    }
    value
}
