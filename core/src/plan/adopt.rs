//! Decides whether a changed configuration file comes into force or the last good configuration stays.
//!
//! A file can be gone or cut short for a moment (an editor, an upload), or for good (a full disk, a writer that died). That is no wish to
//! delete everything. A client or an export that is taken out of a whole file is gone at once, as its owner wants.

use std::fmt;

use crate::model::config::{Config, Import, Users};

/// What is in the file's place, when it can be read.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    /// There is no file.
    Absent,
    /// A file of no words.
    Empty,
    /// A configuration.
    Config {
        /// What it says.
        config: &'a Config,
        /// Whether its last line has no end, though that of the last good one had: what a writer leaves that died.
        is_cut: bool,
    },
}

/// Why the last good configuration stays in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// The file is not there.
    Absent(Things),
    /// There is nothing in it.
    Empty(Things),
    /// It names nothing at all, where there was something.
    Everything(Things),
    /// It seems to be cut off, and something is missing.
    Cut(Things),
}

/// How many things are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Things {
    exports: usize,
    clients: usize,
    remotes: usize,
    requests: usize,
}

impl Things {
    /// What a configuration names.
    pub fn of(config: &Config) -> Self {
        Self {
            exports: config.exports.len(),
            clients: config.clients.len(),
            remotes: config.remotes.len(),
            requests: config.requests.len(),
        }
    }

    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether what was found may come into force in place of `good`, the last good configuration, without anyone confirming it.
pub fn judge(good: &Config, found: Found<'_>) -> Result<(), Loss> {
    let things = Things::of(good);
    if things.is_none() {
        return Ok(());
    }
    match found {
        Found::Absent => Err(Loss::Absent(things)),
        Found::Empty => Err(Loss::Empty(things)),
        Found::Config { config, .. } if Things::of(config).is_none() => Err(Loss::Everything(things)),
        Found::Config { config, is_cut: true } if lacks(config, good) => Err(Loss::Cut(things)),
        Found::Config { .. } => Ok(()),
    }
}

/// Whether something of `good` is missing, a limit included: a client's last lines may be those that say what it may not. So a new client
/// counts, too.
fn lacks(config: &Config, good: &Config) -> bool {
    let is_less = |(name, old): (_, &crate::model::config::Client)| {
        config.clients.get(name).is_none_or(|new| {
            old.ports.is_some() && new.ports.is_none() || old.expires.is_some() && new.expires.is_none()
        })
    };
    let import_is_gone = |(name, old): (_, &crate::model::config::Remote)| {
        let is_open = |new: &Import, old: &Import| new.users == Users::All && old.users == Users::Me;
        config.remotes.get(name).is_none_or(|new| {
            let lacks = |(listen, old)| new.imports.get(listen).is_none_or(|new| is_open(new, old));
            old.imports.iter().any(lacks)
        })
    };
    config.clients.keys().any(|name| !good.clients.contains_key(name))
        || good.exports.iter().any(|(port, old)| {
            let opened = |new: &crate::model::config::Export| old.clients.is_some() && new.clients.is_none();
            config.exports.get(port).is_none_or(opened)
        })
        || good.clients.iter().any(is_less)
        || good.remotes.iter().any(import_is_gone)
        || good.requests.keys().any(|name| !config.requests.contains_key(name))
}

impl fmt::Display for Loss {
    /// Completes a sentence that begins with the file's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(things) => write!(f, "is gone, and with it {things}"),
            Self::Empty(things) => write!(f, "is empty, and names none of {things}"),
            Self::Everything(things) => write!(f, "names none of {things} any more"),
            Self::Cut(_) => {
                f.write_str("seems to be cut off: its last line has no end, and something is missing")
            }
        }
    }
}

impl fmt::Display for Things {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exports, clients, remotes, requests } = *self;
        let counted = [(exports, "export"), (clients, "client"), (remotes, "remote"), (requests, "request")];
        let counted = counted.into_iter().filter(|(number, _)| *number > 0);
        let words: Vec<_> = counted
            .map(|(number, what)| format!("{number} {what}{}", if number == 1 { "" } else { "s" }))
            .collect();
        match words.split_last() {
            None => f.write_str("nothing"),
            Some((last, [])) => f.write_str(last),
            Some((last, others)) => write!(f, "{} and {last}", others.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::model::config::{self, InstanceId};
    use crate::model::keys::{ClientKey, ServiceKey};

    fn fresh() -> InstanceId {
        InstanceId::from_random([7; 10])
    }

    fn parse(text: &str) -> Option<Config> {
        config::parse(text, &fresh()).ok()
    }

    /// A text with these numbers of things, as commands write it.
    fn written(exports: u16, clients: u8, remotes: u8) -> String {
        let address = |number| ServiceKey::from_seed(&zeroize::Zeroizing::new([number; 32])).address();
        let key = |number| ClientKey::from_bytes(&[number; 32]).unwrap().public();
        let mut text = String::from("version = 1\ninstance = \"aaaaaaaaaaaaaaaa\"\n");
        for port in 0..exports {
            text += &format!("\n[[export]]\ntarget = \"127.0.0.1:{}\"\n", 1000 + port);
            text += if port % 2 == 1 { "clients = [\"c1\"]\n" } else { "" };
        }
        for n in 1..=clients {
            text += &format!("\n[client.c{n}]\naddress = \"{}\"\nkey = \"{}\"\n", address(n), key(n));
            text += match n % 3 {
                0 => "",
                1 => "ports = [1000]\n",
                _ => "expires = \"2030-01-01\"\n",
            };
        }
        for n in 1..=remotes {
            let (address, key) = (address(100 + n), key(100 + n));
            text += &format!("\n[remote.r{n}]\naddress = \"{address}\"\nkey = \"{key}\"\n");
            text += &format!(
                "\n[[remote.r{n}.import]]\nremote-port = 22\nlisten = \"127.0.0.1:{}\"\n",
                2000 + u16::from(n)
            );
            text += if n % 2 == 1 { "only-me = true\n" } else { "" };
        }
        text
    }

    /// The same text with another kind of entry at its end, as a person may have ordered it, and with a request.
    fn in_orders(exports: u16, clients: u8, remotes: u8) -> Vec<String> {
        let key = ClientKey::from_bytes(&[200; 32]).unwrap().public();
        let text = written(exports, clients, remotes) + &format!("\n[request.asked]\nkey = \"{key}\"\n");
        let mut entries: Vec<&str> = text.split("\n\n").map(str::trim_end).collect();
        let head = entries.remove(0);
        let turned = |turn: usize| {
            let mut turned = entries.clone();
            turned.rotate_left(turn);
            format!("{head}\n\n{}\n", turned.join("\n\n"))
        };
        (0..entries.len()).map(turned).collect()
    }

    /// What a configuration says of the world, whatever its text: who reaches which port until when, what is offered where, what is
    /// imported from whom and for which users, and which requests are under way.
    fn meaning(config: &Config) -> BTreeSet<String> {
        let exports = config.exports.iter().map(|(port, export)| format!("{port} is {}", export.target));
        let grants = config.clients.iter().flat_map(|(name, client)| {
            let until = client.expires;
            let ports = config.granted_ports(name, client).into_iter();
            ports.map(move |port| {
                format!("{} with {} reaches {port} until {until:?}", client.address, client.key)
            })
        });
        let known = config.clients.iter().map(|(name, client)| format!("{} is {name}", client.address));
        let imports = config.remotes.iter().flat_map(|(name, remote)| {
            let remote_is = format!("{name} is {} with {}", remote.address, remote.key);
            let imports = remote.imports.iter().map(move |(listen, import)| {
                format!("{listen} is {} of {name} for {:?}", import.remote_port, import.users)
            });
            imports.chain([remote_is])
        });
        let requests = config.requests.keys().map(|name| format!("{name} is asked"));
        exports.chain(grants).chain(known).chain(imports).chain(requests).collect()
    }

    #[test]
    fn a_last_line_without_its_end_is_no_loss_where_nothing_is_missing() {
        let good = parse(&written(1, 2, 1)).unwrap();
        assert_eq!(judge(&good, Found::Config { config: &good, is_cut: true }), Ok(()));
    }

    #[test]
    fn a_cut_that_opens_an_import_to_others_is_a_loss() {
        let whole = written(0, 0, 1);
        let cut = whole.strip_suffix("\nonly-me = true\n").unwrap();
        let (good, config) = (parse(&whole).unwrap(), parse(cut).unwrap());
        assert!(judge(&good, Found::Config { config: &config, is_cut: true }).is_err());
    }

    proptest! {
        #[test]
        fn nothing_is_never_put_in_the_place_of_something(exports in 0u16..4, clients in 0u8..4, remotes in 0u8..4) {
            let good = parse(&written(exports, clients, remotes)).unwrap();
            let nothing = Config::new(fresh());
            let had_something = exports > 0 || clients > 0 || remotes > 0;
            for found in [
                Found::Absent,
                Found::Empty,
                Found::Config { config: &nothing, is_cut: false },
                Found::Config { config: &nothing, is_cut: true },
            ] {
                prop_assert_eq!(judge(&good, found).is_err(), had_something, "{:?}", found);
            }
        }

        #[test]
        fn a_whole_file_that_names_anything_is_taken(a in (0u16..4, 0u8..4, 0u8..4), b in (0u16..4, 0u8..4, 1u8..4)) {
            let (good, config) = (parse(&written(a.0, a.1, a.2)).unwrap(), parse(&written(b.0, b.1, b.2)).unwrap());
            let found = Found::Config { config: &config, is_cut: false };
            prop_assert_eq!(judge(&good, found), Ok(()));
        }

        /// Wherever a writer dies within a line, nobody loses anything, and nobody gains what a later line would have denied.
        #[test]
        fn a_text_cut_within_a_line_takes_nothing_away(
            exports in 0u16..3, clients in 0u8..4, remotes in 0u8..3, at in 0.0f64..1.0
        ) {
            let whole = written(exports, clients, remotes);
            let good = parse(&whole).unwrap();
            let at = (whole.len() as f64 * at) as usize;
            let cut = &whole[..at];
            prop_assume!(!cut.ends_with('\n'));
            if let Some(config) = parse(cut) {
                let found = match cut.trim().is_empty() {
                    true => Found::Empty,
                    false => Found::Config { config: &config, is_cut: true },
                };
                prop_assert!(judge(&good, found).is_err() || meaning(&config) == meaning(&good), "{}", cut);
            }
        }
    }

    /// At every place, and with every kind of entry at the end: so each thing that can be missing is the only one once.
    #[test]
    fn whatever_entry_a_cut_ends_in_nothing_is_taken_away() {
        for whole in in_orders(2, 2, 1) {
            let good = parse(&whole).unwrap_or_else(|| panic!("{whole}"));
            for at in (1..whole.len()).filter(|at| whole.as_bytes()[at - 1] != b'\n') {
                let Some(config) = parse(&whole[..at]) else { continue };
                let judged = judge(&good, Found::Config { config: &config, is_cut: true });
                assert!(judged.is_err() || meaning(&config) == meaning(&good), "{}", &whole[..at]);
            }
        }
    }

    #[test]
    fn a_new_client_whose_limit_may_be_cut_off_is_not_let_in() {
        let (good, text) = (parse(&written(1, 1, 0)).unwrap(), written(1, 2, 0));
        let cut = parse(text.strip_suffix("\nexpires = \"2030-01-01\"\n").unwrap()).unwrap();
        assert!(judge(&good, Found::Config { config: &cut, is_cut: true }).is_err());
    }

    #[test]
    fn a_limit_that_a_cut_would_lift_is_missed() {
        let good = parse(&written(1, 2, 0)).unwrap();
        let text = written(1, 2, 0);
        let cut = text.strip_suffix("\nexpires = \"2030-01-01\"\n").unwrap();
        let config = parse(cut).unwrap();
        assert!(matches!(judge(&good, Found::Config { config: &config, is_cut: true }), Err(Loss::Cut(_))));
        // Taken out by hand, of a file that is whole.
        assert_eq!(judge(&good, Found::Config { config: &config, is_cut: false }), Ok(()));
    }

    #[test]
    fn what_is_lost_is_counted() {
        let good = parse(&written(2, 1, 3)).unwrap();
        let said = judge(&good, Found::Absent).unwrap_err().to_string();
        assert_eq!(said, "is gone, and with it 2 exports, 1 client and 3 remotes");
    }
}
