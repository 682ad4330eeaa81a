//! Bad days: the network of either end is cut or silent, relays are gone, tor is killed or stands still. How long it takes until each end
//! says so, and how long after the fault until a new connection through the import works.
//!
//! What is done, and by when it must be mended, is the table in `rows`; `night` draws faults by chance.
#![cfg(target_os = "linux")]

/// What the tests share, and the command under test.
mod support {
    pub(crate) use ::support::*;
}

mod figures;
mod mesh;
mod moved;
mod night;
mod rows;
mod short;
mod table;
