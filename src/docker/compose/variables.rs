//! Variables in text, in all the forms that compose files know.
//!
//! `$NAME`, `${NAME}`, and with a word of which the value may be made: `${NAME:-word}`, `${NAME-word}`, `${NAME:?word}`,
//! `${NAME?word}`, `${NAME:+word}`, `${NAME+word}`. Words may hold variables. `$$` is a dollar. A dollar before anything
//! else stays as it is.

use super::budget::MAX_CHAIN;

/// What became of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Substituted {
    /// The text.
    pub text: String,
    /// Whether it holds values of variables.
    pub from_variables: bool,
    /// The names of variables that are not set and have no default.
    pub unset: Vec<String>,
}

/// Why variables could not be put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This is no form of a variable.
    Invalid(String),
    /// This variable must have a value; what the file says about it, as it stands there.
    Required(String, String),
    /// Variables are nested too deep.
    TooDeep,
    /// The text becomes too long.
    TooLong,
}

/// The longest text that may come of variables.
const MAX_TEXT: usize = 4 * 1024 * 1024;

/// Puts values in place of variables.
pub fn substitute(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Substituted, Failure> {
    let mut result = Substituted::default();
    append(text, lookup, &mut result, 0)?;
    Ok(result)
}

fn append(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    result: &mut Substituted,
    depth: usize,
) -> Result<(), Failure> {
    if depth > MAX_CHAIN {
        return Err(Failure::TooDeep);
    }
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        push(result, before)?;
        if let Some(after) = after.strip_prefix('$') {
            push(result, "$")?;
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let Some((inside, after)) = split_at_closing_brace(after) else {
                return Err(Failure::Invalid(format!("${{{}", shortened(after))));
            };
            braced(inside, lookup, result, depth)?;
            rest = after;
        } else {
            let (name, after) = split_name(after);
            if name.is_empty() {
                push(result, "$")?;
            } else {
                plain(name, lookup, result)?;
            }
            rest = after;
        }
    }
    push(result, rest)
}

fn braced(
    inside: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    result: &mut Substituted,
    depth: usize,
) -> Result<(), Failure> {
    let (name, operation) = split_name(inside);
    if name.is_empty() {
        return Err(Failure::Invalid(format!("${{{}}}", shortened(inside))));
    }
    if operation.is_empty() {
        return plain(name, lookup, result);
    }
    let (empty_is_unset, operation) = match operation.strip_prefix(':') {
        Some(operation) => (true, operation),
        None => (false, operation),
    };
    let value = lookup(name).filter(|value| !(empty_is_unset && value.is_empty()));
    let mut word = |word: &str| append(word, lookup, result, depth.saturating_add(1));
    match (operation.split_at_checked(1), value) {
        (Some(("-", default)), None) => word(default),
        (Some(("+", instead)), Some(_)) => {
            word(instead)?;
            result.from_variables = true;
            Ok(())
        }
        (Some(("+", _)), None) => Ok(()),
        (Some(("?", message)), None) => Err(Failure::Required(name.to_owned(), message.to_owned())),
        (Some(("-" | "?", _)), Some(value)) => {
            result.from_variables = true;
            push(result, &value)
        }
        _ => Err(Failure::Invalid(format!("${{{}}}", shortened(inside)))),
    }
}

fn plain(name: &str, lookup: &dyn Fn(&str) -> Option<String>, result: &mut Substituted) -> Result<(), Failure> {
    match lookup(name) {
        Some(value) => {
            result.from_variables = true;
            push(result, &value)
        }
        None => {
            result.unset.push(name.to_owned());
            Ok(())
        }
    }
}

fn push(result: &mut Substituted, text: &str) -> Result<(), Failure> {
    if result.text.len().saturating_add(text.len()) > MAX_TEXT {
        return Err(Failure::TooLong);
    }
    result.text.push_str(text);
    Ok(())
}

/// The name of a variable at the beginning, and what follows.
fn split_name(text: &str) -> (&str, &str) {
    let length = match text.bytes().next() {
        Some(first) if first == b'_' || first.is_ascii_alphabetic() => {
            text.bytes().take_while(|byte| *byte == b'_' || byte.is_ascii_alphanumeric()).count()
        }
        _ => 0,
    };
    text.split_at_checked(length).unwrap_or((text, ""))
}

/// What is before the brace that closes, and what is behind it.
fn split_at_closing_brace(text: &str) -> Option<(&str, &str)> {
    let mut open = 1_usize;
    for (index, character) in text.char_indices() {
        match character {
            '{' => open = open.saturating_add(1),
            '}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open == 0 {
            let (inside, rest) = text.split_at_checked(index)?;
            return Some((inside, rest.strip_prefix('}')?));
        }
    }
    None
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("$SET".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn all_forms_of_variables_are_known() {
        for (text, expected) in [
            ("no variables", "no variables"),
            ("$SET", "value"),
            ("${SET}", "value"),
            ("a${SET}b", "avalueb"),
            ("$SET-x", "value-x"),
            ("$UNSET!", "!"),
            ("$$SET", "$SET"),
            ("$$$SET", "$value"),
            ("${SET:-other}", "value"),
            ("${EMPTY:-other}", "other"),
            ("${EMPTY-other}", ""),
            ("${UNSET-other}", "other"),
            ("${UNSET:-}", ""),
            ("${SET:+there}", "there"),
            ("${EMPTY:+there}", ""),
            ("${EMPTY+there}", "there"),
            ("${UNSET+there}", ""),
            ("${SET:?needed}", "value"),
            ("${EMPTY?needed}", ""),
            ("${UNSET:-${OTHER:-$SET}}", "value"),
            ("${UNSET:-a${SET}b${SET}c}-d", "avaluebvaluec-d"),
            ("${UNSET:-{}}", "{}"),
            ("${UNSET:-$$x}", "$x"),
            ("${UNSET:-a:?b}", "a:?b"),
            ("${DOLLAR}", "$SET"),
            ("${UNSET:-two\nlines}", "two\nlines"),
            ("$1 costs $ 5 $", "$1 costs $ 5 $"),
            ("$(date)", "$(date)"),
            ("$ünset", "$ünset"),
        ] {
            assert_eq!(substitute(text, &lookup).map(|done| done.text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_variable_is_an_error() {
        for text in
            ["${", "${}", "${SET", "${1}", "${ SET}", "${SET }", "${SET:}", "${SET:=x}", "${SET/a/b}", "${UNSET:-${}}"]
        {
            assert!(matches!(substitute(text, &lookup), Err(Failure::Invalid(_))), "{text}");
        }
    }

    #[test]
    fn a_required_variable_is_named_with_the_files_own_words_and_no_values() {
        let required = |name: &str, message: &str| Err(Failure::Required(name.to_owned(), message.to_owned()));
        assert_eq!(substitute("${UNSET:?set it to ${SET}}", &lookup), required("UNSET", "set it to ${SET}"));
        assert_eq!(substitute("${EMPTY:?}", &lookup), required("EMPTY", ""));
    }

    #[test]
    fn it_is_known_what_holds_values_and_what_was_not_set() {
        let done = substitute("$A ${B:-b} $A", &lookup).expect("valid");
        assert_eq!((done.from_variables, done.unset), (false, vec!["A".to_owned(), "A".to_owned()]));
        assert!(substitute("${SET:-b}", &lookup).expect("valid").from_variables);
    }

    #[test]
    fn variables_neither_nest_nor_grow_without_end() {
        let nested = "${A:-".repeat(1000) + &"}".repeat(1000);
        assert_eq!(substitute(&nested, &lookup), Err(Failure::TooDeep));
        let long = |_: &str| Some("x".repeat(1024 * 1024));
        assert_eq!(substitute(&"$A".repeat(100), &long), Err(Failure::TooLong));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[${}A-C:?+\\-a ü]{0,40}") {
            let _ = substitute(&text, &lookup);
        }

        #[test]
        fn doubled_dollars_keep_any_text_as_it_is(text in "\\PC*") {
            let done = substitute(&text.replace('$', "$$"), &lookup).expect("has no variables");
            prop_assert_eq!((done.text, done.from_variables), (text, false));
        }
    }
}
