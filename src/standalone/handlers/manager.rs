//! Who writes: the field manager that a request names, or the program that sent it.

use http::{HeaderMap, header};

use super::Query;
use crate::standalone::status::{ApiError, FieldError, Problem};

/// The longest name of a manager, in bytes.
const LONGEST: usize = 128;

/// The manager's name; empty if nobody says it. `options` is what Kubernetes calls the request's
/// options, as `CreateOptions`.
///
/// # Errors
/// The name is too long, or has characters that do not print.
pub fn of(options: &str, query: &Query, headers: &HeaderMap) -> Result<String, ApiError> {
    let given = query.text("fieldManager");
    if given.is_empty() {
        return Ok(of_program(headers));
    }
    check(options, given)?;
    Ok(given.to_owned())
}

/// The manager that applies, which must be named.
///
/// # Errors
/// As for [`of`], or no name is given.
pub fn of_applier(query: &Query) -> Result<String, ApiError> {
    let given = query.text("fieldManager");
    if given.is_empty() {
        let error = FieldError::required("fieldManager", "is required for apply patch");
        return Err(ApiError::invalid_options("PatchOptions", &[error]));
    }
    check("PatchOptions", given)?;
    Ok(given.to_owned())
}

fn check(options: &str, name: &str) -> Result<(), ApiError> {
    let mut errors = Vec::new();
    if name.len() > LONGEST {
        errors.push(FieldError::new("fieldManager", Problem::TooLong(LONGEST)));
    }
    for (position, character) in name.char_indices().filter(|(_, character)| !prints(*character)) {
        let detail = format!("invalid character U+{:04X} (at position {position})", u32::from(character));
        errors.push(FieldError::invalid("fieldManager", &name.into(), detail));
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid_options(options, &errors)) }
}

/// What stands before the first slash of the user agent, as `kubectl-create`.
fn of_program(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    let mut name = String::new();
    let characters = agent.as_deref().and_then(|agent| agent.split('/').next()).into_iter().flat_map(str::chars);
    for character in characters.filter(|character| prints(*character)) {
        if name.len() + character.len_utf8() > LONGEST {
            break;
        }
        name.push(character);
    }
    name
}

fn prints(character: char) -> bool {
    character == ' ' || !(character.is_control() || character.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_the_first_part_of_its_user_agent() {
        for (agent, name) in [
            ("kubectl/v1.37.2 (linux/amd64) kubernetes/abc", "kubectl"),
            ("curl", "curl"),
            ("two words/1", "two words"),
            ("/1", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::USER_AGENT, agent.parse().unwrap());
            assert_eq!(of_program(&headers), name);
        }
        assert_eq!(of_program(&HeaderMap::new()), "");
    }
}
