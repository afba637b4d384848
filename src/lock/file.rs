//! The file that a lock is on: opened, validated, and compared with its path.

use std::fs::File;
use std::io;
use std::path::Path;

use super::error::{
    Error, foreign, in_virtual_directory, no_directory, not_a_lock_file, not_allowed, not_open,
    replaced_too_often,
};
use super::spot::Spot;
use super::{Kind, Target, record};
use crate::sys::{self, FileId, Missing, Stat};

/// An open file that may be locked: a lock file of ours, or any file that is locked itself.
#[derive(Debug)]
pub struct LockFile {
    pub file: File,
    pub id: FileId,
    /// Where it was opened; `None` for a descriptor of the caller's, whose path nobody knows.
    pub spot: Option<Spot>,
}

impl LockFile {
    /// Opens the file of a lock; `None` if it is not there.
    pub fn open(spot: &Spot, target: &Target) -> Result<Option<Self>, Error> {
        match open(spot, target.kind(), Missing::Leave) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => Self::of(opened, spot.clone(), target).map(Some),
        }
    }

    /// Opens the file of a lock; creates it and its directory if they do not exist.
    pub fn create(mut spot: Spot, target: &Target) -> Result<Self, Error> {
        let mut opened = open(&spot, target.kind(), Missing::Make);
        if target.kind() == Kind::LockFile
            && opened.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
        {
            spot.make_dir(target.data())?;
            opened = open(&spot, target.kind(), Missing::Make);
        }
        Self::of(opened, spot, target)
    }

    fn of(opened: io::Result<File>, spot: Spot, target: &Target) -> Result<Self, Error> {
        let lock = target.lock();
        let file = opened.map_err(|e| explained(&spot, lock, target.kind(), e))?;
        let stat = sys::stat(&file).map_err(|e| Error::io(lock, e))?;
        validate(&file, &spot, stat, target)?;
        Ok(Self { file, id: stat.id, spot: Some(spot) })
    }

    /// A descriptor of the caller's, which stays open.
    pub fn sharing(file: &File, name: &Path) -> Result<Self, Error> {
        let share = || {
            let file = file.try_clone()?; // of the same open file description
            let id = sys::stat(&file)?.id;
            Ok(Self { file, id, spot: None })
        };
        share().map_err(|e| Error::io(name, e))
    }

    /// Opens the file once more, for writing too: some file systems need that for an exclusive lock.
    pub fn reopen_for_writing(&mut self) -> io::Result<()> {
        let Some(Spot { dir: Some(dir), file, .. }) = &self.spot else {
            return Err(io::Error::other("it is not open for writing"));
        };
        self.file = dir.open_for_writing(file)?;
        self.id = sys::stat(&self.file)?.id;
        Ok(())
    }

    /// What is at the path now, if that is this file.
    ///
    /// The one check that exclusion rests on: `clean`, or anybody, may have unlinked the file between the open
    /// and the lock, and a second holder may have created a new one. It looks at the path, as the next open will: a
    /// directory on the way may have been replaced too.
    pub fn at_its_path(&self, target: &Target) -> Result<Option<Stat>, Error> {
        let fail = |e| Error::io(target.lock(), e);
        let there = match &self.spot {
            None => return sys::stat(&self.file).map(Some).map_err(fail),
            Some(spot) if spot.is_magic => sys::stat_through(&spot.path),
            Some(spot) => sys::stat_path(&spot.path),
        };
        Ok(there.map_err(fail)?.filter(|there| there.id == self.id))
    }

    /// Whether the file is no longer in the directory that it was opened in: it was unlinked or replaced. If the
    /// directory was moved, the file is still in it.
    pub fn was_replaced(&self) -> bool {
        let Some(Spot { dir: Some(dir), file, is_magic: false, .. }) = &self.spot else { return false };
        dir.stat_in(file).is_ok_and(|there| there.is_none_or(|there| there.id != self.id))
    }
}

fn open(spot: &Spot, kind: Kind, missing: Missing) -> io::Result<File> {
    let dir = spot.dir.as_ref().ok_or(io::ErrorKind::NotFound)?;
    match kind {
        Kind::LockFile => dir.open_lock(&spot.file, missing),
        _ if spot.is_magic => dir.open_through(spot.file.as_os_str()),
        _ => dir.open_itself(&spot.file, missing),
    }
}

fn explained(spot: &Spot, lock: &Path, kind: Kind, error: io::Error) -> Error {
    if kind != Kind::LockFile {
        let dir = spot.dir.as_ref().filter(|dir| dir.is_virtual());
        let is_missing = dir.is_some_and(|dir| matches!(dir.stat_in(&spot.file), Ok(None)));
        return if is_missing { in_virtual_directory(lock) } else { Error::io(lock, error) };
    }
    if let (io::ErrorKind::NotADirectory, Some(locks)) = (error.kind(), lock.parent()) {
        return no_directory(locks);
    }
    let denied = |error: io::Error| {
        let way = spot.dir.as_ref().zip(spot.file.parent());
        // gtlock's own refusals, of a link for example, explain themselves.
        let Some((dir, locks)) = way.filter(|_| error.raw_os_error().is_some()) else {
            return Error::io(lock, error);
        };
        // The last part of the path that can be seen is the one that refuses.
        let mut on_the_way = lock.ancestors().zip(spot.file.ancestors());
        let refusing = on_the_way.find_map(|(path, file)| Some((path, dir.owner_in(file)?)));
        match (refusing, dir.open_in(locks)) {
            (Some((path, owner)), opened) if path == lock || opened.is_err() => not_open(path, error, owner),
            (_, Ok(locks)) => not_allowed(lock, error, &locks),
            (_, Err(_)) => Error::io(lock, error),
        }
    };
    not_regular(spot, lock).unwrap_or_else(|| denied(error))
}

/// Refuses anything at the path of a lock file that is not a lock file.
fn validate(file: &File, spot: &Spot, stat: Stat, target: &Target) -> Result<(), Error> {
    let lock = target.lock();
    if target.kind() != Kind::LockFile {
        return Ok(()); // anything that can be opened can be locked
    }
    if !stat.is_file {
        return Err(not_regular(spot, lock).unwrap_or_else(|| replaced_too_often(lock)));
    }
    if !stat.may_have_record {
        return Ok(());
    }
    match record::is_there(file, lock) {
        Ok(true) => Ok(()),
        Ok(false) => Err(foreign(lock)),
        Err(e) => Err(Error::io(lock, e)),
    }
}

fn not_regular(spot: &Spot, lock: &Path) -> Option<Error> {
    not_a_lock_file(spot.dir.as_ref()?, &spot.file, lock)
}
