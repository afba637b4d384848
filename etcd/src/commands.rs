//! `run`, `try` and `update`.

use std::ffi::OsString;
use std::io;

use anyhow::Result;
use gtlock::cli::{LockArgs, RunArgs, TryArgs, UpdateArgs};
use gtlock::cmd::update;
use gtlock::exit::Exit;
use gtlock::lock::{Mode, Wait};
use gtlock::running::{Incoming, Streams};

use crate::asked::Asked;
use crate::at::At;
use crate::front::{Answer, Execution, Front};
use crate::history::History;
use crate::leash::Reason;

/// Runs a command under locks.
pub fn run(at: &At, args: &RunArgs) -> Result<Exit> {
    under(at, &args.lock, args.wait.timeout, &args.command)
}

/// Runs a command if the locks are free now; without a command, tests whether they are.
pub fn try_run(at: &At, args: &TryArgs) -> Result<Exit> {
    under(at, &args.lock, Wait::Never, &args.command)
}

fn under(at: &At, args: &LockArgs, wait: Wait, command: &[OsString]) -> Result<Exit> {
    let names = |files: &[std::path::PathBuf], mode| {
        files.iter().map(|file| (file.clone().into_os_string(), mode)).collect::<Vec<_>>()
    };
    let locks = [names(&args.write, Mode::Exclusive), names(&args.read, Mode::Shared)].concat();
    let mut asked = Asked::new(at, locks, wait, &args.common, command)?;
    let mut history = History::new(&args.common, command, &mut asked);
    let (mut front, answer) = Front::obtain(&asked, &mut history)?;
    let held = match answer {
        Answer::Held(held) => held,
        Answer::Free => return Ok(Exit::Success),
        Answer::Refused => return Ok(args.common.refusal()),
    };
    let mut signals = Incoming::hold()?;
    let execution = Execution { command, close: args.rare.close, limit: args.common.limit() };
    let ended = front.execute(&held, &execution, Streams::default(), &mut signals);
    let is_left = front.release(&ended, args.rare.close);
    history.let_go(&ended, front.is_lost(), is_left);
    signals.let_through();
    let exit = front.conclude(ended, command);
    history.write(&exit);
    exit
}

/// Rewrites a file of this machine, under the lock in etcd of that name.
pub fn update(at: &At, args: &UpdateArgs) -> Result<Exit> {
    update::check(args)?;
    let locks = [(args.file.clone().into_os_string(), Mode::Exclusive)];
    let mut asked = Asked::new(at, locks, args.wait.timeout, &args.common, &args.filter)?;
    let mut history = History::new(&args.common, &args.filter, &mut asked);
    let (mut front, answer) = Front::obtain(&asked, &mut history)?;
    let held = match answer {
        Answer::Held(held) => held,
        Answer::Free => return Ok(Exit::Success),
        Answer::Refused => return Ok(args.common.refusal()),
    };
    let execution = Execution { command: &args.filter, close: false, limit: args.common.limit() };
    let mut signals = None;
    let leash = front.leash;
    let mut filter = |streams, signals: &mut Incoming| front.execute(&held, &execution, streams, signals);
    // Do not replace the file when the lock is about to end: another holder may write it next.
    let is_locked = || {
        if !leash.has_time() {
            leash.lose(Reason::Silence);
        }
        !leash.is_lost()
    };
    let rewritten = update::rewrite(args, &mut signals, &mut filter, &is_locked);
    let (ended, replaced) = match rewritten {
        Ok((ended, replaced)) => (ended, replaced),
        Err(e) => {
            let ended = Err(io::ErrorKind::Other.into());
            let is_left = front.release(&ended, true);
            history.let_go(&ended, front.is_lost(), is_left);
            let exit = Err(e);
            history.write(&exit);
            return exit;
        }
    };
    let is_left = front.release(&ended, false);
    history.let_go(&ended, front.is_lost(), is_left);
    if let Some(signals) = signals {
        signals.let_through();
    }
    let exit = replaced.and_then(|other| match other {
        Some(other) if !front.is_lost() => Ok(other),
        _ => front.conclude(ended, &args.filter),
    });
    history.write(&exit);
    exit
}
