//! The services: `/service` and `/control-service`.

mod control;
mod create;
mod index;
mod object;
mod request;
mod view;

pub use control::{__path_control_service, control_service};
pub use create::{__path_create_service, create_service};
pub use index::Services;
pub use view::{__path_get_service, Service, get_service, missing, view};
