//! The plan's tests: tables of situations, and walks through a model of Proxmox.

mod adopt;
mod build;
mod change;
mod clock;
mod create;
mod disks;
mod explore;
mod keep;
mod let_go;
mod place;
mod pool;
mod power;
mod prefer;
mod queue;
mod remove;
mod shared;
mod terms;
mod walker;
mod world;
