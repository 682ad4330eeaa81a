//! Where this program is, and how its path is written into ssh's and systemd's files.

use std::path::PathBuf;

use anyhow::Context as _;

/// The path of this program, symbolic links resolved. On Windows in the form that people and shells write, without `\\?\`.
pub(crate) fn path() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe().context("failed to find the path of this program")?;
    Ok(dunce::canonicalize(&path).unwrap_or(path))
}

/// A `ProxyCommand` that dials by `ormesh nc` with these options (ssh_config(5)): a shell reads it after ssh has replaced `%` tokens.
pub(crate) fn proxy_command(path: &str, options: &str) -> String {
    let mut quoted = String::new();
    for c in path.chars() {
        match c {
            '%' => quoted.push_str("%%"),
            // On Windows it separates directories, and nothing else in a path is special between quotes.
            '\\' if cfg!(windows) => quoted.push(c),
            '\\' | '"' | '$' | '`' => quoted.extend(['\\', c]),
            _ => quoted.push(c),
        }
    }
    format!("\"{quoted}\" nc {options}%h %p")
}

/// A path as the first word of `ExecStart=` (systemd.service(5), systemd.syntax(7)).
pub(crate) fn exec_start(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    if path.chars().all(plain) {
        return path.to_owned();
    }
    let mut quoted = String::new();
    for c in path.chars() {
        match c {
            // A dollar in the first word is not expanded.
            '%' => quoted.push_str("%%"),
            '\\' | '"' => quoted.extend(['\\', c]),
            _ => quoted.push(c),
        }
    }
    format!("\"{quoted}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_their_readers() {
        assert_eq!(proxy_command("/usr/bin/ormesh", ""), "\"/usr/bin/ormesh\" nc %h %p");
        assert_eq!(proxy_command("/o p/100%/ormesh", "-q "), "\"/o p/100%%/ormesh\" nc -q %h %p");
        assert_eq!(exec_start("/usr/bin/ormesh"), "/usr/bin/ormesh");
        assert_eq!(exec_start("/o p/100%/\"ormesh"), "\"/o p/100%%/\\\"ormesh\"");
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_reads_the_path_back() {
        assert_eq!(proxy_command("/a$b`c\\d\"e", ""), "\"/a\\$b\\`c\\\\d\\\"e\" nc %h %p");
    }
}
