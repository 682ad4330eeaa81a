//! An invite as a QR code: an SVG document, dark on light with its quiet zone, drawn here so that no secret is given to a library of the window.
//! And back: the text of a code in a picture.

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

/// The text of a QR code in a picture, given as a byte of brightness for each point, row by row.
pub(crate) fn read(luma: &[u8], width: usize) -> Option<Confidential> {
    let height =
        luma.len().checked_div(width).filter(|height| height * width == luma.len() && *height > 0)?;
    let point = |x: usize, y: usize| luma.get(y * width + x).copied().unwrap_or(u8::MAX);
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(width, height, point);
    let texts = picture.detect_grids().into_iter().filter_map(|grid| Some(grid.decode().ok()?.1));
    texts.map(|text| Confidential::new(Zeroizing::new(text))).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A code as a photograph may have it: some points for each of its own, grey, off the middle.
    fn photograph(text: &str) -> (Vec<u8>, usize) {
        const SCALE: usize = 5;
        const MARGIN: usize = 37;
        let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::M).unwrap();
        let width = code.width() * SCALE + 3 * MARGIN;
        let mut luma = vec![200; width * (code.width() * SCALE + 2 * MARGIN)];
        for (at, colour) in code.to_colors().into_iter().enumerate() {
            let (x, y) = (at % code.width() * SCALE + 2 * MARGIN, at / code.width() * SCALE + MARGIN);
            for point in 0..SCALE * SCALE {
                luma[(y + point / SCALE) * width + x + point % SCALE] = colour.select(40, 210);
            }
        }
        (luma, width)
    }

    #[test]
    fn what_is_drawn_can_be_read_and_a_picture_without_a_code_holds_none() {
        let text = format!("ORMESH1{}", "Q".repeat(200));
        let (luma, width) = photograph(&text);
        assert_eq!(read(&luma, width).unwrap().expose(), text);

        for (luma, width) in [(vec![], 0), (vec![], 5), (vec![0; 7], 5), (vec![0; 100], 10), (vec![9; 1], 1)]
        {
            assert!(read(&luma, width).is_none());
        }
        let noise: Vec<u8> =
            (0..300_u32 * 200).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert!(read(&noise, 300).is_none());
        // Half of a code.
        assert!(read(&luma[..width * 60], width).is_none());
    }

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
