//! The image instances are of where none is asked for.
//!
//! Whoever gives a container the files of an image mounts more around its root than for a program alone, and
//! has more to leave behind: what is apart without files need not be with them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use runtime::RunContext;
use runtime::image::Image;

/// Its name in the store and in engines.
const NAME: &str = "bench.local/files:1";

/// A few files, in the store.
///
/// # Errors
/// What the system or the store said.
pub(super) fn image(context: &RunContext) -> Result<Image, String> {
    let folder = context.state_dir.join("files");
    let made = || {
        for (name, mode) in [("", 0o755), ("etc", 0o755), ("tmp", 0o1777)] {
            let path = folder.join(name);
            fs::create_dir_all(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        fs::write(folder.join("etc/image"), "An image with files.\n")
    };
    made().map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    crate::folder_image::named(&folder, NAME, &context.cache_dir)
}
