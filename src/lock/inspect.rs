//! Who holds a lock, found out without waiting for it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::error::{MAX_REPLACED, foreign, not_a_lock_file, replaced_too_often};
use super::record::{self, Record};
use super::{Error, Holder, Kind, Mode, flock, holder};
use crate::process::Processes;
use crate::sys::{self, FileId};

/// A lock as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Held or not: what the kernel said.
    pub state: State,
    /// Who is known to hold it, or, of a stale lock, who left the record. Empty for a held lock means a
    /// holder that cannot be seen from here.
    pub holders: Vec<Holder>,
    /// When the lock was acquired, where the record tells: of a writer, and of a reader who has been alone.
    pub since: Option<SystemTime>,
}

/// Whether a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// By nobody.
    Free,
    /// By nobody, but a holder that was killed has left its record.
    Stale,
    /// In this mode.
    Held(Mode),
}

/// Finds out about the lock on a lock file; `None` if the file does not exist.
///
/// Takes the lock for some microseconds if it is free. Creates and changes nothing.
///
/// # Errors
///
/// [`Error::Io`] or [`Error::Invalid`], if the file cannot be opened or is no lock file.
pub fn inspect(lock: &Path, kind: Kind, processes: &mut Processes) -> Result<Option<Inspection>, Error> {
    let fail = |e| Error::io(lock, e);
    for _ in 0..MAX_REPLACED {
        let opened = if kind == Kind::LockFile { sys::open_lock(lock) } else { sys::open_itself(lock) };
        let file = match opened {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(not_regular(lock, kind).unwrap_or_else(|| fail(e))),
            Ok(file) => file,
        };
        let sys::Stat { id, is_file, .. } = sys::stat(&file).map_err(fail)?;
        if kind == Kind::LockFile && !is_file {
            return Err(not_regular(lock, kind).unwrap_or_else(|| replaced_too_often(lock)));
        }
        let found = look_at(file, id, lock, kind, processes)?;
        // As for an acquirer: what was found out must be about the file that is at the path.
        if sys::stat_path(lock).map_err(fail)?.is_some_and(|there| there.id == id) {
            return Ok(Some(found));
        }
    }
    Err(replaced_too_often(lock))
}

fn not_regular(lock: &Path, kind: Kind) -> Option<Error> {
    let dir = sys::Dir::open(lock.parent()?).ok()?;
    not_a_lock_file(&dir, Path::new(lock.file_name()?), lock).filter(|_| kind == Kind::LockFile)
}

fn look_at(
    file: File,
    id: FileId,
    lock: &Path,
    kind: Kind,
    processes: &mut Processes,
) -> Result<Inspection, Error> {
    let fail = |e| Error::io(lock, e);
    let read = |file: &File| match kind {
        Kind::LockFile => record::read(file, lock).map_err(fail)?.ok_or_else(|| foreign(lock)),
        _ => Ok(Record::default()),
    };
    let mode = probe(&file).map_err(fail)?;
    let record = read(&file)?;
    let Some(mode) = mode else {
        drop(file); // with the lock, which kept the record from changing while it was read
        return Ok(not_held(&record, id, processes));
    };
    let mut holders = holder::recorded(&record, id, processes);
    if !holders.iter().any(Holder::is_alive) {
        // Perhaps only somebody else's look at it. What the kernel gives within the time of such a look
        // was not held. Not by a wait in the kernel: whoever waits long asks often who holds the lock, and
        // each wait that is given up would leave a thread and a descriptor behind.
        if flock::try_for(&file, Mode::Exclusive, flock::PASSING_LOOK).map_err(fail)? {
            let record = read(&file)?;
            drop(file);
            return Ok(not_held(&record, id, processes));
        }
        holder::add_descriptor_holders(&mut holders, id, processes);
    }
    Ok(Inspection { state: State::Held(mode), holders, since: record.since })
}

fn not_held(record: &Record, id: FileId, processes: &mut Processes) -> Inspection {
    let state = if record.pids.is_empty() { State::Free } else { State::Stale };
    Inspection { state, holders: holder::recorded(record, id, processes), since: record.since }
}

/// The processes that wait for locks at one moment, as far as the kernel tells: on Linux.
///
/// To ask the kernel holds up every flock on the machine for a moment, so ask once for all locks.
#[derive(Debug)]
pub struct Waiters(sys::Waiters);

impl Waiters {
    /// Asks the kernel.
    #[must_use]
    pub fn now() -> Self {
        Self(sys::Waiters::now())
    }

    /// Those that wait for this lock, or queue behind a writer that does; `None` where the system does not tell.
    #[must_use]
    pub fn of(&self, lock: &Path) -> Option<Vec<u32>> {
        let ids = sys::stat_path(lock).ok().flatten().into_iter().map(|stat| stat.id);
        // Not this process, which may wait and ask who holds the lock.
        let me = std::process::id();
        let mut pids = ids.map(|id| self.0.of(id)).collect::<Option<Vec<_>>>()?.concat();
        pids.retain(|&pid| pid != me);
        Some(pids)
    }
}

/// The mode a lock is held in by others. If it is not, this open file description holds it afterwards.
fn probe(file: &File) -> io::Result<Option<Mode>> {
    if flock::try_lock(file, Mode::Exclusive)? {
        return Ok(None);
    }
    if !flock::try_lock(file, Mode::Shared)? {
        return Ok(Some(Mode::Exclusive));
    }
    // Shared with others, or released since: only then the conversion succeeds.
    Ok((!flock::try_convert(file, Mode::Exclusive)?).then_some(Mode::Shared))
}
