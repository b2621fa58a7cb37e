//! Rules and combinations, one schema at a time.

use serde_json::{Value, json};

use super::Schema;

fn errors(schema: &Value, new: &Value, old: Option<&Value>) -> Vec<String> {
    let schema = Schema::compile(schema).unwrap();
    schema.validate(new, old, &[]).iter().map(ToString::to_string).collect()
}

/// An object with one property `x`, of which `property` says more.
fn with_x(property: &Value, rules: &Value) -> Value {
    json!({ "type": "object", "properties": { "x": property }, "x-kubernetes-validations": rules })
}

#[test]
fn rules_speak_of_every_type() {
    for (property, rule, good, bad) in [
        (json!({ "type": "integer" }), "self.x > 3", json!(4), json!(3)),
        (json!({ "type": "integer" }), "self.x % 2 == 0", json!(4), json!(3)),
        (json!({ "type": "number" }), "self.x > 3.5", json!(4), json!(3)),
        (json!({ "type": "boolean" }), "self.x", json!(true), json!(false)),
        (json!({ "type": "string" }), "self.x.startsWith('a') && self.x.size() == 2", json!("ab"), json!("ba")),
        (json!({ "type": "string" }), "self.x.matches('^[a-z]+$')", json!("ab"), json!("a1")),
        (json!({ "type": "string" }), "self.x.lowerAscii() == 'ab'", json!("AB"), json!("b")),
        (json!({ "type": "string" }), "self.x.split('/').size() == 2", json!("a/b"), json!("a")),
        (json!({ "type": "string" }), "self.x in ['a', 'b']", json!("a"), json!("c")),
        (json!({ "type": "string" }), "quantity(self.x).compareTo(quantity('1Gi')) >= 0", json!("2Gi"), json!("2Mi")),
        (json!({ "type": "string" }), "isIP(self.x)", json!("10.0.0.1"), json!("10.0.0.256")),
        (json!({ "type": "array", "items": {} }), "self.x.all(i, i > 0)", json!([1, 2]), json!([1, 0])),
        (json!({ "type": "array", "items": {} }), "self.x.exists_one(i, i == 1)", json!([1, 2]), json!([1, 1])),
        (json!({ "type": "array", "items": {} }), "self.x.map(i, i * 2).exists(i, i == 4)", json!([2]), json!([1])),
        (
            json!({ "type": "object", "additionalProperties": { "type": "integer" } }),
            "self.x.all(k, self.x[k] > 0)",
            json!({ "a-b": 1 }),
            json!({ "a-b": 0 }),
        ),
        (
            json!({ "type": "object", "properties": { "a-b": { "type": "integer" }, "namespace": {} } }),
            "self.x.a__dash__b > 0 && has(self.x.__namespace__)",
            json!({ "a-b": 1, "namespace": "n" }),
            json!({ "a-b": 1 }),
        ),
        (json!({ "x-kubernetes-int-or-string": true }), "self.x == 1", json!(1), json!("1")),
    ] {
        let schema = with_x(&property, &json!([{ "rule": rule, "message": "refused" }]));
        assert_eq!(errors(&schema, &json!({ "x": good }), None), [""; 0], "{rule}");
        let refused = errors(&schema, &json!({ "x": bad }), None);
        // The schema's root has no path.
        assert_eq!(refused, ["<nil>: Invalid value: refused"], "{rule}");
    }
}

#[test]
fn rules_say_where_why_and_how() {
    let value = json!({ "x": 1 });
    for (rule, expected) in [
        (json!({ "rule": "self.x > 1" }), "<nil>: Invalid value: failed rule: self.x > 1"),
        (json!({ "rule": "self.x > 1", "fieldPath": ".x", "message": "more" }), "x: Invalid value: more"),
        (json!({ "rule": "self.x > 1", "reason": "FieldValueForbidden", "message": "more" }), "<nil>: Forbidden: more"),
        (
            json!({ "rule": "self.x > 1", "reason": "FieldValueRequired", "message": "more" }),
            "<nil>: Required value: more",
        ),
        (
            json!({ "rule": "self.x > 1", "messageExpression": "'x is ' + string(self.x)", "message": "more" }),
            "<nil>: Invalid value: x is 1",
        ),
        (
            json!({ "rule": "self.x > 1", "messageExpression": "self.missing", "message": "more" }),
            "<nil>: Invalid value: more",
        ),
    ] {
        let schema = with_x(&json!({ "type": "integer" }), &json!([rule]));
        assert_eq!(errors(&schema, &value, None), [expected], "{rule}");
    }
}

#[test]
fn a_rule_that_cannot_be_evaluated_refuses() {
    let schema = with_x(&json!({ "type": "integer" }), &json!([{ "rule": "self.x > 1" }]));
    let refused = errors(&schema, &json!({}), None);
    assert_eq!(refused.len(), 1);
    assert!(refused[0].ends_with("evaluating rule: self.x > 1"), "{refused:?}");
}

#[test]
fn a_rule_that_is_none_is_found_when_the_definition_is_read() {
    let schema = with_x(&json!({}), &json!([{ "rule": "self.x >" }]));
    assert!(Schema::compile(&schema).is_err());
}

#[test]
fn transition_rules_need_an_old_value_unless_it_is_optional() {
    let plain =
        with_x(&json!({ "type": "integer", "x-kubernetes-validations": [{ "rule": "self >= oldSelf" }] }), &json!([]));
    assert_eq!(errors(&plain, &json!({ "x": 1 }), None), [""; 0]);
    assert_eq!(errors(&plain, &json!({ "x": 1 }), Some(&json!({}))), [""; 0]);
    assert_eq!(errors(&plain, &json!({ "x": 1 }), Some(&json!({ "x": 2 }))).len(), 1);

    let rule = "oldSelf.hasValue() || self == 0";
    let optional =
        json!({ "type": "integer", "x-kubernetes-validations": [{ "rule": rule, "optionalOldSelf": true }] });
    let optional = with_x(&optional, &json!([]));
    assert_eq!(errors(&optional, &json!({ "x": 0 }), None), [""; 0]);
    assert_eq!(errors(&optional, &json!({ "x": 1 }), None).len(), 1);
    assert_eq!(errors(&optional, &json!({ "x": 1 }), Some(&json!({ "x": 3 }))), [""; 0]);
}

#[test]
fn items_without_keys_have_no_old_self() {
    let items = json!({ "type": "integer", "x-kubernetes-validations": [{ "rule": "self > oldSelf" }] });
    let schema = with_x(&json!({ "type": "array", "items": items }), &json!([]));
    assert_eq!(errors(&schema, &json!({ "x": [1] }), Some(&json!({ "x": [2] }))), [""; 0]);
}

#[test]
fn combinations_of_schemas_are_checked() {
    let one = json!({ "oneOf": [{ "required": ["a"] }, { "required": ["b"] }], "type": "object" });
    assert_eq!(errors(&one, &json!({ "a": 1 }), None), [""; 0]);
    assert_eq!(
        errors(&one, &json!({ "a": 1, "b": 1 }), None),
        ["<nil>: Invalid value: \"\": \"\" must validate one and only one schema (oneOf). Found 2 valid alternatives"]
    );
    let none = errors(&one, &json!({}), None);
    assert!(none[0].ends_with("(oneOf). Found none valid") && none[1] == "a: Required value", "{none:?}");
    let any = json!({ "anyOf": [{ "minimum": 5 }, { "maximum": 1 }], "type": "integer" });
    assert_eq!(errors(&any, &json!(5), None), [""; 0]);
    assert!(errors(&any, &json!(3), None)[0].ends_with("must validate at least one schema (anyOf)"));
    let not = json!({ "not": { "minimum": 5 }, "type": "integer" });
    assert_eq!(errors(&not, &json!(3), None), [""; 0]);
    assert!(errors(&not, &json!(5), None)[0].ends_with("must not validate the schema (not)"));
}

#[test]
fn defaults_are_filled_in_at_every_depth() {
    let schema = Schema::compile(&json!({
        "type": "object",
        "properties": {
            "a": { "type": "object", "default": {}, "properties": { "b": { "type": "integer", "default": 1 } } },
            "list": { "type": "array", "items": { "properties": { "c": { "default": "x" } } } },
            "maybe": { "type": "string", "nullable": true, "default": "x" },
            "never": { "type": "string", "default": "x" },
        },
    }))
    .unwrap();
    let mut value = json!({ "list": [{}, { "c": "y" }], "maybe": null, "never": null });
    schema.fill_defaults(&mut value);
    assert_eq!(value, json!({ "a": { "b": 1 }, "list": [{ "c": "x" }, { "c": "y" }], "maybe": null, "never": "x" }));
}
