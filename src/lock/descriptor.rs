//! Locks on files that the caller has open.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::acquire::Waiter;
use super::guard::Afterwards;
use super::request::Descriptor;
use super::{Error, Target};
use super::{Guard, Kind, Locked, Mode, flock, wait};
use crate::sys;

impl Waiter<'_> {
    /// Takes the locks on open files of the caller's, in one order like those on lock files.
    pub fn take_descriptors(&mut self, wanted: &[Descriptor], guard: &mut Guard) -> Result<(), Error> {
        let stat = |descriptor: &Descriptor| {
            sys::stat(&descriptor.file).map_err(|e| Error::io(Path::new(&descriptor.name), e))
        };
        let mut wanted =
            wanted.iter().map(|wanted| Ok((stat(wanted)?, wanted))).collect::<Result<Vec<_>, Error>>()?;
        // Of one file the stronger mode first, so that it is not converted to the weaker one.
        wanted.sort_by_key(|(stat, descriptor)| (stat.id, Reverse(descriptor.mode)));
        for (stat, descriptor) in wanted {
            let conflicts = |locked: &Locked| {
                locked.id == stat.id && locked.target.mode.max(descriptor.mode) == Mode::Exclusive
            };
            if !guard.locked.iter().any(conflicts) {
                guard.locked.push(self.take_descriptor(descriptor, stat)?);
            } else if sys::lock_on(&descriptor.file) < Some(descriptor.mode) {
                // Not on the open file description that has the lock: it would wait for itself.
                return Err(Error::invalid(
                    Path::new(&descriptor.name),
                    "is open on a file that this same request locks already; name it once",
                ));
            }
        }
        Ok(())
    }

    /// Takes the lock on an open file of the caller's.
    fn take_descriptor(&mut self, descriptor: &Descriptor, stat: sys::Stat) -> Result<Locked, Error> {
        let Descriptor { file, name, mode } = descriptor;
        let path = PathBuf::from(name);
        let fail = |e| Error::io(&path, e);
        let file = file.try_clone().map_err(fail)?; // of the same open file description
        let kind = Kind::Descriptor(stat.id);
        let target = Target { data: path.clone(), lock: path.clone(), mode: *mode, kind };
        let before = sys::lock_on(&file);
        if !flock::try_lock(&file, *mode).map_err(fail)? {
            self.refuse_if_around(stat.id, &target)?;
            self.tell_at = Some(Instant::now());
            let retry_delay = self.retry_delay;
            self.wait_while(&target, &mut wait::to_the_end, |deadline, ask| {
                wait::for_turn_of(&file, *mode, deadline, retry_delay, ask)
            })?;
        }
        let mut locked = Locked::new(file, stat, target);
        locked.afterwards = match before {
            None => Afterwards::Released,
            Some(Mode::Shared) if *mode == Mode::Exclusive => Afterwards::Shared,
            Some(_) => Afterwards::Left,
        };
        Ok(locked)
    }
}
