//! How much a project may grow to while it is read, however its files are written.
//!
//! Anchors, merges, includes, extensions and variables multiply what was written; the budget counts what comes of them.

use super::tree::{Node, Value};

/// The most bytes of a single file.
pub const MAX_FILE: usize = 1024 * 1024;
/// The most bytes of a config or a secret.
pub const MAX_FILE_OBJECT: usize = 1024 * 1024;
/// How deep a document may be nested, anchors included.
pub const MAX_DEPTH: usize = 64;
/// How far includes, extensions and variables inside of variables may be nested.
pub const MAX_CHAIN: usize = 32;
/// The most bytes of memory, by a rough reckoning.
const MAX_MEMORY: usize = 64 * 1024 * 1024;
/// What a value costs besides its text.
pub const NODE: usize = 160;

/// What is left of it.
#[derive(Debug)]
pub struct Budget {
    left: usize,
}

/// The budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl Default for Budget {
    fn default() -> Self {
        Self { left: MAX_MEMORY }
    }
}

impl Budget {
    /// Takes so many bytes.
    pub fn spend(&mut self, bytes: usize) -> Result<(), Exhausted> {
        self.left = self.left.checked_sub(bytes).ok_or(Exhausted)?;
        Ok(())
    }

    /// Takes what a copy of the value needs.
    pub fn spend_copy(&mut self, node: &Node) -> Result<(), Exhausted> {
        self.spend(weight(node))
    }
}

/// The bytes that a value needs, by a rough reckoning.
pub fn weight(node: &Node) -> usize {
    let inner = match &node.value {
        Value::Text(text) | Value::Path(text) => text.len(),
        Value::List(items) => items.iter().map(weight).sum(),
        Value::Map(map) => map.iter().map(|(key, value)| key.len().saturating_add(weight(value))).sum(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
    };
    inner.saturating_add(NODE)
}
