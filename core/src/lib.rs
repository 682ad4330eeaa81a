//! Everything of ormesh that is not a shell.
//!
//! The rooms, each of which imports only those above it: [`model`] → [`plan`] → [`store`] → [`secrets`] → [`engine`] → [`session`] → [`forward`] → [`ipc`] → [`agent`].

pub mod agent;
#[cfg(test)]
mod bindings;
pub mod engine;
pub mod forward;
pub mod ipc;
pub mod model;
pub mod plan;
pub mod secrets;
pub mod session;
pub mod store;
