//! The process that the caller started. It runs the command, and exits as the command does.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use gtlock::Escaped;
use gtlock::cmd::narrate::Narrator;
use gtlock::cmd::{report, run};
use gtlock::exit::Exit;
use gtlock::history::Outcome;
use gtlock::lock::{HELD_VARIABLE, Wait};
use gtlock::running::{
    Ended, Incoming, Launch, Limit, Streams, Tether, make_inheritable, serve_as_process_1,
};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::asked::Asked;
use crate::client::Client;
use crate::history::History;
use crate::keeper::{self, Ears};
use crate::leash::{Leash, Reason};
use crate::narrate::Words;
use crate::session::Session;
use crate::talk::{Listener, Said, Speaker, Told};
use crate::tree::Tree;
use crate::{held, sys};

/// The longest time between two checks of the clock.
const NAP: Duration = Duration::from_secs(1);

/// How often to check whether the lock was renewed.
const GLANCE: Duration = Duration::from_millis(10);

/// How long to wait for the release before exiting with the command's status.
const RELEASE: Duration = Duration::from_secs(1);

/// The front, with its connection to the keeper.
pub struct Front {
    keeper: Pid,
    pub words: Words,
    pub listener: Listener,
    pub leash: Leash,
    pub tree: Tree,
    /// Inherited by the command, so that processes it leaves behind can be found.
    pipe: std::fs::File,
}

/// What the command is told about its locks.
#[derive(Debug)]
pub struct Held {
    fence: i64,
    key: OsString,
    lease: String,
}

/// The outcome of a request.
pub enum Answer {
    Held(Held),
    Free,
    Refused,
}

impl Front {
    /// Has a keeper make the request, and waits for the outcome. If the keeper is killed meanwhile, another one queues again,
    /// at the end.
    pub fn obtain(asked: &Asked, history: &mut History<'_>) -> Result<(Self, Answer)> {
        let started = sys::now();
        loop {
            let mut asked = asked.clone();
            if let Wait::For(time) = &mut asked.wait {
                *time = time.saturating_sub(sys::now().saturating_sub(started));
            }
            let mut front = Self::start(asked)?;
            if let Some(answer) = front.answer(history)? {
                return Ok((front, answer));
            }
            // Whatever else ended it would end the next one too.
            if !matches!(waitpid(front.keeper, None), Ok(WaitStatus::Signaled(_, Signal::SIGKILL, _))) {
                return Err(anyhow!("gtlock's second process has died"));
            }
        }
    }

    /// Starts the keeper, which begins the request.
    fn start(asked: Asked) -> Result<Self> {
        let words = Words::new(&asked);
        let page = sys::shared().context("cannot map shared memory")?;
        let leash = Leash::new(page, asked.ttl, asked.grace);
        let client = Client::new(&asked.at, asked.ttl)?;
        let (near, far) = UnixStream::pair()?;
        let (pipe_end, pipe) = io::pipe()?;
        let (wake, waker) = io::pipe()?;
        let tree = Tree::of_this_process(&pipe);
        prctl::set_child_subreaper(true)?; // orphans of the command become our children
        let keep = [far.as_raw_fd(), pipe_end.as_raw_fd(), wake.as_raw_fd(), waker.as_raw_fd()];
        let its_tree = tree.clone();
        let keeper = sys::fork_aside(&keep, move || {
            let its_tree = its_tree.without(Pid::this().as_raw());
            let Ok(speaker) = far.try_clone().map(Speaker::new) else { return };
            let session = Session::new(asked, client, leash, speaker, waker);
            keeper::keep(session, &mut Ears { front: far, wake, pipe: pipe_end }, &its_tree);
        })?;
        let pipe = OwnedFd::from(pipe).into();
        let tree = tree.without(keeper.as_raw());
        Ok(Self { keeper, words, listener: Listener::new(near), leash, tree, pipe })
    }

    /// Waits for the outcome of the request. `None` if the keeper has died.
    fn answer(&mut self, history: &mut History<'_>) -> Result<Option<Answer>> {
        let _serving = serve_as_process_1();
        loop {
            match self.listener.next() {
                Some(Said::Holds { fence, key, lease }) => {
                    self.words.held();
                    history.held();
                    return Ok(Some(Answer::Held(Held { fence, key: OsString::from_vec(key), lease })));
                }
                Some(Said::Free) => {
                    history.free();
                    return Ok(Some(Answer::Free));
                }
                Some(Said::Behind { name, holder }) => history.waits(OsString::from_vec(name), holder),
                Some(Said::Refused { name, who, holder }) => {
                    history.refused(OsString::from_vec(name.clone()), Outcome::Refused, holder);
                    self.words.refused(name, "busy", &who);
                    return Ok(Some(Answer::Refused));
                }
                Some(Said::TimedOut { name, who, holder }) => {
                    history.refused(OsString::from_vec(name.clone()), Outcome::TimedOut, holder);
                    self.words.timed_out(name, &who);
                    return Ok(Some(Answer::Refused));
                }
                Some(Said::Failed(why)) => return Err(anyhow!(why)),
                Some(said) => self.words.note(said),
                None => return Ok(None),
            }
        }
    }

    /// Runs the command under the locks, until it ends.
    pub fn execute(
        &mut self,
        held: &Held,
        launch: &Execution<'_>,
        streams: Streams,
        signals: &mut Incoming,
    ) -> io::Result<Ended> {
        let variables = [
            (HELD_VARIABLE, held::for_command(&held.lease)),
            ("GTLOCK_FENCE", held.fence.to_string().into()),
            ("GTLOCK_FENCE_KEY", held.key.clone()),
        ];
        if !launch.close {
            make_inheritable(&mut self.pipe)?;
        }
        // Too little time may be left, if this process was stopped or etcd did not answer: wait for the next renewal.
        while !self.leash.has_time() && !self.leash.is_lost() {
            if sys::now() >= self.leash.deadline() {
                self.leash.lose(Reason::Silence);
            }
            thread::sleep(GLANCE);
        }
        let tether = Lead { leash: self.leash, tree: &self.tree };
        let launch = Launch {
            command: launch.command,
            variables: &variables,
            close: &[],
            streams,
            limit: launch.limit,
            tether: Some(&tether),
        };
        gtlock::running::run(launch, signals, &mut Narrator::happens)
    }

    /// Tells the keeper to release the locks. If the command was cut off, the keeper holds them until the processes that
    /// it left behind have ended. Returns whether there are any.
    pub fn release(&mut self, ended: &io::Result<Ended>, close: bool) -> bool {
        let is_cut_off = ended.as_ref().is_ok_and(|ended| ended.is_cut_off()) && !self.is_lost() && !close;
        let left = if is_cut_off { self.tree.inheritors() } else { Vec::new() };
        if self.is_lost()
            && let Some(command) = self.leash.command()
        {
            self.tree.kill(command); // what it left behind must not run on
        }
        let told = match ended {
            Err(_) => Told::NeverRan,
            Ok(_) if left.is_empty() => Told::Ended,
            Ok(_) => Told::CutOff,
        };
        let _ = self.listener.stream().write_all(&[told.byte()]);
        if told == Told::CutOff {
            self.words.left(&left);
            return true;
        }
        let until = sys::now() + RELEASE;
        while sys::now() < until {
            let left = until.saturating_sub(sys::now()).max(Duration::from_millis(1));
            let _ = self.listener.stream().set_read_timeout(Some(left));
            match self.listener.next() {
                Some(Said::Released) | None => break,
                Some(said) => self.words.note(said),
            }
        }
        self.words.released();
        false
    }

    /// Whether the lock was lost before the command ended.
    pub fn is_lost(&self) -> bool {
        self.leash.is_lost()
    }

    /// Decides the exit status, and prints why if the lock was lost.
    pub fn conclude(&self, ended: io::Result<Ended>, command: &[OsString]) -> Result<Exit> {
        let never_ran = ended.as_ref().is_err_and(|e| e.raw_os_error() == Some(Errno::ECANCELED as i32));
        if self.is_lost() || never_ran {
            let silence = sys::now().saturating_sub(self.leash.deadline().saturating_sub(self.words.ttl()));
            let why = match self.leash.reason() {
                Some(Reason::Gone) => "its key in etcd is gone".to_owned(),
                _ => format!("no answer from etcd for {}", report::duration(silence)),
            };
            let command = if never_ran { "was not started" } else { "was stopped" };
            report::say(&format!("{}: the lock was lost ({why}); the command {command}", self.words.names()));
            return Ok(Exit::Lost);
        }
        run::conclude(ended, command)
    }
}

/// A command, and how to run it.
pub struct Execution<'a> {
    pub command: &'a [OsString],
    /// The command does not inherit the pipe.
    pub close: bool,
    pub limit: Option<Limit>,
}

/// Stops the command before its lock ends, even without the keeper.
#[derive(Debug)]
struct Lead<'a> {
    leash: Leash,
    tree: &'a Tree,
}

impl Tether for Lead<'_> {
    fn may_start(&self) -> bool {
        self.leash.admit()
    }

    fn attend(&self) -> Duration {
        let Some(command) = self.leash.command() else { return NAP };
        keeper::attend(self.leash, self.tree, command).saturating_sub(sys::now()).min(NAP)
    }
}

/// A name, safe to print.
pub fn shown(name: Vec<u8>) -> String {
    Escaped::new(&OsString::from_vec(name)).to_string()
}
