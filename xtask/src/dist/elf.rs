//! What a program asks the loader for, as `readelf` tells it.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process;

/// The shared libraries that `program` names itself (`DT_NEEDED`, ELF gABI "Dynamic Section").
pub(super) fn needed(program: &Path) -> Result<Vec<String>> {
    let said = process::output(Command::new("readelf").arg("--dynamic").arg(program).env("LC_ALL", "C"))?;
    Ok(names(&said))
}

/// Reads lines such as `0x…01 (NEEDED)  Shared library: [libc.so.6]`.
fn names(said: &str) -> Vec<String> {
    let name =
        |line: &str| Some(line.split_once("(NEEDED)")?.1.split_once('[')?.1.split(']').next()?.to_owned());
    said.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_libraries_are_read() {
        let said = "Dynamic section at offset 0x1 contains 3 entries:\n  Tag        Type                         Name/Value\n \
                    0x0000000000000001 (NEEDED)             Shared library: [libm.so.6]\n \
                    0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]\n \
                    0x000000000000000c (INIT)               0x10000\n";

        assert_eq!(names(said), ["libm.so.6", "libc.so.6"]);
    }
}
