//! An invite as a QR code in half-block characters, for a phone or a laptop's camera.

use ormesh_core::model::problem::{Code, Problem};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use zeroize::Zeroizing;

/// White on black (ECMA-48 SGR), and back.
const ON: &str = "\x1b[40;97m";
const OFF: &str = "\x1b[0m";

/// Draws a text with its quiet zone. On a terminal it sets the colours, since a scanner may not read light on dark.
pub(crate) fn draw(text: &str, terminal: bool) -> Result<Zeroizing<String>, Problem> {
    let code = QrCode::with_error_correction_level(compact(text).as_bytes(), EcLevel::L)
        .map_err(|error| Problem::new(Code::SystemFailed, format!("failed to draw the QR code: {error}")))?;
    // Half-blocks have the foreground colour, which is light here and by most terminals' default: so the light modules are the blocks.
    let drawing = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    let drawing = Zeroizing::new(drawing);
    let lines =
        drawing.lines().map(|line| if terminal { format!("{ON}{line}{OFF}") } else { line.to_owned() });
    Ok(Zeroizing::new(lines.collect::<Vec<_>>().join("\n")))
}

/// Upper case where it means the same: bech32 allows it (BIP 173), and a QR code's alphanumeric mode takes a third less room.
fn compact(text: &str) -> Zeroizing<String> {
    let bech32 = text.starts_with("ormesh1") || text.starts_with("ormeshreq1");
    Zeroizing::new(if bech32 { text.to_ascii_uppercase() } else { text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_fits_half_a_screen() {
        let drawing = draw(&format!("ormesh1{}", "q".repeat(112)), false).unwrap();
        // 119 alphanumeric characters are a code of version 5 (37 modules) and four modules of quiet zone around it.
        assert_eq!(drawing.lines().count(), 23);
        assert!(drawing.lines().all(|line| line.chars().count() == 45));
    }

    #[test]
    fn only_an_invite_changes_case() {
        assert_eq!(compact("ormesh1qa").as_str(), "ORMESH1QA");
        assert_eq!(compact("abc:descriptor:x25519:AB").as_str(), "abc:descriptor:x25519:AB");
    }
}
