//! What is wrong with a part of a request, as pydantic says it.

use std::ops::RangeInclusive;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// The longest number that is read, in characters; Python's own limit.
const MOST_DIGITS: usize = 4300;

/// What is wrong with a part of a request.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Fault {
    /// What is wrong, in a word.
    #[serde(rename = "type")]
    #[schema(example = "missing")]
    kind: &'static str,
    /// The part: `body`, `query`, `path` or `header`, and the name of the field.
    #[schema(example = json!(["body", "vm_name"]))]
    loc: Vec<String>,
    /// What is wrong, in a sentence.
    #[schema(example = "Field required")]
    msg: String,
    /// What was given.
    #[schema(value_type = Option<String>)]
    input: Option<String>,
    /// What would have been right, as values.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    ctx: Option<Box<Value>>,
}

impl Fault {
    fn new(kind: &'static str, at: (&str, &str), msg: impl Into<String>, input: Option<&str>) -> Self {
        let loc = vec![at.0.to_owned(), at.1.to_owned()];
        Self { kind, loc, msg: msg.into(), input: input.map(str::to_owned), ctx: None }
    }

    fn with(self, ctx: Value) -> Self {
        Self { ctx: Some(Box::new(ctx)), ..self }
    }

    /// The form as a whole will not do.
    pub fn of_body(kind: &'static str, msg: impl Into<String>) -> Self {
        Self { kind, loc: vec!["body".to_owned()], msg: msg.into(), input: None, ctx: None }
    }

    /// There is no such field.
    pub fn missing(at: (&str, &str)) -> Self {
        Self::new("missing", at, "Field required", None)
    }

    /// A value that the rules of this service refuse.
    pub fn value(at: (&str, &str), why: &str, input: &str) -> Self {
        Self::new("value_error", at, format!("Value error, {why}"), Some(input)).with(json!({"error": {}}))
    }

    /// A text that is too long.
    pub fn too_long(at: (&str, &str), most: usize, input: &str) -> Self {
        let msg = format!("String should have at most {most} characters");
        Self::new("string_too_long", at, msg, Some(input)).with(json!({"max_length": most}))
    }

    /// A text that is too short.
    pub fn too_short(at: (&str, &str), least: usize, input: &str) -> Self {
        let characters = if least == 1 { "character" } else { "characters" };
        let msg = format!("String should have at least {least} {characters}");
        Self::new("string_too_short", at, msg, Some(input)).with(json!({"min_length": least}))
    }

    /// The same without what was given: it is a secret.
    pub fn unsaid(self) -> Self {
        Self { input: None, ..self }
    }

    /// A file where a text is expected.
    pub fn no_text(at: (&str, &str), input: &str) -> Self {
        Self::new("string_type", at, "Input should be a valid string", Some(input))
    }

    /// A file where a number is expected.
    pub fn no_number(at: (&str, &str), input: &str) -> Self {
        Self::new("int_type", at, "Input should be a valid integer", Some(input))
    }

    /// None of the values that there are.
    pub fn not_among<T: AsRef<str>>(at: (&str, &str), known: &[T], input: &str) -> Self {
        let quoted: Vec<String> = known.iter().map(|value| format!("'{}'", value.as_ref())).collect();
        let expected = match quoted.as_slice() {
            [] => "a known value, of which there is none".to_owned(),
            [one] => one.clone(),
            [first @ .., last] => format!("{} or {last}", first.join(", ")),
        };
        let msg = format!("Input should be {expected}");
        Self::new("enum", at, msg, Some(input)).with(json!({"expected": expected}))
    }
}

/// A whole number as pydantic reads it from a text, in a range.
///
/// # Errors
/// What is wrong with it.
pub fn integer(at: (&str, &str), text: &str, range: RangeInclusive<i64>) -> Result<i64, Fault> {
    let Some(number) = read(text) else {
        return Err(if text.len() > MOST_DIGITS {
            let msg = "Unable to parse input string as an integer, exceeded maximum size";
            Fault::new("int_parsing_size", at, msg, Some(text))
        } else {
            let msg = "Input should be a valid integer, unable to parse string as an integer";
            Fault::new("int_parsing", at, msg, Some(text))
        });
    };
    let (least, most) = range.into_inner();
    if number < least {
        let msg = format!("Input should be greater than or equal to {least}");
        return Err(Fault::new("greater_than_equal", at, msg, Some(text)).with(json!({"ge": least})));
    }
    if number > most {
        let msg = format!("Input should be less than or equal to {most}");
        return Err(Fault::new("less_than_equal", at, msg, Some(text)).with(json!({"le": most})));
    }
    Ok(number)
}

/// Blanks around it, a sign, `_` between digits, and `.0` behind it are allowed. One too large is the largest there is.
fn read(text: &str) -> Option<i64> {
    if text.len() > MOST_DIGITS {
        return None;
    }
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = match digits.split_once('.') {
        Some((whole, rest)) if !rest.is_empty() && rest.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => return None,
        None => digits,
    };
    let mut number: i64 = 0;
    for group in digits.split('_') {
        if group.is_empty() || !group.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        for byte in group.bytes() {
            number = number.saturating_mul(10).saturating_add(i64::from(byte.saturating_sub(b'0')));
        }
    }
    Some(if negative { number.saturating_neg() } else { number })
}
