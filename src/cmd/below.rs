//! The lock directories of a whole tree, for `-R`.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::lock::{self, Error};

/// Every `.gastown/locks` below a directory, in the order of names. Follows no symbolic link and does not
/// look into `.git`. A directory that does not exist has none.
pub fn lock_dirs(dir: &Path) -> Vec<Result<PathBuf, Error>> {
    if !dir.exists() {
        return Vec::new();
    }
    let walk = WalkDir::new(dir).sort_by_file_name().into_iter();
    let in_question = |entry: &DirEntry| {
        let inside_lock_dir = entry.path().parent().is_some_and(lock::is_lock_dir);
        entry.file_type().is_dir() && entry.file_name() != ".git" && !inside_lock_dir
    };
    walk.filter_entry(in_question)
        .filter_map(|entry| match entry {
            Ok(entry) => lock::is_lock_dir(entry.path()).then(|| Ok(entry.into_path())),
            Err(e) => {
                let path = e.path().unwrap_or(dir).to_owned();
                Some(Err(Error::Io { path, error: e.into() }))
            }
        })
        .collect()
}
