//! Who holds a lock, found out without waiting for it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::error::{MAX_REPLACED, foreign, not_a_lock_file, replaced_too_often};
use super::flock::PASSING_LOOK;
use super::holder::{self, Candidate};
use super::record::{self, Record};
use super::ties::Descriptors;
use super::{Error, Evidence, Holder, Kind, Mode, flock, line};
use crate::cores::share_out;
use crate::process::{Liveness, Processes};
use crate::sys::{self, Access, FileId, Listed, places};

/// A lock as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Held or not: what the kernel said.
    pub state: State,
    /// Who is known to hold it, or, of a stale lock, who left the record. Empty for a held lock means a
    /// holder that cannot be seen from here.
    pub holders: Vec<Holder>,
    /// When the lock was acquired, where the record tells and is a holder's: of a writer, and of a reader who
    /// has been alone. When the record was written, if it is stale.
    pub since: Option<SystemTime>,
    /// Who waits for it, first come first; `None` where the system does not tell, or was not asked.
    pub waiters: Option<Vec<Waiter>>,
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

/// A process that waits for a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// Its process ID.
    pub pid: u32,
    /// What there is under this ID.
    pub liveness: Liveness,
}

/// Finds out who holds the lock on a lock file; `None` if the file does not exist.
///
/// Takes the lock for some microseconds if it is free. Creates and changes nothing.
///
/// # Errors
///
/// [`Error::Io`] or [`Error::Invalid`], if the file cannot be opened or is no lock file.
pub fn inspect(lock: &Path, kind: Kind, processes: &mut Processes) -> Result<Option<Inspection>, Error> {
    find_out(&[(lock, kind)], Question::Holders, processes).remove(0)
}

/// As [`inspect`], for a request that was refused: takes no time to see whether the holder only looks at the lock too.
///
/// # Errors
///
/// As [`inspect`].
pub fn inspect_refused(
    lock: &Path,
    kind: Kind,
    processes: &mut Processes,
) -> Result<Option<Inspection>, Error> {
    find_out(&[(lock, kind)], Question::Refusal, processes).remove(0)
}

/// Finds out who holds these locks and who waits for them: the results are in their order. Looks at each process
/// once, and not once for each lock.
///
/// To ask the kernel who waits holds up every flock on the machine for a moment.
///
/// # Errors
///
/// As [`inspect`], for each lock.
pub fn inspect_all(
    locks: &[(&Path, Kind)],
    processes: &mut Processes,
) -> Vec<Result<Option<Inspection>, Error>> {
    find_out(locks, Question::HoldersAndWaiters, processes)
}

/// Who is in line for the lock on a lock file, first come first. Empty where that cannot be seen.
#[must_use]
pub fn in_line(lock: &Path) -> Vec<Waiter> {
    let Ok(file) = sys::open_lock(lock, Access::Read) else { return Vec::new() };
    let line: BTreeSet<_> = line::all(&file).map_while(Result::ok).collect();
    let pids: Vec<_> = line.into_iter().filter_map(places::owner).collect();
    let mut seen = Processes::look_at_all(&pids);
    let waiter = |pid| Waiter { pid, liveness: seen.remove(&pid).unwrap_or(Liveness::Dead) };
    pids.into_iter().map(waiter).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Refusal,
    Holders,
    HoldersAndWaiters,
}

fn find_out(
    locks: &[(&Path, Kind)],
    question: Question,
    processes: &mut Processes,
) -> Vec<Result<Option<Inspection>, Error>> {
    let probe_all = |locks: &[(&Path, Kind)]| locks.iter().map(|&(lock, kind)| probe(lock, kind)).collect();
    let mut found: Vec<_> = share_out::<_, Vec<_>>(locks, probe_all).into_iter().flatten().collect();
    let table = match question {
        Question::HoldersAndWaiters if held(&found).next().is_some() => sys::table(),
        _ => None,
    };
    let (mut descriptors, mut seen) = look_at_recorded(&found, table.as_deref());
    let doubtful = held(&found)
        .filter(|(_, lock)| !holder::is_confirmed(&lock.record, lock.id, &descriptors, processes));
    let doubtful: Vec<usize> = doubtful.map(|(index, _)| index).collect();
    if !doubtful.is_empty() {
        if question != Question::Refusal {
            wait_for_looks(locks, &mut found, doubtful);
            (descriptors, seen) = look_at_recorded(&found, table.as_deref());
        }
        descriptors.look_at_everyone();
    }
    descriptors.look_at_waiters();

    for lock in found.iter_mut().flatten().flatten() {
        let Some(mode) = lock.mode else { continue };
        lock.candidates = holder::candidates(&lock.record, mode, lock.id, &descriptors, processes);
        lock.waiters = table.as_ref().map(|_| descriptors.waiters(lock.id));
    }
    let in_question = found.iter().flatten().flatten().flat_map(Found::in_question);
    let unseen: Vec<_> = in_question.filter(|pid| !seen.contains_key(pid)).collect();
    seen.extend(Processes::look_at_all(&unseen));
    found.into_iter().map(|lock| Ok(lock?.map(|lock| lock.judge(&seen)))).collect()
}

/// A lock as it was probed, and what is found out about it then.
struct Found {
    id: FileId,
    /// How it is held, if it is.
    mode: Option<Mode>,
    record: Record,
    candidates: Vec<Candidate>,
    waiters: Option<Vec<u32>>,
}

impl Found {
    /// The processes to look at.
    fn in_question(&self) -> impl Iterator<Item = u32> {
        let candidates = self.candidates.iter().filter_map(Candidate::in_question);
        candidates.chain(self.waiters.iter().flatten().copied())
    }

    fn judge(self, seen: &HashMap<u32, Liveness>) -> Inspection {
        let Self { mode, record, .. } = self;
        let Some(mode) = mode else {
            let state = if record.pids.is_empty() { State::Free } else { State::Stale };
            let left = |&pid: &u32| Holder {
                pid,
                liveness: Liveness::Dead,
                evidence: Evidence::Record,
                slots: Vec::new(),
            };
            let holders = record.pids.iter().map(left).collect();
            return Inspection { state, holders, since: record.since, waiters: Some(Vec::new()) };
        };
        let holders: Vec<_> =
            self.candidates.into_iter().map(|candidate| candidate.judge(&record, seen)).collect();
        // It is the record's time, and not that of somebody who came later.
        let is_theirs = |holder: &Holder| holder.is_alive() && holder.evidence != Evidence::Descriptor;
        let since = record.since.filter(|_| holders.iter().any(is_theirs));
        let look = |pid| Waiter { pid, liveness: seen.get(&pid).cloned().unwrap_or(Liveness::Dead) };
        let waiters = self.waiters.map(|pids| pids.into_iter().map(look).collect());
        Inspection { state: State::Held(mode), holders, since, waiters }
    }
}

/// The locks that are held, each with its index.
fn held(found: &[Result<Option<Found>, Error>]) -> impl Iterator<Item = (usize, &Found)> {
    let locks =
        found.iter().enumerate().filter_map(|(index, lock)| Some((index, lock.as_ref().ok()?.as_ref()?)));
    locks.filter(|(_, lock)| lock.mode.is_some())
}

/// What the kernel's table, if it was read, and the descriptors of those whom the records name show of the locks that
/// are held; and the processes that had to be looked at for it.
fn look_at_recorded(
    found: &[Result<Option<Found>, Error>],
    table: Option<&[Listed]>,
) -> (Descriptors, HashMap<u32, Liveness>) {
    let mut descriptors = Descriptors::on(held(found).map(|(_, lock)| lock.id));
    let mut seen = HashMap::new();
    if let Some(table) = table {
        descriptors.read(table);
        let recorded: HashSet<u32> = held(found).flat_map(|(_, lock)| &lock.record.pids).copied().collect();
        seen = Processes::look_at_all(&recorded.into_iter().collect::<Vec<_>>());
    }
    for (_, lock) in held(found) {
        descriptors.look_at_recorded(&lock.record, lock.id, &seen);
    }
    (descriptors, seen)
}

/// Waits for as long as somebody may take to look at a lock: what the kernel gives within that time was not held.
///
/// Not by a wait in the kernel: a long wait is often explained, and each wait for a look that is given up would
/// leave something behind.
fn wait_for_looks(
    locks: &[(&Path, Kind)],
    found: &mut [Result<Option<Found>, Error>],
    mut doubtful: Vec<usize>,
) {
    let until = Instant::now() + PASSING_LOOK;
    while !doubtful.is_empty() && Instant::now() < until {
        thread::sleep(Duration::from_millis(1));
        doubtful.retain(|&index| {
            let (lock, kind) = locks[index];
            found[index] = probe(lock, kind);
            matches!(&found[index], Ok(Some(lock)) if lock.mode.is_some())
        });
    }
}

/// Whether a lock is held, and what its record says; `None` if there is no such file.
fn probe(lock: &Path, kind: Kind) -> Result<Option<Found>, Error> {
    let fail = |e| Error::io(lock, e);
    let mut access = Access::Read; // to open it for writing could be taken for a change by who watches it
    for _ in 0..MAX_REPLACED {
        let open = if kind == Kind::LockFile { sys::open_lock } else { sys::open_itself };
        let file = match open(lock, access) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(not_regular(lock, kind).unwrap_or_else(|| fail(e))),
            Ok(file) => file,
        };
        let sys::Stat { id, is_file, .. } = sys::stat(&file).map_err(fail)?;
        if kind == Kind::LockFile && !is_file {
            return Err(not_regular(lock, kind).unwrap_or_else(|| replaced_too_often(lock)));
        }
        let mode = match mode_of(&file) {
            Err(e) if access == Access::Read && flock::wants_writing(&e, Mode::Exclusive) => {
                access = Access::Write;
                continue;
            }
            mode => mode.map_err(fail)?,
        };
        let record = match kind {
            Kind::LockFile => record::read(&file, lock).map_err(fail)?.ok_or_else(|| foreign(lock))?,
            _ => Record::default(),
        };
        drop(file); // with the lock, if it was free, which kept the record from changing while it was read
        // As for an acquirer: what was found out must be about the file that is at the path.
        if sys::stat_path(lock).map_err(fail)?.is_some_and(|there| there.id == id) {
            return Ok(Some(Found { id, mode, record, candidates: Vec::new(), waiters: None }));
        }
    }
    Err(replaced_too_often(lock))
}

fn not_regular(lock: &Path, kind: Kind) -> Option<Error> {
    let dir = sys::Dir::open(lock.parent()?).ok()?;
    not_a_lock_file(&dir, Path::new(lock.file_name()?), lock).filter(|_| kind == Kind::LockFile)
}

/// The mode a lock is held in by others. If it is not, this open file description holds it afterwards.
fn mode_of(file: &File) -> io::Result<Option<Mode>> {
    if flock::try_lock(file, Mode::Exclusive)? {
        return Ok(None);
    }
    if !flock::try_lock(file, Mode::Shared)? {
        return Ok(Some(Mode::Exclusive));
    }
    // Shared with others, or released since: only then the conversion succeeds.
    Ok((!flock::try_convert(file, Mode::Exclusive)?).then_some(Mode::Shared))
}
