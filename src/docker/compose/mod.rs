//! From compose files to a typed model, as the compose specification and Docker Compose have it.
//!
//! Pure: files come from a set of sources in memory, variables from a map, and nothing else is looked at.

pub mod model;
