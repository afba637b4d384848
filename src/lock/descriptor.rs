//! Locks on files that the caller has open.

use std::path::{Path, PathBuf};

use super::file::LockFile;
use super::guard::OnDrop;
use super::request::Descriptor;
use super::{Error, Guard, Kind, Mode, Target};
use crate::sys;

/// The lock that is wanted on an open file of the caller's.
pub fn open(descriptor: &Descriptor) -> Result<(Target, LockFile), Error> {
    let name = PathBuf::from(&descriptor.name);
    let file = LockFile::sharing(&descriptor.file, &name)?;
    Ok((Target::new(name.clone(), name, descriptor.mode, Kind::Descriptor(file.id)), file))
}

/// What happens to the lock when the guard is dropped: the caller may have held it before.
pub fn on_drop(target: &Target, file: &LockFile) -> OnDrop {
    let before = match target.kind() {
        Kind::Descriptor(_) => sys::lock_on(&file.file),
        Kind::LockFile | Kind::Itself => None,
    };
    match before {
        None => OnDrop::Release,
        Some(Mode::Shared) if target.mode() == Mode::Exclusive => OnDrop::Share,
        Some(_) => OnDrop::Keep,
    }
}

/// Whether the guard locks the file of a descriptor already, in a mode that excludes everybody else.
///
/// Through the same open file description only: through another the request would wait for itself, which is an error.
pub fn is_covered(target: &Target, file: &LockFile, guard: &Guard) -> Result<bool, Error> {
    let conflicts = guard.locks().any(|locked| {
        locked.file_id() == file.id && locked.target().mode().max(target.mode()) == Mode::Exclusive
    });
    if !conflicts || !matches!(target.kind(), Kind::Descriptor(_)) {
        return Ok(false);
    }
    if sys::lock_on(&file.file) >= Some(target.mode()) {
        return Ok(true);
    }
    Err(Error::invalid(
        Path::new(target.data()),
        "is open on a file that this request locks already; name it once",
    ))
}
