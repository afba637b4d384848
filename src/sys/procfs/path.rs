//! Under which name a process has a file open.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{FileId, file_behind};

/// The path of a file that a process has open.
pub fn path_of(pid: u32, id: FileId) -> Option<PathBuf> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.filter_map(Result::ok);
    let mut descriptors = descriptors.map(|descriptor| descriptor.path());
    let found = descriptors.find(|descriptor| file_behind(&descriptor.to_string_lossy()) == Some(id))?;
    let path = fs::read_link(found).ok()?.into_os_string();
    let name = path.as_bytes().strip_suffix(b" (deleted)").unwrap_or(path.as_bytes());
    Some(OsStr::from_bytes(name).into())
}
