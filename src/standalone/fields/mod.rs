//! Field management: who owns which fields of an object, and what applying a configuration makes of
//! it. Nothing here knows of requests, of the store, or of particular kinds.
//!
//! The rules are those of Kubernetes, told in
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/>; no library for them is kept
//! on crates.io.

mod collect;
mod compare;
mod element;
mod managers;
mod merge;
mod ownership;
mod set;
mod shape;

#[cfg(test)]
mod tests;

pub use collect::{fields_of, misfit};
pub use compare::Changes;
pub use managers::{Manager, Managers, Operation, asks_to_forget};
pub use ownership::{Conflict, Versions, apply, before_first_apply, update};
pub use set::Set;
pub use shape::Shape;
