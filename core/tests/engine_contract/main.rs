//! One contract, two engines: what every [`OnionEngine`](ormesh_core::engine::OnionEngine) promises, held by the fake and by the real
//! tor on a private network.
#![cfg(unix)]

#[path = "../engine_support/mod.rs"]
mod engine_support;
mod fake;
mod real;
mod suite;
