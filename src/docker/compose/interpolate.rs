//! Variables in the values of a tree.

use std::collections::{BTreeMap, BTreeSet};

use super::budget::Budget;
use super::hidden::Hidden;
use super::problem::{Problem, add};
use super::tree::{Node, Value};
use super::variables::{Failure, substitute};
use super::yaml::too_large;

/// The variables that files may use: those of the object, then those of `.env` files.
pub type Variables = BTreeMap<String, String>;

/// Puts variables into all values of a tree; what cannot be done is told all at once.
pub struct Interpolation<'a> {
    /// The variables.
    pub variables: &'a Variables,
    /// What is left of the budget.
    pub budget: &'a mut Budget,
    /// What is wrong.
    pub problems: &'a mut Vec<Problem>,
    /// What came out of variables, and is not told.
    pub hidden: &'a mut Hidden,
    /// Where a variable that has no value is used first, by its name.
    pub unset: &'a mut BTreeMap<String, Problem>,
}

impl Interpolation<'_> {
    /// Puts variables into a value and everything inside of it.
    pub fn apply(&mut self, node: &mut Node, path: &str) -> Result<(), Problem> {
        match &mut node.value {
            Value::Map(map) => map.iter_mut().try_for_each(|(key, value)| self.apply(value, &join(path, key))),
            Value::List(items) => items
                .iter_mut()
                .enumerate()
                .try_for_each(|(index, item)| self.apply(item, &join(path, &index.to_string()))),
            Value::Text(text) if text.contains('$') => {
                let done = substitute(text, &|name| self.variables.get(name).cloned());
                match done {
                    Ok(done) => {
                        self.budget.spend(done.text.len().saturating_mul(2)).map_err(|_| too_large(&node.at))?;
                        for name in done.unset.into_iter().collect::<BTreeSet<_>>() {
                            let message = format!("the variable `{name}` is not set, and is taken as empty");
                            let remedy = "set it in `env`, or give a default: `${NAME:-default}`";
                            let warning = || Problem::new(&node.at, path, message, remedy);
                            self.unset.entry(name).or_insert_with(warning);
                        }
                        if done.from_variables {
                            self.hidden.note(text, &done.text);
                        }
                        node.value = Value::Text(done.text);
                        node.from_variables |= done.from_variables;
                    }
                    Err(failure) => add(self.problems, explained(failure, node, path)),
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn explained(failure: Failure, node: &Node, path: &str) -> Problem {
    let (message, remedy) = match failure {
        Failure::Invalid(form) => {
            (format!("`{form}` is no form of a variable"), "write `$$` for a dollar that is none".to_owned())
        }
        Failure::Required(name, reason) if reason.trim().is_empty() => {
            (format!("the variable `{name}` must have a value"), "set it in `env`".to_owned())
        }
        Failure::Required(name, reason) => {
            (format!("the variable `{name}` must have a value: {}", reason.trim()), "set it in `env`".to_owned())
        }
        Failure::TooDeep => ("variables are nested too deep".to_owned(), "nest fewer of them".to_owned()),
        Failure::TooLong => ("the text becomes too long".to_owned(), "use shorter values".to_owned()),
    };
    Problem::new(&node.at, path, message, remedy)
}

/// The path of something inside of something.
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
