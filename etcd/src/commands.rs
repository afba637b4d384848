//! `run` and `try`.

use std::ffi::OsString;

use anyhow::Result;
use gtlock::cli::{CommonArgs, LockArgs, RunArgs, TryArgs};
use gtlock::exit::Exit;
use gtlock::lock::{Mode, Wait};
use gtlock::running::{Incoming, Limit, Streams};

use crate::asked::Asked;
use crate::front::{Answer, Execution, Front};

/// Runs a command under locks.
pub fn run(args: &RunArgs) -> Result<Exit> {
    under(&args.lock, args.wait.timeout, &args.command)
}

/// Runs a command if the locks are free now; without a command, tests whether they are.
pub fn try_run(args: &TryArgs) -> Result<Exit> {
    under(&args.lock, Wait::Never, &args.command)
}

fn under(args: &LockArgs, wait: Wait, command: &[OsString]) -> Result<Exit> {
    let names = |files: &[std::path::PathBuf], mode| {
        files.iter().map(|file| (file.clone().into_os_string(), mode)).collect::<Vec<_>>()
    };
    let locks = [names(&args.write, Mode::Exclusive), names(&args.read, Mode::Shared)].concat();
    let mut front = Front::start(Asked::new(locks, wait, &args.common, command)?)?;
    let held = match front.answer()? {
        Answer::Held(held) => held,
        Answer::Free => return Ok(Exit::Success),
        Answer::Refused => return Ok(Exit::Refused(args.common.conflict_exit_code)),
    };
    let mut signals = Incoming::hold()?;
    let execution = Execution { command, close: args.close, limit: limit(&args.common) };
    let ended = front.execute(&held, &execution, Streams::default(), &mut signals);
    front.release(&ended, args.close);
    signals.let_through();
    front.conclude(ended, command)
}

/// How long a command may hold the locks.
pub fn limit(args: &CommonArgs) -> Option<Limit> {
    args.max_hold.map(|max| Limit { max, grace: args.kill_after })
}
