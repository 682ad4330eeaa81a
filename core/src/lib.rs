//! Everything of ormesh that is not a shell.
