//! Room session.

pub mod codec;
mod dials;
pub mod door;
pub mod event;
mod gauge;
pub mod incoming;
pub mod limits;
mod link;
pub mod machine;
mod opened;
mod outgoing;
mod record;
mod schedule;
#[cfg(test)]
mod sim;
mod stream;
pub mod words;
