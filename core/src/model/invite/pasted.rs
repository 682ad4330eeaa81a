//! Characters that come with copied text but are not part of ours.

/// Whether a character takes no room, or turns the direction of writing: it comes along with copied text and can hide things in it.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The length in bytes of the terminal's code that a text begins with, such as a colour (ECMA-48 §5.4); none where it begins with another
/// thing. One that lost its first character on the way, or had it spelt out, is one still.
pub(super) fn terminal_code(text: &str) -> Option<usize> {
    let after = |intro: &str| text.strip_prefix(intro);
    let is_parameter = |c: char| matches!(c, '0'..='?');
    let till = |rest: &str| text.len() - rest.len();
    if let Some(rest) = after("\u{1b}[").or_else(|| after("\u{9b}")).or_else(|| after("^[[")) {
        let rest = rest.trim_start_matches(|c| is_parameter(c) || matches!(c, ' '..='/'));
        let last = rest.chars().next().filter(|c| matches!(c, '@'..='~'));
        return Some(till(rest) + last.map_or(0, char::len_utf8));
    }
    if let Some(rest) = after("\u{1b}]") {
        // A title, or a link's address: until BEL, or ESC and a backslash.
        let end = rest.find('\u{7}').map(|at| at + 1).into_iter();
        let end = end.chain(rest.find("\u{1b}\\").map(|at| at + 2)).min();
        return Some(till(rest) + end.unwrap_or(rest.len()));
    }
    if let Some(rest) = after("\u{1b}") {
        return Some(till(rest) + rest.chars().next().map_or(0, char::len_utf8));
    }
    let numbers = after("[")?.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
    numbers.strip_prefix('m').map(till)
}

/// Whether a character is a quote.
pub(super) fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | '«' | '»' | '‘'..='‟' | '‹' | '›')
}
