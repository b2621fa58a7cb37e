//! The plan's tests: tables of situations, and walks through a model of Proxmox.

mod build;
mod explore;
mod walker;
mod world;
