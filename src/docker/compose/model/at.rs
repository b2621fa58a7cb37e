//! Where something is written. Positions are for people: two things that differ only in them are equal.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A line of a file of the sources.
#[derive(Clone, Debug, Default)]
pub struct At {
    /// The file's path from the root of the sources; empty if it is not known.
    pub file: Arc<str>,
    /// The line, from 1; 0 if it is not known.
    pub line: u32,
}

impl PartialEq for At {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for At {}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.is_empty(), self.line) {
            (true, _) => f.write_str("(unknown position)"),
            (false, 0) => f.write_str(&self.file),
            (false, line) => write!(f, "{}:{line}", self.file),
        }
    }
}

/// Where a service, network, volume, config or secret is declared, and each of its attributes.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    whole: At,
    attributes: BTreeMap<String, At>,
}

impl Positions {
    /// Starts with the line that declares the whole.
    pub fn new(whole: At) -> Self {
        Self { whole, attributes: BTreeMap::new() }
    }

    /// Notes where an attribute is written: `privileged`, `deploy.resources`, `cap_add.0` (list entries by index).
    pub fn insert(&mut self, attribute: String, at: At) {
        self.attributes.insert(attribute, at);
    }

    /// Where the whole is declared.
    pub fn declared(&self) -> &At {
        &self.whole
    }

    /// Where an attribute is written; the nearest thing around it that has a position, at last the whole.
    pub fn of(&self, attribute: &str) -> &At {
        let mut path = attribute;
        loop {
            match (self.attributes.get(path), path.rsplit_once('.')) {
                (Some(at), _) => return at,
                (None, Some((around, _))) => path = around,
                (None, None) => return &self.whole,
            }
        }
    }
}

impl PartialEq for Positions {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Positions {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_without_a_position_stands_where_what_holds_it_stands() {
        let at = |line| At { file: "compose.yaml".into(), line };
        let mut positions = Positions::new(at(1));
        positions.insert("deploy".to_owned(), at(5));
        assert_eq!(positions.of("deploy.resources.limits").line, 5);
        assert_eq!(positions.of("privileged").line, 1);
        assert_eq!(positions.of("deploy").to_string(), "compose.yaml:5");
    }
}
