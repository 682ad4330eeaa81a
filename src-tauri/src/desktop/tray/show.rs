//! Puts the tray on the screen, by the system's means. It lives on the main thread, and where there is none the app goes on without.

use std::cell::RefCell;

use tauri::image::Image;
use tray_icon::menu::{CheckMenuItem, IsMenuItem, Menu, MenuItem, PredefinedMenuItem, Submenu};
use tray_icon::{TrayIcon, TrayIconBuilder};

use super::menu::{Action, Icon, Item, Tray};

thread_local! {
    /// The icon and what it shows: of the main thread, as the systems want it.
    static SHOWN: RefCell<Option<(TrayIcon, Tray)>> = const { RefCell::new(None) };
}

/// The tray can't be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrayError {
    /// The system has no place for it, as far as can be seen.
    #[error("failed to show the tray icon: {0}")]
    Icon(#[from] tray_icon::Error),
    /// The menu could not be made.
    #[error("failed to make the tray's menu: {0}")]
    Menu(#[from] tray_icon::menu::Error),
    /// The icon's pixels are not what they should be.
    #[error("failed to read the tray's icon: {0}")]
    Pixels(#[from] tray_icon::BadIcon),
}

/// Shows the tray, or changes what differs from what is shown. Main thread only.
pub(crate) fn show(tray: Tray) -> Result<(), TrayError> {
    SHOWN.with_borrow_mut(|shown| {
        match shown {
            Some((icon, old)) => change(icon, old, &tray)?,
            None => {
                let icon = TrayIconBuilder::new()
                    .with_id("ormesh")
                    .with_title("ormesh")
                    .with_icon(pixels(tray.icon)?)
                    .with_icon_as_template(true)
                    .with_tooltip(&tray.tooltip)
                    .with_menu(Box::new(menu(&tray.items)?))
                    .with_menu_on_left_click(cfg!(target_os = "macos"))
                    .build()?;
                *shown = Some((icon, tray));
                return Ok(());
            }
        }
        if let Some((_, old)) = shown {
            *old = tray;
        }
        Ok(())
    })
}

/// Takes the tray away. Main thread only.
pub(crate) fn hide() {
    SHOWN.with_borrow_mut(Option::take);
}

/// What an item's id stands for.
pub(crate) fn action(id: &str) -> Option<Action> {
    serde_json::from_str(id).ok()
}

/// An open menu is only replaced when something in it changed: it would close under the pointer.
fn change(icon: &TrayIcon, old: &Tray, new: &Tray) -> Result<(), TrayError> {
    if old.icon != new.icon {
        icon.set_icon(Some(pixels(new.icon)?))?;
    }
    if old.tooltip != new.tooltip {
        icon.set_tooltip(Some(&new.tooltip))?;
    }
    if old.items != new.items {
        icon.set_menu(Some(Box::new(menu(&new.items)?)));
    }
    Ok(())
}

fn menu(items: &[Item]) -> Result<Menu, TrayError> {
    let menu = Menu::new();
    for item in items {
        menu.append(entry(item)?.as_ref())?;
    }
    Ok(menu)
}

fn entry(item: &Item) -> Result<Box<dyn IsMenuItem>, TrayError> {
    Ok(match item {
        Item::Label(text) => Box::new(MenuItem::new(escaped(text), false, None)),
        Item::Act(text, action) => Box::new(MenuItem::with_id(id(action), escaped(text), true, None)),
        Item::Check(text, on, action) => {
            Box::new(CheckMenuItem::with_id(id(action), escaped(text), true, *on, None))
        }
        Item::Menu(text, items) => {
            let menu = Submenu::new(escaped(text), true);
            for item in items {
                menu.append(entry(item)?.as_ref())?;
            }
            Box::new(menu)
        }
        Item::Separator => Box::new(PredefinedMenuItem::separator()),
    })
}

/// The id says what is to be done, so that a click on a menu that was just replaced does what was read.
fn id(action: &Action) -> String {
    serde_json::to_string(action).expect("an action is plain data")
}

/// An ampersand would mark a key.
fn escaped(text: &str) -> String {
    text.replace('&', "&&")
}

fn pixels(icon: Icon) -> Result<tray_icon::Icon, TrayError> {
    let image = drawing(icon);
    let (width, height) = (image.width(), image.height());
    // macOS takes the shape alone, and colours it itself.
    let pixels = match cfg!(target_os = "macos") {
        true => image.rgba().to_vec(),
        false => outlined(image.rgba(), width as usize),
    };
    Ok(tray_icon::Icon::from_rgba(pixels, width, height)?)
}

fn drawing(icon: Icon) -> Image<'static> {
    match icon {
        Icon::Online => tauri::include_image!("icons/tray/online-light@2x.png"),
        Icon::Connecting => tauri::include_image!("icons/tray/connecting-light@2x.png"),
        Icon::Problem => tauri::include_image!("icons/tray/problem-light@2x.png"),
        Icon::Attention => tauri::include_image!("icons/tray/offline-light@2x.png"),
        Icon::Off => tauri::include_image!("icons/tray/paused-light@2x.png"),
    }
}

/// The light shape (RGBA, `width` pixels a row) on a thin dark edge: no system says whether its panel is dark.
fn outlined(rgba: &[u8], width: usize) -> Vec<u8> {
    /// The dark ink of `icons/tray`.
    const EDGE: [u8; 3] = [0x2a, 0x24, 0x38];
    const REACH: usize = 2;
    let alpha = |x: usize, y: usize| rgba.get((y * width + x) * 4 + 3).copied().unwrap_or_default();
    let height = rgba.len() / 4 / width.max(1);
    let mut out = Vec::with_capacity(rgba.len());
    for (at, pixel) in rgba.chunks_exact(4).enumerate() {
        let (x, y) = (at % width, at / width);
        let near_y = y.saturating_sub(REACH)..(y + REACH + 1).min(height);
        let near =
            near_y.flat_map(|y| (x.saturating_sub(REACH)..(x + REACH + 1).min(width)).map(move |x| (x, y)));
        let edge = near.map(|(x, y)| alpha(x, y)).max().unwrap_or_default();
        let ink = pixel[3];
        let mixed = |channel: usize| {
            let (light, dark, over) = (u32::from(pixel[channel]), u32::from(EDGE[channel]), u32::from(ink));
            u8::try_from((light * over + dark * (255 - over)) / 255).unwrap_or(u8::MAX)
        };
        out.extend([mixed(0), mixed(1), mixed(2), edge.max(ink)]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_light_shape_gets_a_dark_edge() {
        // One light pixel in the middle of nine by nine.
        let mut rgba = vec![0; 9 * 9 * 4];
        rgba[(4 * 9 + 4) * 4..][..4].copy_from_slice(&[255; 4]);

        let out = outlined(&rgba, 9);

        let pixel = |x: usize, y: usize| &out[(y * 9 + x) * 4..][..4];
        assert_eq!(pixel(4, 4), [255; 4]);
        assert_eq!(pixel(6, 2), [0x2a, 0x24, 0x38, 255]);
        assert_eq!(pixel(7, 4)[3], 0);
    }

    #[test]
    fn each_drawing_is_square_and_not_empty() {
        for icon in [Icon::Online, Icon::Connecting, Icon::Problem, Icon::Attention, Icon::Off] {
            let image = drawing(icon);
            assert_eq!(image.width(), image.height());
            assert!(image.rgba().chunks_exact(4).any(|pixel| pixel[3] == 255));
        }
    }
}
