//! What the tests share: how to call gtlock, and how to hold a lock without sleeping.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::Cluster;

/// Whatever takes longer has failed. Nothing under test takes nearly as long.
pub const WATCHDOG: Duration = Duration::from_mins(2);

/// A command in Perl that prints a line, then writes the time since boot into a file, over and over. With a second argument it
/// ignores SIGTERM.
const BEAT: &str = r#"
    use Time::HiRes qw(clock_gettime usleep);
    $SIG{TERM} = 'IGNORE' if $ARGV[1];
    open my $beats, '>', $ARGV[0] or die;
    syswrite STDOUT, "beats $$\n";
    while (1) { sysseek $beats, 0, 0; syswrite $beats, sprintf "%020.6f", clock_gettime(7); usleep 1000; }
"#;

/// A command in Perl that prints the time since boot.
pub const TIME: [&str; 3] =
    ["perl", "-e", "use Time::HiRes 'clock_gettime'; printf qq(%.6f\n), clock_gettime(7)"];

/// The program, with the locks of a cluster.
pub fn gtlock(cluster: &Cluster) -> Command {
    let mut gtlock = Command::new(env!("CARGO_BIN_EXE_gtlock-etcd"));
    for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GTLOCK_")) {
        gtlock.env_remove(name);
    }
    gtlock.env("GTLOCK_AT", cluster.at()).envs(cluster.environment.iter().map(|(name, path)| (name, path)));
    gtlock
}

/// A line of a shell, in which gtlock is the program. Its output can be read.
pub fn as_shell(cluster: &Cluster, line: &str) -> Command {
    let mut shell = Command::new("sh");
    for (name, value) in gtlock(cluster).get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let function = concat!("gtlock() { '", env!("CARGO_BIN_EXE_gtlock-etcd"), "' \"$@\"; }");
    shell.args(["-c", &format!("{function}; {line}")]);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// The text of docs/cluster.md.
pub fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cluster.md");
    fs::read_to_string(page).expect("the page is there")
}

/// A gtlock with options as they are typed, and a name at the end.
pub fn typed(cluster: &Cluster, options: &str, name: impl AsRef<OsStr>) -> Launch {
    let mut gtlock = gtlock(cluster);
    gtlock.args(options.split(' ')).arg(name);
    Launch(gtlock)
}

/// A gtlock that has not started yet.
pub struct Launch(pub Command);

impl Launch {
    /// Adds options, the last of which takes a name.
    pub fn and(mut self, options: &str, name: impl AsRef<OsStr>) -> Self {
        self.0.args(options.split(' ')).arg(name);
        self
    }

    /// Adds a command.
    pub fn command(mut self, words: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        self.0.arg("--").args(words);
        self
    }

    /// Runs it until it ends.
    pub fn end(mut self) -> End {
        End(self.0.stdin(Stdio::null()).output().expect("gtlock starts"))
    }

    /// Starts it, with pipes to read what it prints.
    pub fn start(mut self) -> Running {
        let gtlock = self.0.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut gtlock = gtlock.spawn().expect("gtlock starts");
        let (stdout, stderr) = (gtlock.stdout.take().expect("piped"), gtlock.stderr.take().expect("piped"));
        Running { stdin: gtlock.stdin.take(), stdout: lines(stdout), stderr: lines(stderr), gtlock }
    }

    /// Starts it with a command that runs until released. Returns once the locks are held.
    #[track_caller]
    pub fn hold(self) -> Running {
        let mut holder = self.command(["cat"]).start();
        holder.prove_held();
        holder
    }

    /// Starts it with a command that writes the time into a file. Returns once it does.
    #[track_caller]
    pub fn beat(self, file: &Path, ignores_term: bool) -> Running {
        let ignores: &OsStr = if ignores_term { "1".as_ref() } else { "".as_ref() };
        let holder =
            self.command(["perl".as_ref(), "-e".as_ref(), BEAT.as_ref(), file.as_os_str(), ignores]).start();
        assert!(holder.line().starts_with("beats "));
        holder
    }
}

/// How a gtlock ended.
pub struct End(pub Output);

impl End {
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.0.status.code(), Some(code), "{:?}", self.0);
        self
    }

    #[track_caller]
    pub fn stderr(self, has: &str) -> Self {
        assert!(self.said().contains(has), "{has:?} is not in {:?}", self.said());
        self
    }

    #[track_caller]
    pub fn silent(self) -> Self {
        assert_eq!(self.said(), "");
        self
    }

    #[track_caller]
    pub fn stdout(self, is: &str) -> Self {
        assert_eq!(self.printed(), is, "{:?}", self.0);
        self
    }

    pub fn is_success(&self) -> bool {
        self.0.status.success()
    }

    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    /// What it prints on standard error, without the warning about an old etcd.
    pub fn said(&self) -> String {
        without_warning(&self.raw())
    }

    /// All that it prints on standard error.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }
}

pub fn without_warning(said: &str) -> String {
    said.split_inclusive('\n').filter(|line| !line.contains("can end leases early")).collect()
}

/// A gtlock that runs.
pub struct Running {
    pub gtlock: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Running {
    /// Returns once the command, a cat, has answered: while it runs, the locks are held.
    #[track_caller]
    pub fn prove_held(&mut self) {
        writeln!(self.stdin.as_mut().expect("only release takes it"), "held").expect("the command reads");
        assert_eq!(self.line(), "held");
    }

    /// The next line that the command prints.
    #[track_caller]
    pub fn line(&self) -> String {
        match self.stdout.recv_timeout(WATCHDOG) {
            Ok(line) => line,
            Err(e) => panic!("no line: {e}; {:?}", self.stderr.try_iter().collect::<Vec<_>>()),
        }
    }

    /// The next line that gtlock prints, other than the warning about an old etcd.
    #[track_caller]
    pub fn said(&self) -> String {
        loop {
            let line = self.stderr.recv_timeout(WATCHDOG).expect("a line");
            if !without_warning(&line).is_empty() {
                return line;
            }
        }
    }

    /// Ends the command. Returns the exit status of gtlock.
    #[track_caller]
    pub fn release(mut self) -> i32 {
        self.stdin = None;
        self.code()
    }

    /// Waits for gtlock to end. Returns its exit status.
    #[track_caller]
    pub fn code(&mut self) -> i32 {
        let status = self.status();
        status.code().unwrap_or_else(|| panic!("{status}"))
    }

    #[track_caller]
    pub fn status(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("gtlock ends", || {
            status = self.gtlock.try_wait().expect("it is ours");
            status.is_some()
        });
        status.expect("it has ended")
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.gtlock.id().try_into().expect("a process ID"))
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it is there");
    }

    /// The processes that it has started: the keeper, and the command.
    #[track_caller]
    pub fn children(&self) -> Vec<Pid> {
        let pid = self.gtlock.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it lives");
        let pids = children.split_ascii_whitespace().map(|child| child.parse().expect("a process ID"));
        pids.map(Pid::from_raw).collect()
    }

    /// Its second process.
    #[track_caller]
    pub fn keeper(&self) -> Pid {
        let is_gtlock = |child: &Pid| {
            let exe = fs::read_link(format!("/proc/{child}/exe"));
            exe.is_ok_and(|exe| exe.file_name() == Some("gtlock-etcd".as_ref()))
        };
        self.children().into_iter().find(is_gtlock).expect("it has one")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.gtlock.kill();
        let _ = self.gtlock.wait();
    }
}

/// The lines of an output, read by a thread.
fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    lines
}

/// Waits for something to come true.
#[track_caller]
pub fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_true() {
        assert!(started.elapsed() < WATCHDOG, "not within {WATCHDOG:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Says that a test cannot run here. Not with a macro: the test harness would hide its output.
pub fn skip(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {what}: {why}");
}

/// The last time that a command of [`Launch::beat`] wrote.
#[track_caller]
pub fn last_beat(file: &Path) -> f64 {
    let beat = fs::read_to_string(file).expect("it was written");
    beat.trim().parse().expect("a time")
}

/// A directory of the test's own.
pub fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("beats");
    (dir, file)
}

/// What `status --json` shows of a lock.
#[track_caller]
pub fn status_of(cluster: &Cluster, name: impl Into<OsString>) -> serde_json::Value {
    let output = gtlock(cluster).args(["status", "--json"]).arg(name.into()).output().expect("gtlock starts");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    document["locks"][0].clone()
}

/// Returns once `count` requests wait for a lock.
#[track_caller]
pub fn waiters(cluster: &Cluster, name: &str, count: usize) {
    eventually("they wait", || {
        status_of(cluster, name)["waiters"].as_array().is_some_and(|all| all.len() == count)
    });
}
