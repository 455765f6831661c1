//! What killed commands have left: found by `bench clean`.

use super::delete::delete;
use super::state::{Folder, Root};
use crate::Error;

/// Ends and removes containers that nobody is left to delete: those whose `create` was killed before
/// its end, and those of a `run` that was. Others are their engine's. Says each in a sentence.
///
/// # Errors
/// The first that cannot be removed; the others have been tried all the same.
pub fn clean(root: &Root) -> Result<Vec<String>, Error> {
    let mut removed = Vec::new();
    let mut first_error = None;
    for id in root.list()? {
        let Ok(folder) = root.find(&id) else { continue };
        if !is_abandoned(&folder) {
            continue;
        }
        match delete(root, &id, true) {
            Ok(_) => removed.push(format!("removed the container {id}")),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    first_error.map_or(Ok(removed), Err)
}

fn is_abandoned(folder: &Folder) -> bool {
    if folder.is_changing() {
        return false;
    }
    match folder.read() {
        Ok(None) => true,
        Ok(Some(record)) => {
            !record.is_created || record.master.is_some_and(|master| master.alive().is_none())
        }
        // Not one of this program's version: whose it is cannot be said.
        Err(_) => false,
    }
}
