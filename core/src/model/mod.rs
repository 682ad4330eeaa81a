//! Room 1, words: the types that all other rooms use. Pure: no clock, no randomness, no IO.

// Much of it reads what strangers wrote: a slip there must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

pub mod access;
pub mod address;
pub mod bridge;
pub mod config;
pub mod day;
pub mod edit;
pub mod expired;
pub mod exposure;
pub mod hold;
pub mod invite;
pub(crate) mod key_change;
pub mod keys;
pub mod layer;
pub mod name;
mod naming;
pub mod onion;
pub mod pauses;
pub mod problem;
mod proved;
pub mod served;
mod setting;
pub mod status;
pub mod status_yaml;
pub mod store_kind;
pub mod tor;
pub mod tor_format;
pub mod typed;
