//! The command `ormesh`.

fn main() {}
