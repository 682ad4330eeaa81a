//! The bytes of control commands, stored so that no copy of a key is left behind.

use zeroize::Zeroizing;

/// Commands that are written at once, with nothing between them.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// How many they are.
    pub(super) commands: usize,
}

impl Batch {
    /// One command.
    pub(super) fn one(command: &str) -> Self {
        let mut batch = Self::default();
        batch.push(command);
        batch
    }

    /// Appends a command.
    ///
    /// # Panics
    ///
    /// When the command is more than one line of printable ASCII: `commands` builds them from types that hold nothing else.
    pub(super) fn push(&mut self, command: &str) {
        assert!(command.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "a command must be one line");
        // A growing buffer would leave copies of a key behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.bytes.len() + command.len() + 2));
        bytes.extend_from_slice(&self.bytes);
        bytes.extend_from_slice(command.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        self.bytes = bytes;
        self.commands += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a command must be one line")]
    fn no_command_holds_a_line_break() {
        Batch::one("GETINFO version\r\nSETCONF DisableNetwork 1");
    }
}
