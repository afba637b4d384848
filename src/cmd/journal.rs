//! What `run`, `try` and `update` leave in the log of `--log`: a line for each lock that they asked for.

use std::borrow::Cow;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::inquiry::{Answer, Inquiry};
use super::{holders, report};
use crate::cli::{CommonArgs, LOG_VARIABLE};
use crate::escape::Escaped;
use crate::exit::Exit;
use crate::history::{self, Entry, Mode, Moment, Outcome, Span, Text, VERSION, Who};
use crate::lock::{self, FileId, Guard, Kind, Target};
use crate::process::{Liveness, Processes};

mod subject;

use subject::Subject;
pub use subject::{ClusterHolder, ClusterLock};

/// How much of a command or a label is kept, in bytes.
const MAX_TEXT: usize = 4096;

/// The pauses between looks for a holder, each twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// What is noted of a request while it is under way; written when it is over, and the locks are released.
pub struct Journal<'a> {
    log: Option<PathBuf>,
    label: Option<&'a str>,
    command: &'a [OsString],
    /// The same moment on two clocks: one that people read, one that nobody sets.
    asked: SystemTime,
    started: Instant,
    waits: Vec<Wait>,
    locks: Vec<Noted>,
}

/// A wait, and who is found to hold the lock.
struct Wait {
    lock: PathBuf,
    holder: Inquiry<Option<Who<'static>>>,
}

/// A lock that was asked for.
struct Noted {
    subject: Subject,
    /// Its file, if it was obtained.
    file: Option<FileId>,
    slots: Vec<u32>,
    asked: Instant,
    /// Got, refused or given up.
    answered: Instant,
    released: Option<Instant>,
    outcome: Outcome,
    holder: Option<Who<'static>>,
}

impl<'a> Journal<'a> {
    /// Starts the clock. Without a log, nothing is noted.
    #[must_use]
    pub fn new(args: &'a CommonArgs, command: &'a [OsString]) -> Self {
        let named = || env::var_os(LOG_VARIABLE).map(PathBuf::from);
        let log = args.rare.log.clone().or_else(named).filter(|log| !log.as_os_str().is_empty());
        Self {
            log,
            label: args.rare.label.as_deref(),
            command,
            asked: SystemTime::now(),
            started: Instant::now(),
            waits: Vec::new(),
            locks: Vec::new(),
        }
    }

    /// Notes that a wait goes on. Who holds the lock is found out beside it.
    pub fn waits(&mut self, target: &Target) {
        if self.log.is_some() && self.wait_for(target).is_none() {
            let (lock, about) = (target.lock().to_owned(), target.clone());
            let holder = Inquiry::new(move || holder_in_time(&about));
            self.waits.push(Wait { lock, holder });
        }
    }

    fn wait_for(&self, target: &Target) -> Option<&Wait> {
        self.waits.iter().find(|wait| wait.lock == target.lock())
    }

    /// Writes that a lock was not obtained.
    pub fn refused(&mut self, target: &Target, outcome: Outcome) {
        if self.log.is_none() {
            return;
        }
        let answered = Instant::now();
        let about = target.clone();
        let holder = match outcome {
            Outcome::Refused => Inquiry::new(move || holder_of(&about)).wait().flatten(),
            _ => self.found(target),
        };
        self.note_refused(Subject::Here(target.clone()), outcome, answered, holder);
    }

    /// The same for a lock of a cluster, and who held it as far as the cluster knows.
    pub fn refused_by_cluster(&mut self, lock: ClusterLock, outcome: Outcome, holder: Option<ClusterHolder>) {
        let holder = holder.map(Who::from);
        self.note_refused(Subject::InCluster(lock), outcome, Instant::now(), holder);
    }

    fn note_refused(
        &mut self,
        subject: Subject,
        outcome: Outcome,
        answered: Instant,
        holder: Option<Who<'static>>,
    ) {
        let (file, released, asked, slots) = (None, None, self.started, Vec::new());
        self.locks.push(Noted { subject, file, slots, asked, answered, released, outcome, holder });
        self.write(None);
    }

    /// Notes that the locks of a cluster were obtained, all at once, and who held each when the wait for it began.
    pub fn got_from_cluster(
        &mut self,
        locks: impl IntoIterator<Item = (ClusterLock, Option<ClusterHolder>)>,
    ) {
        let (asked, answered) = (self.started, Instant::now());
        self.locks.extend(locks.into_iter().map(|(lock, holder)| Noted {
            subject: Subject::InCluster(lock),
            file: None,
            slots: Vec::new(),
            asked,
            answered,
            released: None,
            outcome: Outcome::Kept, // nothing else is known
            holder: holder.map(Who::from),
        }));
    }

    /// Whether anything is noted.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.log.is_some()
    }

    /// Notes that the locks were obtained.
    pub fn got(&mut self, guard: &Guard) {
        if self.log.is_none() {
            return;
        }
        let mut asked = self.started;
        for locked in guard.locks() {
            let (target, answered) = (locked.target().clone(), locked.taken().max(asked));
            // Who is found from now on came later.
            let holder = self.found(&target);
            let outcome = Outcome::Kept; // nothing else is known
            let slots = locked.slots().collect();
            let (file, released) = (Some(locked.file_id()), None);
            let subject = Subject::Here(target);
            self.locks.push(Noted { subject, file, slots, asked, answered, released, outcome, holder });
            asked = answered;
        }
    }

    /// Who held a lock when the wait for it began, if that is found out by now.
    fn found(&self, target: &Target) -> Option<Who<'static>> {
        match self.wait_for(target)?.holder.poll() {
            Answer::Known(holder) => holder,
            Answer::Pending | Answer::Late => None,
        }
    }

    /// Notes that the locks are let go now.
    pub fn let_go(&mut self, outcome: Outcome) {
        for noted in &mut self.locks {
            (noted.released, noted.outcome) = (Some(Instant::now()), outcome);
        }
    }

    /// Notes that the locks on files are released now, and that those on descriptors stay the caller's.
    pub fn left_to_caller(&mut self) {
        for noted in self.locks.iter_mut().filter(|noted| noted.subject.descriptor().is_none()) {
            (noted.released, noted.outcome) = (Some(Instant::now()), Outcome::Released);
        }
    }

    /// Writes it all down. Whether that succeeds changes nothing else.
    pub fn write(&mut self, exit: Option<Exit>) {
        let Some(log) = self.log.take() else { return };
        if let Some(target) = self.locks.iter().find_map(|noted| noted.subject.is_at(&log)) {
            let what = Escaped::new(target.data());
            report::say(&format!(
                "{}: is not written to as a log: it is {what} or a lock file",
                Escaped::new(&log)
            ));
            return;
        }
        self.locks.iter_mut().for_each(Noted::see_who_is_left);
        let mut inside = lock::enclosing();
        let command = words(self.command);
        for noted in &self.locks {
            let (lock, data) = noted.subject.paths();
            let moment = |instant: Instant| {
                Moment::from(self.asked).after(instant.saturating_duration_since(self.started).into())
            };
            let waited = Span::from(noted.answered - noted.asked);
            let held = noted.released.map(|released| Span::from(released - noted.answered));
            let entry = Entry {
                version: VERSION,
                asked: moment(noted.asked),
                got: noted.outcome.is_acquired().then(|| moment(noted.answered)),
                released: noted.released.map(moment),
                waited,
                held,
                lock: text(lock.as_os_str()),
                data: text(data.as_os_str()),
                mode: match noted.subject.mode() {
                    lock::Mode::Shared => Mode::Read,
                    lock::Mode::Exclusive => Mode::Write,
                },
                slots: noted.slots.clone(),
                pid: process::id(),
                label: self.label.map(start_of),
                command: command.clone(),
                exit: exit.filter(|_| noted.outcome.is_acquired()).map(Exit::code),
                outcome: noted.outcome,
                holder: noted.holder.clone(),
                inside: inside.iter().map(|path| text(path.as_os_str())).collect(),
            };
            if let Err(e) = history::append(&log, &entry) {
                report::say(&format!("{}: cannot write to the log: {e}", Escaped::new(&log)));
                return;
            }
            inside.push(lock);
        }
    }
}

impl Noted {
    /// A lock that was left to what a command was running when it was cut off is released if nothing is left of that.
    fn see_who_is_left(&mut self) {
        let Some(file) = self.file.filter(|_| self.outcome == Outcome::Kept && self.released.is_some())
        else {
            return;
        };
        if Inquiry::new(move || holders::inheritors(file)).wait().is_some_and(|left| left.is_none()) {
            self.outcome = Outcome::Released;
        }
    }
}

/// Looks for the holder of a lock that is waited for. Between two holders there is none for a moment.
fn holder_in_time(target: &Target) -> Option<Who<'static>> {
    let mut pause = FIRST_PAUSE;
    loop {
        let holder = holder_of(target);
        if holder.is_some() || pause > MAX_PAUSE {
            return holder;
        }
        thread::sleep(pause);
        pause *= 2;
    }
}

fn holder_of(target: &Target) -> Option<Who<'static>> {
    let mut processes = Processes::default();
    let holders = match target.kind() {
        Kind::Descriptor(id) => lock::descriptor_holders(id, &mut processes),
        kind => lock::inspect_refused(target.lock(), kind, &mut processes).ok()??.holders,
    };
    let mut others = holders.into_iter().filter(|holder| holder.pid != process::id());
    others.find_map(|holder| match holder.liveness {
        Liveness::Alive(process) => {
            let label = holders::label(&process.command).map(start_of);
            let command = words(holders::command_of(&process.command));
            Some(Who { host: None, pid: holder.pid, label, command })
        }
        _ => None,
    })
}

/// The words of a command, as many as the log keeps.
fn words(command: &[OsString]) -> Vec<Text<'static>> {
    let mut left = MAX_TEXT;
    let mut words = Vec::new();
    for word in command {
        let word = word.to_string_lossy();
        let end = word.floor_char_boundary(left);
        words.push(Text(Cow::Owned(word[..end].to_owned())));
        left -= end;
        if end < word.len() {
            break;
        }
    }
    words
}

/// The one path of a file, which may be gone.
fn canonical(file: &Path) -> PathBuf {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (dir, name) = (lock::canonicalize_missing(parent), file.file_name());
    dir.ok().zip(name).map_or_else(|| file.to_owned(), |(dir, name)| dir.join(name))
}

/// A label, as much of it as the log keeps.
fn start_of(text: &str) -> Text<'static> {
    Text(Cow::Owned(text[..text.floor_char_boundary(MAX_TEXT)].to_owned()))
}

fn text(name: &OsStr) -> Text<'_> {
    Text(name.to_string_lossy())
}
