//! What the tests of the binary share: how to call it, and how to hold a lock for as long as a test
//! wants without sleeping.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;

/// What takes longer has failed. Nothing under test takes anywhere near as long.
pub const WATCHDOG: Duration = Duration::from_mins(1);

/// A command in Perl that prints its process ID and its parent's, and then the name of each signal it gets.
/// It sends its parent the signal that it is given as an argument, if any. It ends of SIGKILL, or when no
/// test can want it any more.
pub const LISTEN: &str = r#"
    # Blocked but while they are waited for, so that none comes between two steps.
    my $all = POSIX::SigSet->new;
    $all->fillset;
    sigprocmask(SIG_BLOCK, $all);
    for (qw(HUP INT QUIT USR1 USR2 ALRM TERM CONT XCPU XFSZ VTALRM PROF WINCH IO
            ILL TRAP ABRT BUS FPE SEGV SYS STKFLT PWR NUM40)) {
        next unless exists $SIG{$_};
        $SIG{$_} = sub { exit if time - $^T > 99; syswrite STDOUT, "$_[0]\n" };
    }
    alarm 100;
    syswrite STDOUT, "$$ " . getppid . "\n";
    kill $ARGV[0], getppid if @ARGV;
    sigsuspend(POSIX::SigSet->new) while 1;
"#;

/// `gtlock`, to be run to its end.
pub fn gtlock() -> assert_cmd::Command {
    to_its_end(gtlock_process())
}

/// `gtlock`, for a test that has to do with the process while it runs.
pub fn gtlock_process() -> Command {
    process(cargo_bin!("gtlock"))
}

/// A `gtlock` as it is typed, such as `try -q --write`, with a file at its end.
pub fn typed(options: &str, file: impl AsRef<OsStr>) -> Launch {
    Launch(gtlock_process()).and(options, file)
}

/// A `gtlock` to be started.
pub struct Launch(Command);

impl Launch {
    /// The same with more options, the last of which takes a file.
    pub fn and(mut self, options: &str, file: impl AsRef<OsStr>) -> Self {
        self.0.args(options.split(' ')).arg(file);
        self
    }

    /// The same with a command.
    pub fn command(mut self, words: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        self.0.arg("--").args(words);
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn assert(self) -> assert_cmd::assert::Assert {
        to_its_end(self.0).assert()
    }

    /// Runs it to its end; whether it got its locks and its command succeeded.
    #[track_caller]
    pub fn succeeds(self) -> bool {
        to_its_end(self.0).ok().is_ok()
    }

    /// Holds what it locks, until released.
    #[track_caller]
    pub fn hold(mut self) -> Holder {
        Holder::start(&mut self.0)
    }
}

/// A program that finds `gtlock` in its PATH, such as a shell.
pub fn process(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GTLOCK_")) {
        command.env_remove(name);
    }
    let gtlock = cargo_bin!("gtlock").parent().map(Path::to_owned);
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(gtlock.into_iter().chain(env::split_paths(&path)));
    command.env("PATH", path.expect("no colon in the path of gtlock"));
    command
}

/// A directory for a test, and a data file in it that does not exist.
pub fn data() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("state.json");
    (dir, data)
}

/// A shell script; `$1` is the data file.
pub fn shell(script: &str, data: &Path) -> Command {
    let mut shell = process("sh");
    shell.args(["-c", script, "sh"]).arg(data);
    shell
}

/// Asserts that somebody holds the lock on a data file exclusively.
#[track_caller]
pub fn assert_held(data: &Path) {
    gtlock().args(["try", "--read"]).arg(data).assert().code(75).stdout("");
}

/// Asserts that nobody holds the lock on a data file.
#[track_caller]
pub fn assert_free(data: &Path) {
    gtlock().args(["try", "--write"]).arg(data).assert().success().stdout("").stderr("");
}

/// A command to be run to its end, but no longer than [`WATCHDOG`], with nothing on standard input.
pub fn to_its_end(command: Command) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::from_std(command);
    command.timeout(WATCHDOG).write_stdin("");
    command
}

/// Waits for a process to end.
#[track_caller]
pub fn end_of(process: &mut Child) -> ExitStatus {
    let mut status = None;
    eventually("the process ends", || {
        status = process.try_wait().expect("it is ours to wait for");
        status.is_some()
    });
    status.expect("it has ended")
}

/// Waits for something to come true.
#[track_caller]
pub fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_true() {
        assert!(started.elapsed() < WATCHDOG, "not within {WATCHDOG:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The lock file of a data file.
pub fn lock_file(data: &Path) -> PathBuf {
    let mut name = data.file_name().expect("a file").to_owned();
    name.push(".lock");
    data.with_file_name(".gastown").join("locks").join(name)
}

/// What `status --json` says of a data file's only lock.
#[track_caller]
pub fn status_of(data: &Path) -> serde_json::Value {
    let output = gtlock().args(["status", "--json"]).arg(data).assert().success().stderr("");
    let document: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).expect("JSON");
    let locks = document["locks"].as_array().expect("a list");
    assert_eq!(locks.len(), 1, "{document}");
    locks[0].clone()
}

/// The lines of a data file to which each command adds one in its turn.
pub fn turns(data: &Path) -> Vec<String> {
    fs::read_to_string(data).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Sends a process a signal, such as one that stops or continues it.
#[track_caller]
pub fn signal(process: &Child, signal: nix::sys::signal::Signal) {
    let pid = nix::unistd::Pid::from_raw(process.id().try_into().expect("a process ID"));
    nix::sys::signal::kill(pid, signal).expect("it is there");
}

/// Returns once each thread of a process is stopped: before that it could still be given the lock.
#[cfg(target_os = "linux")]
#[track_caller]
pub fn are_stopped(process: &Child) {
    eventually("each of its threads is stopped", || {
        let threads = fs::read_dir(format!("/proc/{}/task", process.id())).expect("it lives");
        let stat = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("stat"));
        threads.filter_map(Result::ok).all(|thread| stat(thread).is_ok_and(|stat| stat.contains(") T ")))
    });
}

/// The children of a process, that is of its first thread.
pub fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_ascii_whitespace().map(|child| child.parse().expect("a process ID")).collect()
}

/// Returns once a process waits in line for the lock of a data file.
#[cfg(target_os = "linux")]
#[track_caller]
pub fn waits_in_kernel(pid: u32, data: &Path) {
    eventually("it waits in line", || places(pid, data).next().is_some());
}

/// The places in the line for the lock of a data file that a process has taken.
#[cfg(target_os = "linux")]
pub fn places(pid: u32, data: &Path) -> impl Iterator<Item = u64> + use<> {
    bytes(pid, data).filter(|&byte| byte >= 1 << 62)
}

/// The seats in the waiting room of a lock, and the slots of it, that a process has taken.
#[cfg(target_os = "linux")]
pub fn seats_and_slots(pid: u32, data: &Path) -> usize {
    bytes(pid, data).filter(|&byte| byte < 1 << 62).count()
}

/// The bytes of the lock file of a data file that a process has locked.
#[cfg(target_os = "linux")]
fn bytes(pid: u32, data: &Path) -> impl Iterator<Item = u64> + use<> {
    use std::os::unix::fs::MetadataExt;
    let inode = std::fs::metadata(lock_file(data)).map_or(0, |lock| lock.ino());
    let fdinfos = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten();
    let locks = fdinfos.filter_map(|fdinfo| std::fs::read_to_string(fdinfo.ok()?.path()).ok());
    let lines: Vec<String> =
        locks.flat_map(|locks| locks.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    // `lock: 1: OFDLCK  ADVISORY  WRITE -1 fd:00:81234 4611686018427392027 4611686018427392027`
    let of_lock = move |line: &String| line.contains("OFDLCK") && line.contains(&format!(":{inode} "));
    lines.into_iter().filter(of_lock).filter_map(|line| line.split_ascii_whitespace().last()?.parse().ok())
}

/// Everything below a directory: the kind of each entry, its content, and when it was changed.
#[cfg(unix)]
pub fn snapshot(dir: &Path) -> std::collections::BTreeMap<PathBuf, String> {
    use std::os::unix::fs::MetadataExt;
    let mut found = std::collections::BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("it is there");
            let content = if metadata.is_file() && metadata.len() < 1 << 20 {
                std::fs::read(&path).expect("it can be read").escape_ascii().to_string()
            } else {
                format!("{} bytes", metadata.len())
            };
            let (mode, inode) = (metadata.mode(), metadata.ino());
            let changed = (metadata.mtime(), metadata.mtime_nsec());
            found.insert(path.clone(), format!("{mode:o} {inode} {changed:?} {content}"));
            if metadata.is_dir() {
                left.push(path);
            }
        }
    }
    found
}

/// A program that root's privileges do not help: run as nobody if this is root. `None`, and a word about
/// it, where that is not to be had.
#[cfg(unix)]
pub fn unprivileged(program: impl AsRef<OsStr>, what: &str) -> Option<Command> {
    use std::os::unix::fs::MetadataExt;
    let is_root = std::fs::metadata("/proc/self").map_or(true, |me| me.uid() == 0);
    if !is_root {
        return Some(process(program));
    }
    let as_nobody = || {
        let mut command = process("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command
    };
    let gtlock_runs = as_nobody().arg(cargo_bin!("gtlock")).arg("--version").output();
    if !gtlock_runs.is_ok_and(|output| output.status.success()) {
        skip(what, "no setpriv, or nobody may not run gtlock where it is");
        return None;
    }
    let mut command = as_nobody();
    command.arg(program.as_ref());
    Some(command)
}

/// Says that a test, or a part of it, cannot be done here. Not through a macro, whose output the test
/// harness would hide.
pub fn skip(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {what}: {why}");
}

/// Whether the kernel tells who took a lock once that process is gone. To a PID namespace (a container) it does not, so
/// gtlock cannot know there since when the command of a killed gtlock holds the lock, nor that nobody will release it.
pub fn dead_takers_are_shown() -> bool {
    const INITIAL: &str = "pid:[4026531836]"; // PROC_PID_INIT_INO of the kernel
    let namespace = fs::read_link("/proc/self/ns/pid");
    namespace.map_or(cfg!(target_os = "linux"), |namespace| namespace == Path::new(INITIAL))
}

/// A gtlock that strace has stopped after one of its system calls.
pub struct Stopped {
    strace: Child,
    gtlock: nix::unistd::Pid,
}

impl Stopped {
    /// Runs a gtlock, here without its program, until the call of this name and number has returned. `outer` runs strace;
    /// it may be strace itself. `None` with a line if strace may not trace.
    pub fn after(call: &str, which: usize, outer: &mut Command, arguments: &[&OsStr]) -> Option<Self> {
        let trace = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::set_permissions(trace.path(), std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .expect("it is ours");
        outer.arg("-fo").arg(trace.path()).arg(format!("-einject={call}:signal=STOP:when={which}"));
        outer.arg(assert_cmd::cargo::cargo_bin!("gtlock")).args(arguments);
        let Ok(mut strace) = outer.spawn() else {
            skip(&format!("a stop after {call}"), "no strace");
            return None;
        };
        let mut has_ended = None;
        eventually("it stops", || {
            has_ended = strace.try_wait().expect("it is ours");
            has_ended.is_some()
                || fs::read_to_string(trace.path()).is_ok_and(|trace| trace.contains("stopped by SIGSTOP"))
        });
        if has_ended.is_some() {
            skip(&format!("a stop after {call}"), "strace may not trace");
            return None;
        }
        let [gtlock] = children(strace.id())[..] else { panic!("strace runs one process") };
        let gtlock = nix::unistd::Pid::from_raw(gtlock.try_into().expect("a process ID"));
        Some(Self { strace, gtlock })
    }

    /// Lets it go on, and waits for its end.
    pub fn go_on(mut self) -> ExitStatus {
        nix::sys::signal::kill(self.gtlock, nix::sys::signal::Signal::SIGCONT).expect("it is stopped");
        end_of(&mut self.strace)
    }
}

/// A running `gtlock` that holds locks until it is told to release them, or dropped.
pub struct Holder {
    gtlock: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines,
}

impl Holder {
    /// Holds the lock on a data file exclusively.
    #[track_caller]
    pub fn writer(data: &Path) -> Self {
        Self::start(gtlock_process().args(["run", "--write"]).arg(data))
    }

    /// Holds the lock on a data file shared.
    #[track_caller]
    pub fn reader(data: &Path) -> Self {
        Self::start(gtlock_process().args(["run", "--read"]).arg(data))
    }

    /// Holds what a `gtlock run`, given here without its command, locks.
    #[track_caller]
    pub fn start(gtlock: &mut Command) -> Self {
        Self::running(gtlock.args(["--", "cat"]))
    }

    /// Holds what a gtlock locks whose command, like cat, gives back lines and ends with its input.
    #[track_caller]
    pub fn running(gtlock: &mut Command) -> Self {
        let mut gtlock = gtlock.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gtlock starts");
        let stdin = gtlock.stdin.take();
        let stdout = Lines::of(gtlock.stdout.take().expect("it is piped"));
        let mut holder = Self { gtlock, stdin, stdout };
        holder.prove_held();
        holder
    }

    /// Returns once the command has answered: while it runs, the locks are held.
    #[track_caller]
    pub fn prove_held(&mut self) {
        self.send("held");
        assert_eq!(self.line(), "held");
    }

    /// Sends the command a line.
    #[track_caller]
    pub fn send(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("only release takes it");
        writeln!(stdin, "{line}").expect("the command reads");
    }

    /// The next line that the command prints.
    #[track_caller]
    pub fn line(&self) -> String {
        self.stdout.line()
    }

    /// The process ID of the holding gtlock.
    pub fn pid(&self) -> u32 {
        self.gtlock.id()
    }

    /// Ends the command, and returns when gtlock has ended too.
    #[track_caller]
    pub fn release(mut self) -> ExitStatus {
        self.stdin = None;
        self.end()
    }

    /// Ends the command.
    pub fn close(&mut self) {
        self.stdin = None;
    }

    /// Returns when gtlock has ended.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        end_of(&mut self.gtlock)
    }

    /// Kills gtlock, and gtlock only.
    #[track_caller]
    pub fn kill(&mut self) {
        self.gtlock.kill().expect("it has not ended");
        self.end();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.stdin = None; // ends the command
        let _ = self.gtlock.kill();
        let _ = self.gtlock.wait();
    }
}

/// The lines that a process prints, as they come.
pub struct Lines(Receiver<String>);

impl Lines {
    /// Reads on in the background, so that [`WATCHDOG`] can end the wait for a line.
    #[track_caller]
    pub fn of(output: impl Read + Send + 'static) -> Self {
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = send.send(line.trim_end_matches('\r').to_owned());
            }
        });
        Self(lines)
    }

    /// The next line.
    #[track_caller]
    pub fn line(&self) -> String {
        self.line_or_end().expect("a line before the end of the output")
    }

    /// The next line; `None` at the end of the output.
    #[track_caller]
    pub fn line_or_end(&self) -> Option<String> {
        match self.0.recv_timeout(WATCHDOG) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing printed within {WATCHDOG:?}"),
        }
    }
}
