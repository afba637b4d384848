//! What each process does, one visible system call a step. The order of the calls is that of `src/lock`.

use super::fault::Fault;
use super::kernel::{Kernel, Mode, SLOTS};
use super::protocol::{Protocol, Role};
use super::state::{At, State};

impl Protocol {
    /// One step; returns what comes next. `Open` and `Over` close what is open.
    pub fn step(&self, state: &mut State, me: usize) -> At {
        let at = state.processes[me].at;
        match at {
            At::Open | At::LooksAhead | At::Tries | At::Confirms | At::Waits | At::Checks => {
                self.acquire(state, me, at)
            }
            At::Queues(_) | At::WaitsForTurn(_) | At::Leaves => self.queue(state, me, at),
            At::LooksForSlots | At::TakesSlots(_) | At::Full | At::WaitsForSlot(_) => {
                self.slots(&mut state.kernel, me, at)
            }
            At::Held if self.has(Fault::ReaderUnlinks) && self.mode(me) == Mode::Shared => At::Unlinks,
            At::Held if self.has(Fault::UnlinkAfterUnlock) => {
                state.kernel.unlock(me);
                At::Unlinks
            }
            At::Unlinks => {
                state.kernel.unlink();
                At::Over
            }
            At::CleanOpens
            | At::CleanTries
            | At::CleanLooks
            | At::CleanChecks
            | At::CleanUnlinks
            | At::CleanUnlocks => self.clean(&mut state.kernel, me, at),
            At::Probes | At::ProbesShared | At::ProbesAgain => Self::probe(&mut state.kernel, me, at),
            At::Held | At::Orphaned | At::AlreadyLocked | At::LetsGo | At::Stopped | At::Over => At::Over,
        }
    }

    /// `acquire.rs`.
    fn acquire(&self, state: &mut State, me: usize, at: At) -> At {
        let (role, mode) = (self.roles[me], self.mode(me));
        let is_held_around = self.is_held_around(state, me);
        let kernel = &mut state.kernel;
        match at {
            At::Open => {
                kernel.open_or_create(me, role != Role::Guest);
                state.processes[me].behind = state.turns() & self.conflicting(me);
                match role {
                    Role::Peer => At::Waits,
                    Role::Unqueued => At::Tries,
                    _ if self.has(Fault::NoLookAhead) => At::Tries,
                    _ => At::LooksAhead,
                }
            }
            At::LooksAhead if !kernel.has_queue(me) => At::Tries,
            At::LooksAhead if is_held_around && self.has(Fault::NestedDoesNotTry) => At::AlreadyLocked,
            At::LooksAhead if is_held_around => {
                state.processes[me].goes_ahead = true;
                At::Tries
            }
            At::Tries if kernel.try_lock(me, mode) && self.take(me).is_some() => At::LooksForSlots,
            At::Tries if kernel.try_lock(me, mode) => At::Checks,
            At::Tries if is_held_around => At::AlreadyLocked,
            At::LooksAhead | At::Tries if role == Role::Asker => At::Confirms,
            At::Tries if role == Role::Unqueued => At::Waits,
            At::LooksAhead | At::Tries => At::Queues(None),
            At::Confirms => {
                kernel.try_lock(me, mode);
                state.processes[me].goes_ahead = true;
                At::Checks
            }
            At::Waits => {
                kernel.try_lock(me, mode);
                match role {
                    Role::Peer => At::Held,
                    Role::Unqueued => At::Checks,
                    _ if self.has(Fault::PlaceKept) => At::Checks,
                    _ => self.after_lock(me),
                }
            }
            _ if kernel.is_at_path(me) || self.has(Fault::NoInodeCheck) => At::Held,
            _ => At::Open,
        }
    }

    /// `queue.rs`.
    fn queue(&self, state: &mut State, me: usize, at: At) -> At {
        let State { kernel, processes, .. } = state;
        let process = &mut processes[me];
        match at {
            At::Queues(None) => At::Queues(Some(kernel.place_behind_all(me, process.pid))),
            At::Queues(Some(place)) => {
                if kernel.is_refused(me, place) && !self.has(Fault::PlaceShared) {
                    return At::Queues(None);
                }
                kernel.take_place(me, place);
                process.has_turn = true;
                At::WaitsForTurn(None)
            }
            At::WaitsForTurn(Some(_)) if self.has(Fault::LooksForTurnOnce) => At::Waits,
            At::WaitsForTurn(Some(ahead)) => {
                kernel.take_ahead(me, ahead);
                At::WaitsForTurn(None)
            }
            At::WaitsForTurn(None) => {
                kernel.leave_ahead(me);
                let ahead = kernel.places_ahead(me, process.passed).max();
                if ahead.is_none() && self.has(Fault::PlaceLeftFirst) {
                    kernel.leave_place(me);
                }
                ahead.map_or(At::Waits, |ahead| At::WaitsForTurn(Some(ahead)))
            }
            _ => {
                kernel.leave_place(me);
                // With its slots it has its turn: those behind need not wait for its command to begin.
                process.has_turn &= self.take(me).is_none();
                At::Checks
            }
        }
    }

    /// What comes after the lock was waited for.
    pub fn after_lock(&self, me: usize) -> At {
        if self.take(me).is_some() { At::LooksForSlots } else { At::Leaves }
    }

    /// `slots.rs`.
    fn slots(&self, kernel: &mut Kernel, me: usize, at: At) -> At {
        let take = self.take(me).unwrap_or_default();
        let others = kernel.slots_of_others(me);
        let done = |kernel: &Kernel| if kernel.place(me).is_some() { At::Leaves } else { At::Checks };
        match at {
            At::LooksForSlots => {
                let has_room = kernel.has_room(me, take);
                let free = (0..8).map(|bit| 1 << bit).filter(|slot| SLOTS & slot & !others != 0);
                let wanted = free.take(take.into()).fold(0, |slots, slot: u8| slots | slot);
                if has_room || wanted != 0 && (self.has(Fault::SlotsPartly) || self.has(Fault::SlotsKept)) {
                    At::TakesSlots(wanted)
                } else {
                    At::Full
                }
            }
            At::TakesSlots(wanted) => {
                let slot = wanted & wanted.wrapping_neg();
                if others & slot != 0 && !self.has(Fault::SlotShared) {
                    kernel.give_slots_back(me);
                    return At::LooksForSlots;
                }
                kernel.take_slot(me, slot);
                match wanted & !slot {
                    0 if self.has(Fault::SlotsKept) && kernel.slots(me).count_ones() < take.into() => {
                        At::Full
                    }
                    0 => done(kernel),
                    left => At::TakesSlots(left),
                }
            }
            At::Full => {
                kernel.unlock(me);
                if kernel.place(me).is_some() { At::WaitsForSlot(0) } else { At::Queues(None) }
            }
            At::WaitsForSlot(0) if kernel.has_room(me, take) => At::Waits,
            At::WaitsForSlot(0) => At::WaitsForSlot(others),
            At::WaitsForSlot(_) if self.has(Fault::SlotNotTaken) && kernel.try_lock(me, Mode::Shared) => {
                done(kernel)
            }
            _ => At::Waits,
        }
    }

    /// Passes the head of the queue, which is the lowest place not passed yet. It waits for the place `ahead`.
    pub fn pass_by(state: &mut State, me: usize, ahead: u8) -> At {
        let State { kernel, processes, .. } = state;
        let head = kernel.places_ahead(me, processes[me].passed).min();
        processes[me].passed = head;
        for (other, process) in processes.iter_mut().enumerate() {
            process.has_turn &= !kernel.has_place(me, other, head);
        }
        At::WaitsForTurn((head < Some(ahead)).then_some(ahead))
    }

    /// `clean_one` in `clean.rs`.
    fn clean(&self, kernel: &mut Kernel, me: usize, at: At) -> At {
        match at {
            At::CleanOpens if kernel.open_existing(me) => At::CleanTries,
            At::CleanTries if self.has(Fault::CleanWithoutLock) => At::CleanLooks,
            At::CleanTries if kernel.try_lock(me, Mode::Exclusive) => At::CleanLooks,
            At::CleanLooks if !kernel.has_queue(me) && kernel.slots_of_others(me) == 0 => At::CleanChecks,
            At::CleanChecks if kernel.is_at_path(me) || self.has(Fault::CleanWithoutCheck) => {
                if self.has(Fault::CleanUnlocksFirst) { At::CleanUnlocks } else { At::CleanUnlinks }
            }
            At::CleanUnlocks => {
                kernel.unlock(me);
                At::CleanUnlinks
            }
            At::CleanUnlinks => {
                kernel.unlink();
                At::LetsGo
            }
            _ => At::Over,
        }
    }

    /// `mode_of` in `inspect.rs`.
    fn probe(kernel: &mut Kernel, me: usize, at: At) -> At {
        match at {
            At::Probes if !kernel.open_existing(me) => At::Over,
            At::Probes if kernel.try_lock(me, Mode::Exclusive) => At::LetsGo,
            At::Probes => At::ProbesShared,
            At::ProbesShared if kernel.try_lock(me, Mode::Shared) => At::ProbesAgain,
            At::ProbesAgain => {
                kernel.unlock(me);
                kernel.try_lock(me, Mode::Exclusive);
                At::LetsGo
            }
            _ => At::Over,
        }
    }
}
