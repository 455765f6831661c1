//! Charts as PNG, for people who paste pictures.
//!
//! Drawn by resvg. All text is in DejaVu Sans, which is inside the program: no font of the host is looked
//! for, so that a picture is the same everywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb::Database};

use crate::Error;
use crate::folder::replace;

/// Pixels of a picture for each of its chart: sharp on dense screens.
const SCALE: f32 = 2.0;
const FAMILY: &str = "DejaVu Sans";

/// Writes a PNG beside every SVG in the folder `charts` of the run in `path`, and says which.
///
/// # Errors
/// A file that is no picture, or that cannot be read or written.
pub fn write_png(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = path.join("charts");
    let options = options();
    let entries = fs::read_dir(&folder).map_err(Error::system("read the folder", &folder))?;
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.map_err(Error::system("read the folder", &folder))?.path());
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "svg"));
    files.sort();
    for file in &mut files {
        let svg = fs::read_to_string(&*file).map_err(Error::system("read", &*file))?;
        let picture = png(&svg, &options).map_err(|what| Error::Invalid { path: file.clone(), what })?;
        file.set_extension("png");
        replace(file, &picture)?;
    }
    Ok(files)
}

fn options() -> Options<'static> {
    let mut fonts = Database::new();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.set_sans_serif_family(FAMILY);
    Options { fontdb: Arc::new(fonts), font_family: FAMILY.into(), ..Options::default() }
}

/// `svg` on white.
fn png(svg: &str, options: &Options) -> Result<Vec<u8>, String> {
    let tree = Tree::from_str(svg, options).map_err(|refused| format!("is no picture: {refused}"))?;
    let size = tree.size();
    let side = |length: f32| (length * SCALE).ceil() as u32;
    let mut picture = Pixmap::new(side(size.width()), side(size.height()))
        .ok_or_else(|| format!("is {} × {}, which is no size", size.width(), size.height()))?;
    picture.fill(Color::WHITE);
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut picture.as_mut());
    picture.encode_png().map_err(|failed| format!("cannot be encoded: {failed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dark_pixels(text: &str) -> usize {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"100\" height=\"40\"><text x=\"5\" y=\"25\" \
             font-family=\"sans-serif\" font-size=\"20\" fill=\"#222222\">{text}</text></svg>"
        );
        let png = png(&svg, &options()).unwrap();
        let picture = Pixmap::decode_png(&png).unwrap();
        assert_eq!((picture.width(), picture.height()), (200, 80));
        picture.pixels().iter().filter(|pixel| pixel.red() < 128).count()
    }

    /// Also the signs that are not on every keyboard.
    #[test]
    fn text_is_drawn_without_a_font_of_the_host() {
        assert_eq!(dark_pixels(""), 0);
        for text in ["p50", "→", "×", "µ"] {
            assert!(dark_pixels(text) > 20, "{text} is not drawn");
        }
    }

    #[test]
    fn what_is_no_picture_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let charts = folder.path().join("charts");
        fs::create_dir(&charts).unwrap();
        fs::write(charts.join("x.svg"), "<svg").unwrap();
        let refused = write_png(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("x.svg") && refused.contains("no picture"), "{refused}");
    }
}
