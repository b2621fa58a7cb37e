//! Functions that Kubernetes adds to CEL: <https://kubernetes.io/docs/reference/using-api/cel/>.
//!
//! Here are those for lists, regular expressions and addresses; not here are `quantity`, `url`,
//! `format`, `semver` and the types of addresses. A rule that uses one of them fails when it is
//! evaluated, and says so.

use std::net::IpAddr;
use std::sync::Arc;

use cel::extractors::This;
use cel::{Context, ExecutionError, Value};
use regex::Regex;

type Text = Arc<String>;
type List = Arc<Vec<Value>>;

pub fn add(context: &mut Context<'_, '_>) {
    // A name that CEL itself comes to declare one day takes precedence over ours.
    let _ = context.add_function("isIP", |text: Text| text.parse::<IpAddr>().is_ok());
    let _ = context.add_function("isCIDR", |text: Text| is_cidr(&text));
    let _ = context.add_function("find", |This(text): This<Text>, pattern: Text| {
        let found = compile("find", &pattern)?.find(&text).map(|found| found.as_str().to_owned());
        Ok::<Value, ExecutionError>(found.unwrap_or_default().into())
    });
    let _ = context.add_function("findAll", |This(text): This<Text>, pattern: Text| {
        let found: Vec<String> =
            compile("findAll", &pattern)?.find_iter(&text).map(|found| found.as_str().to_owned()).collect();
        Ok::<Value, ExecutionError>(found.into())
    });
    let _ = context.add_function("isSorted", |This(list): This<List>| {
        list.is_sorted_by(|a, b| a.partial_cmp(b).is_some_and(std::cmp::Ordering::is_le))
    });
    let _ = context.add_function("sum", |This(list): This<List>| {
        list.iter().cloned().try_fold(Value::Int(0), |sum, item| match sum {
            Value::Int(0) => Ok(item),
            sum => sum + item,
        })
    });
    let _ = context.add_function("min", |This(list): This<List>| extreme("min", &list));
    let _ = context.add_function("max", |This(list): This<List>| extreme("max", &list));
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= most)
}

fn compile(function: &str, pattern: &str) -> Result<Regex, ExecutionError> {
    Regex::new(pattern).map_err(|error| ExecutionError::function_error(function, error))
}

fn extreme(function: &str, list: &[Value]) -> Result<Value, ExecutionError> {
    let wanted = if function == "min" { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater };
    list.iter()
        .cloned()
        .reduce(|best, item| if item.partial_cmp(&best) == Some(wanted) { item } else { best })
        .ok_or_else(|| ExecutionError::function_error(function, format!("{function} called on empty list")))
}
