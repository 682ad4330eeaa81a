//! Why a private directory can't be used, the same type on every system.

use std::io;

use crate::model::problem::Problem;

/// Why a private directory, or a file in it, can't be used.
#[derive(Debug)]
pub struct DirError {
    /// What is wrong, and what to do.
    pub problem: Problem,
    /// What the system said; none where others could have read or changed it.
    pub kind: Option<io::ErrorKind>,
}
