//! The simulation: the whole agent in a simulated world that a seed decides. See ARCHITECTURE, "The simulation".

mod chance;
mod clock;
mod ground;
mod host;
mod keyrings;
mod model;
mod paper;
mod shells;
mod sockets;
mod story;
mod stranger;
mod tests;
mod told;
mod tor;
mod truths;
