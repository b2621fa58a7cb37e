//! Compose files to projects: against Docker Compose, and what is wrong with files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod case;
mod command;
mod limits;
mod mutation;
mod oracle;
mod table;
mod wrong;
