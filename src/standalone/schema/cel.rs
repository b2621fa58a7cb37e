//! `x-kubernetes-validations`: rules in CEL, evaluated as the API server does.
//!
//! Not evaluated as Kubernetes does: strings of the formats `date-time` and `duration` stay strings
//! here, there is no cost budget (the definitions are the administrator's own), and the library has
//! no `type()`; a rule that uses what it does not have refuses every object, and says so.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use kube::core::cel::{
    KubeCelExt,
    cel::{self, Context, Program, objects::OptionalValue},
};
use serde_json::Value;

use super::validate::child;
use super::{ListKind, Schema, Type};
use crate::standalone::status::{FieldError, Problem, shown};

/// All functions that rules may call.
static FUNCTIONS: LazyLock<Context<'static>> = LazyLock::new(|| Context::default().with_all());

/// One rule of a schema.
#[derive(Debug)]
pub struct Rule {
    source: String,
    program: Program,
    /// It compares with the old value, so it is evaluated only where there is one.
    is_transition: bool,
    /// `oldSelf` is an optional, and the rule is evaluated for new values too.
    optional_old: bool,
    message: Option<String>,
    message_expression: Option<Program>,
    reason: Reason,
    field: String,
}

#[derive(Debug, Clone, Copy)]
enum Reason {
    Invalid,
    Required,
    Forbidden,
    Duplicate,
}

impl Rule {
    pub fn compile(json: &Value) -> Result<Self, String> {
        let text = |field: &str| json.get(field).and_then(Value::as_str);
        let source = text("rule").unwrap_or_default().trim().to_owned();
        let compile = |source: &str| {
            Program::compile(source).map_err(|error| format!("the rule {source:?} cannot be compiled: {error}"))
        };
        let program = compile(&source)?;
        Ok(Self {
            is_transition: program.references().has_variable("oldSelf"),
            program,
            optional_old: json.get("optionalOldSelf") == Some(&Value::Bool(true)),
            message: text("message").map(|message| message.trim().to_owned()),
            message_expression: text("messageExpression").map(compile).transpose()?,
            reason: match text("reason") {
                Some("FieldValueRequired") => Reason::Required,
                Some("FieldValueForbidden") => Reason::Forbidden,
                Some("FieldValueDuplicate") => Reason::Duplicate,
                _ => Reason::Invalid,
            },
            field: text("fieldPath").unwrap_or_default().trim_start_matches('.').to_owned(),
            source,
        })
    }

    /// Whether it says something of a value. What is as it was may stay so, whatever the rules say today; only what they say of
    /// the change itself counts.
    fn concerns(&self, is_new: bool, unchanged: bool) -> bool {
        if self.is_transition { !is_new || self.optional_old } else { !unchanged }
    }

    /// The message for people; a failing `messageExpression` counts as none, as in Kubernetes.
    fn explain(&self, context: &Context<'_>) -> String {
        let computed = self
            .message_expression
            .as_ref()
            .and_then(|expression| match expression.execute(context) {
                Ok(cel::Value::String(text)) => Some(text.trim().to_owned()),
                _ => None,
            })
            .filter(|text| !text.is_empty() && !text.contains('\n'));
        computed.or_else(|| self.message.clone()).unwrap_or_else(|| format!("failed rule: {}", self.source))
    }

    /// The rule is broken by `value`, which is shown if it is short.
    fn broken(&self, path: String, value: &Value, detail: String) -> FieldError {
        let value = (!value.is_object() && !value.is_array()).then(|| shown(value));
        let problem = match self.reason {
            Reason::Invalid => Problem::Invalid { value, detail },
            Reason::Required => Problem::Required(detail),
            Reason::Forbidden => Problem::Forbidden(detail),
            Reason::Duplicate => Problem::Duplicate(value),
        };
        FieldError::new(path, problem)
    }
}

impl Schema {
    /// Evaluates the rules of this schema and of all below it.
    pub(super) fn check_rules(&self, value: &Value, old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
        if !self.has_rules || value.is_null() {
            return;
        }
        let old = old.filter(|old| !old.is_null());
        if !self.rules.is_empty() {
            self.check_own_rules(value, old, path, errors);
        }
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    if let Some(schema) = self.property(name) {
                        let old = old.and_then(|old| old.get(name));
                        schema.check_rules(value, old, &child(path, name), errors);
                    }
                }
            }
            Value::Array(items) => {
                let Some(schema) = &self.items else {
                    return;
                };
                for (index, item) in items.iter().enumerate() {
                    // Only items that are known by keys have an old self.
                    let old = match self.list {
                        ListKind::Map(_) => self.correlate(old, item, index),
                        ListKind::Set | ListKind::Atomic => None,
                    };
                    schema.check_rules(item, old, &format!("{path}[{index}]"), errors);
                }
            }
            _ => {}
        }
    }

    fn check_own_rules(&self, value: &Value, old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
        let type_name = self.kind.map_or("", Type::name);
        let unchanged = old == Some(value);
        let mut rules = self.rules.iter().filter(|rule| rule.concerns(old.is_none(), unchanged)).peekable();
        if rules.peek().is_none() {
            return;
        }
        let now = self.to_cel(value);
        let before = old.map(|old| if unchanged { now.clone() } else { self.to_cel(old) });
        let mut root = FUNCTIONS.new_inner_scope();
        root.add_variable_from_value("self", now);
        for rule in rules {
            let mut context = root.new_inner_scope();
            if rule.is_transition {
                let old = match before.clone() {
                    old if rule.optional_old => {
                        cel::Value::Opaque(Arc::new(old.map_or_else(OptionalValue::none, OptionalValue::of)))
                    }
                    Some(old) => old,
                    None => continue,
                };
                context.add_variable_from_value("oldSelf", old);
            }
            let error = match rule.program.execute(&context) {
                Ok(cel::Value::Bool(true)) => continue,
                Ok(_) => {
                    let path = if rule.field.is_empty() { path.to_owned() } else { child(path, &rule.field) };
                    rule.broken(path, value, rule.explain(&context))
                }
                Err(error) => {
                    let named = rule.message.as_ref().unwrap_or(&rule.source);
                    FieldError::invalid(path, &type_name.into(), format!("{error} evaluating rule: {named}"))
                }
            };
            errors.push(error);
        }
    }

    /// A value as rules see it: whole numbers are ints unless the schema says `number`, and
    /// properties have the names by which CEL can select them.
    fn to_cel(&self, value: &Value) -> cel::Value {
        match value {
            Value::Null => cel::Value::Null,
            Value::Bool(value) => cel::Value::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) if self.kind != Some(Type::Number) => cel::Value::Int(whole),
                (_, Some(float)) if self.kind == Some(Type::Integer) => {
                    #[expect(clippy::cast_possible_truncation, reason = "it has no fraction")]
                    let whole = float as i64;
                    cel::Value::Int(whole)
                }
                (_, Some(float)) => cel::Value::Float(float),
                (_, None) => cel::Value::Null,
            },
            Value::String(text) => text.as_str().into(),
            Value::Array(items) => {
                let items: Vec<cel::Value> = items
                    .iter()
                    .map(|item| match &self.items {
                        Some(schema) => schema.to_cel(item),
                        None => Schema::default().to_cel(item),
                    })
                    .collect();
                items.into()
            }
            Value::Object(object) => {
                let fields: HashMap<String, cel::Value> = object
                    .iter()
                    .map(|(name, value)| match self.properties.get(name) {
                        Some(schema) => (escaped(name), schema.to_cel(value)),
                        None => match &self.additional {
                            Some(schema) => (name.clone(), schema.to_cel(value)),
                            None => (escaped(name), Schema::default().to_cel(value)),
                        },
                    })
                    .collect();
                fields.into()
            }
        }
    }
}

/// The name by which rules select a property: Kubernetes escapes what is no identifier in CEL.
fn escaped(name: &str) -> String {
    const RESERVED: &[&str] = &[
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ];
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    if !name.contains("__") && !name.contains(['.', '-', '/']) {
        return name.to_owned();
    }
    name.replace("__", "__underscores__").replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__")
}
