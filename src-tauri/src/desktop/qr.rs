//! An invite as a QR code: an SVG document, dark on light with its quiet zone, drawn here so that no secret is given to a library of the window.

use ormesh_core::ipc::Confidential;
use ormesh_core::model::problem::{Code, Problem};
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use zeroize::Zeroizing;

/// Draws a text. Bech32 is drawn in upper case, which means the same (BIP 173) and makes a smaller code.
pub(crate) fn svg(text: &str) -> Result<Confidential, Problem> {
    let bech32 = text.starts_with("ormesh1") || text.starts_with("ormeshreq1");
    let text = Zeroizing::new(if bech32 { text.to_ascii_uppercase() } else { text.to_owned() });
    let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::M)
        .map_err(|error| Problem::new(Code::SystemFailed, format!("failed to draw the QR code: {error}")))?;
    let drawing = code.render::<svg::Color<'_>>().min_dimensions(240, 240).build();
    Ok(Confidential::new(Zeroizing::new(drawing)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_is_a_whole_document_without_its_text() {
        let drawing = svg(&format!("ormesh1{}", "q".repeat(112))).unwrap();

        let drawing = drawing.expose();
        assert!(
            drawing.starts_with("<?xml")
                && drawing.contains("<svg")
                && drawing.trim_end().ends_with("</svg>")
        );
        assert!(!drawing.to_lowercase().contains("ormesh"));
    }
}
