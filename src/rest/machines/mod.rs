//! The machines: `/vm` and `/control-vm`.

mod control;
mod create;
mod index;
mod object;
mod request;
mod view;

pub use control::{__path_control_vm, control_vm};
pub use create::{__path_create_vm, create_vm};
pub use index::Machines;
pub use view::{__path_get_vm, Vm, get_vm, view};
