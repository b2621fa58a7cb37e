//! The plan of a compose project, walked on a real engine: brought up, changed and removed, with a death at every request.

mod behaviour;
mod kills;
mod walk;
