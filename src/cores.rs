//! Work on many things, shared out among the cores: the kernel does most of it, and can do most of that in parallel.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use crate::sys;

/// For fewer things a thread costs more than it gains.
const MIN_PER_THREAD: usize = 250;

/// Splits these things into a part for each core, and works on all parts at once. The results are in their order.
pub fn share_out<'a, T: Sync, R: Send>(things: &'a [T], work: impl Fn(&'a [T]) -> R + Sync) -> Vec<R> {
    if things.len() < 2 * MIN_PER_THREAD {
        return vec![work(things)];
    }
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = things.len().div_ceil(cores).max(MIN_PER_THREAD);
    let (first, rest) = things.split_at(share.min(things.len()));
    let work = &work;
    thread::scope(|scope| {
        let start = |part| {
            let thread = thread::Builder::new();
            let started = sys::start_quietly(|| thread.spawn_scoped(scope, move || work(part)));
            started.map_err(|_| part) // no thread could be started
        };
        let others: Vec<_> = rest.chunks(share).map(start).collect();
        let mut done = vec![work(first)];
        for other in others {
            done.push(other.map_or_else(work, |thread| thread.join().unwrap_or_else(|e| resume_unwind(e))));
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_worked_on_once_and_in_order() {
        for count in [0, 1, 2 * MIN_PER_THREAD - 1, 2 * MIN_PER_THREAD, 100 * MIN_PER_THREAD + 1] {
            let things: Vec<_> = (0..count).collect();
            assert_eq!(share_out(&things, <[usize]>::to_vec).concat(), things);
        }
    }
}
