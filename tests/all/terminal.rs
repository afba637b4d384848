//! What a terminal does to gtlock and to its command: Ctrl-C, Ctrl-\, Ctrl-Z, a new size, a hang-up.
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};

use crate::common::{
    Holder, LISTEN, Lines, WATCHDOG, assert_free, assert_held, data, end_of, eventually, gtlock_process,
    process, typed,
};
use nix::fcntl::OFlag;
use nix::libc;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::Pid;

const CTRL_C: &[u8] = b"\x03";
const CTRL_D: &[u8] = b"\x04";
const CTRL_Z: &[u8] = b"\x1a";
const CTRL_BACKSLASH: &[u8] = b"\x1c";

/// A terminal, and the program that leads its session.
struct Terminal {
    keyboard: File,
    screen: Lines,
    slave: PathBuf,
    leader: Child,
}

impl Terminal {
    /// Starts a shell script as a terminal would a login shell; `$1` is the data file.
    fn script(shell: &str, script: &str, data: &Path) -> Self {
        let (keyboard, slave) = pseudo_terminal();
        let screen = keyboard.try_clone().expect("descriptors are left");
        let device = |path: &Path| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(libc::O_NOCTTY)
                .open(path)
                .expect("a terminal")
        };
        let mut leader = session(&[shell, "-c", script, shell], data);
        leader.stdin(device(&slave)).stdout(device(&slave)).stderr(device(&slave));
        let leader = leader.spawn().expect("setsid starts");
        Self { keyboard, screen: Lines::of(screen), slave, leader }
    }

    /// Starts a command as a job of a shell that shows how it stopped, waits for a line, and continues it.
    fn job(command: &str, data: &Path) -> Self {
        let script =
            format!("set -m\n{command}\necho \"stopped $?\"; read -r go; fg >/dev/null; echo \"ended $?\"");
        Self::script("bash", &script, data)
    }

    fn types(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).expect("the terminal is there");
    }

    fn shows(&self, line: &str) {
        assert_eq!(self.screen.line(), line);
    }

    /// Returns when it shows a line. Shells and their jobs say more than the tests ask for.
    fn shows_among_others(&self, line: &str) {
        while self.screen.line() != line {}
    }

    fn end(mut self) -> ExitStatus {
        end_of(&mut self.leader)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.leader.kill(); // the others of its session get a hang-up
        let _ = self.leader.wait();
    }
}

/// A new terminal: the side that a person sits at, and the path of the other. It does not echo.
fn pseudo_terminal() -> (File, PathBuf) {
    // Close-on-exec from the start, so that no other test's process keeps the terminal from hanging up.
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("a terminal");
    grantpt(&master).expect("it is ours");
    unlockpt(&master).expect("it is ours");
    let slave = PathBuf::from(ptsname_r(&master).expect("it has a name"));
    let mut modes = tcgetattr(&master).expect("a terminal has modes");
    modes.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&master, SetArg::TCSANOW, &modes).expect("they can be set");
    (std::os::fd::OwnedFd::from(master).into(), slave)
}

/// A program that will lead a session on the terminal on its standard input.
fn session(program: &[&str], data: &Path) -> Command {
    let mut setsid = process("setsid");
    setsid.env("LISTEN", LISTEN).arg("--ctty").args(program).arg(data);
    setsid
}

/// The process IDs of a command and of its gtlock, as [`LISTEN`] prints them.
fn pids(line: &str) -> (Pid, Pid) {
    let mut pids = line.split(' ').map(|pid| Pid::from_raw(pid.parse().expect("a process ID")));
    (pids.next().expect("a process ID"), pids.next().expect("a process ID"))
}

#[test]
fn what_is_typed_reaches_the_command_once() {
    let (_dir, data) = data();
    let in_the_group_of_a_shell =
        r#"trap : INT QUIT; gtlock run --write "$1" -- perl -MPOSIX -e "$LISTEN"; echo "ended $?""#;
    let leading_the_session = r#"exec gtlock run --write "$1" -- perl -MPOSIX -e "$LISTEN""#;
    let command_has_left_the_group =
        r#"trap : INT QUIT; gtlock run --write "$1" -- perl -MPOSIX -e "setpgid(0, 0); $LISTEN""#;
    let command_has_left_the_session =
        r#"trap : INT QUIT; gtlock run --write "$1" -- setsid perl -MPOSIX -e "$LISTEN""#;
    for script in [
        in_the_group_of_a_shell,
        leading_the_session,
        command_has_left_the_group,
        command_has_left_the_session,
    ] {
        let mut terminal = Terminal::script("sh", script, &data);
        let (command, gtlock) = pids(&terminal.screen.line());
        // The second signal comes after whatever came of the first.
        let once = |terminal: &Terminal, heard: &str| {
            terminal.shows(heard);
            kill(gtlock, Signal::SIGUSR1).expect("gtlock is there");
            terminal.shows("USR1");
        };
        terminal.types(CTRL_C);
        once(&terminal, "INT");
        terminal.types(CTRL_BACKSLASH);
        once(&terminal, "QUIT");
        for rows in ["33", "44"] {
            let stty = Command::new("stty").arg("-F").arg(&terminal.slave).args(["rows", rows]).status();
            assert!(stty.expect("stty runs").success());
            once(&terminal, "WINCH");
        }
        kill(command, Signal::SIGKILL).expect("the command is there");
        terminal.end();
        assert_free(&data);
    }
}

#[test]
fn ctrl_c_ends_gtlock_with_its_command() {
    let (_dir, data) = data();
    let script = r#"exec gtlock run --write "$1" -- sh -c 'echo ready; exec sleep 60'"#;
    let mut terminal = Terminal::script("sh", script, &data);
    terminal.shows("ready");
    terminal.types(CTRL_C);
    let ended = terminal.end();
    assert_eq!(ended.signal(), Some(libc::SIGINT), "{ended}");
    assert_free(&data);
}

#[test]
fn what_outlives_ctrl_c_keeps_the_lock() {
    for (first, code) in [("", 130), ("trap \"exit 3\" INT;", 3)] {
        let (_dir, data) = data();
        // What a shell runs in the background does not hear of Ctrl-C. It lives as long as the terminal.
        let script = format!(
            r#"trap : INT
            gtlock run --write "$1" -- sh -c 'exec 3<&0; {first} {{ echo ready; exec cat <&3; }} & wait'
            echo "ended $?"
            while :; do read -r go; done"#
        );
        let mut terminal = Terminal::script("sh", &script, &data);
        terminal.shows("ready");
        terminal.types(CTRL_C);
        let stays = terminal.screen.line();
        let stays = stays
            .split_once(": the command was cut off; the lock stays with ")
            .map(|(_, who)| who.to_owned());
        assert!(stays.as_ref().is_some_and(|who| who.ends_with(" (cat)")), "{stays:?}");
        terminal.shows(&format!("ended {code}"));
        assert_held(&data);
        drop(terminal);
        eventually("the lock is free", || typed("try -q --write", &data).succeeds());
    }
}

#[test]
fn one_ctrl_c_stops_the_loop_of_a_shell() {
    let (_dir, data) = data();
    let script =
        r#"while :; do gtlock run --write "$1" -- sh -c 'echo ready; exec sleep 60'; echo again; done"#;
    let mut terminal = Terminal::script("bash", script, &data);
    terminal.shows("ready");
    terminal.types(CTRL_C);
    let ended = end_of(&mut terminal.leader);
    assert_eq!((terminal.screen.line_or_end(), ended.signal()), (None, Some(libc::SIGINT)));
}

#[test]
fn ctrl_c_ends_a_command_that_has_left_the_process_group() {
    let (_dir, data) = data();
    let script = r#"exec gtlock run --write "$1" -- timeout 60 sh -c 'echo ready; exec sleep 60'"#;
    let mut terminal = Terminal::script("sh", script, &data);
    terminal.shows("ready");
    terminal.types(CTRL_C);
    // timeout(1) returns 130 instead if the key comes before it knows its own child, which then goes on.
    let ended = terminal.end();
    match ended.code() {
        Some(130) => assert_held(&data),
        _ => assert_free(&data),
    }
    assert!(ended.signal() == Some(libc::SIGINT) || ended.code() == Some(130), "{ended}");
}

#[test]
fn ctrl_c_ends_gtlock_under_timeout() {
    let (_dir, data) = data();
    // With job control, as at a prompt: timeout leads a group of its own, in the foreground.
    let script = r#"set -m; timeout 60 gtlock run --write "$1" -- sh -c 'echo ready; exec sleep 60'"#;
    let mut terminal = Terminal::script("sh", script, &data);
    terminal.shows("ready");
    terminal.types(CTRL_C);
    // timeout(1) now and then returns 130 instead of dying of the signal, gtlock or not.
    let ended = terminal.end();
    assert!(ended.signal() == Some(libc::SIGINT) || ended.code() == Some(130), "{ended}");
    assert_free(&data);
}

#[test]
fn ctrl_c_is_not_lost_while_the_command_is_being_started() {
    let (_dir, data) = data();
    for microseconds in (0..6000).step_by(60) {
        // Once the terminal has shown the line, the shell does nothing but start gtlock. The pauses are
        // for the key to find it at one point after another of its start.
        let script = r#"echo go; exec gtlock run --write "$1" -- sleep 60"#;
        let mut terminal = Terminal::script("sh", script, &data);
        terminal.shows("go");
        std::thread::sleep(std::time::Duration::from_micros(microseconds));
        terminal.types(CTRL_C);
        assert_eq!(terminal.end().signal(), Some(libc::SIGINT), "after {microseconds} us");
    }
}

#[test]
fn ctrl_c_ends_a_wait_without_running_the_command() {
    let (dir, data) = data();
    let holder = Holder::writer(&data);
    let script = r#"exec gtlock run -v --write "$1" -- touch "$1.ran""#;
    let mut terminal = Terminal::script("sh", script, &data);
    assert!(terminal.screen.line().contains("waiting"));
    terminal.types(CTRL_C);
    let ended = terminal.end();
    assert_eq!(ended.signal(), Some(libc::SIGINT), "{ended}");
    holder.release();
    assert_free(&data);
    assert!(!dir.path().join("state.json.ran").exists());
}

#[test]
fn ctrl_z_stops_gtlock_and_its_command_and_fg_continues_both() {
    let (_dir, data) = data();
    let command = r#"gtlock run --write "$1" -- sh -c 'echo "$$ $PPID"; exec cat'"#;
    let mut terminal = Terminal::job(command, &data);
    let (command, gtlock) = pids(&terminal.screen.line());
    let is_stopped = |pid: Pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
        stat.rsplit(')').next().is_some_and(|fields| fields.trim_start().starts_with('T'))
    };
    terminal.types(CTRL_Z);
    terminal.shows_among_others("stopped 148");
    eventually("both are stopped", || is_stopped(command) && is_stopped(gtlock));
    assert_held(&data);
    terminal.types(b"go\n");
    eventually("both run", || !is_stopped(command) && !is_stopped(gtlock));
    terminal.types(b"held\n");
    terminal.shows("held");
    terminal.types(CTRL_D);
    terminal.shows("ended 0");
}

#[test]
fn a_command_that_stops_itself_stops_gtlock_and_fg_continues_both() {
    let (_dir, data) = data();
    let command = r#"gtlock run --write "$1" -- sh -c 'kill -TSTP $$; exec cat'"#;
    let mut terminal = Terminal::job(command, &data);
    terminal.shows_among_others("stopped 148");
    assert_held(&data);
    terminal.types(b"go\n");
    terminal.types(b"held\n");
    terminal.shows("held");
    terminal.types(CTRL_D);
    terminal.shows("ended 0");
}

#[test]
fn a_shell_that_suspends_itself_gives_the_terminal_back() {
    let (_dir, data) = data();
    let command = r#"PS1= gtlock run --write "$1" -- bash --norc --noediting -i"#;
    let mut terminal = Terminal::job(command, &data);
    terminal.types(b"echo ready\n");
    terminal.shows_among_others("ready");
    terminal.types(b"suspend\n");
    terminal.shows_among_others("stopped 147");
    assert_held(&data);
    terminal.types(b"go\n");
    terminal.types(b"exit\n");
    terminal.shows_among_others("ended 0");
}

#[test]
fn a_command_hears_of_a_hang_up_that_only_gtlock_is_told_of() {
    let (_dir, data) = data();
    // The kernel tells the leader of the session: gtlock, under `ssh -t` or in a container.
    let (keyboard, slave) = pseudo_terminal();
    let slave = OpenOptions::new().read(true).custom_flags(libc::O_NOCTTY).open(slave).expect("a terminal");
    let script = r#"exec gtlock run --write "$1" -- perl -MPOSIX -e "$LISTEN""#;
    let mut leader = session(&["sh", "-c", script, "sh"], &data);
    let mut leader = leader.stdin(slave).stdout(Stdio::piped()).spawn().expect("setsid starts");
    let heard = Lines::of(leader.stdout.take().expect("it is piped"));
    let (command, gtlock) = pids(&heard.line());
    drop(keyboard);
    assert_eq!(heard.line(), "HUP");
    assert_eq!(heard.line(), "CONT");
    kill(gtlock, Signal::SIGUSR1).expect("gtlock is there");
    assert_eq!(heard.line(), "USR1");
    kill(command, Signal::SIGKILL).expect("the command is there");
    end_of(&mut leader);
}

/// Everything that is written to a terminal, as it comes.
struct Glass {
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Glass {
    fn of(terminal: File) -> Self {
        let mut output = terminal.try_clone().expect("descriptors are left");
        let (send, screen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                let _ = send.send(bytes[..n].to_vec());
            }
        });
        Self { keyboard: terminal, screen, seen: String::new() }
    }

    /// Returns once this has been written.
    fn until(&mut self, text: &str) {
        while !self.seen.contains(text) {
            assert!(self.read(), "no {text:?} before the end of the output: {:?}", self.seen);
        }
    }

    /// Reads on until nobody has the terminal open any more.
    fn read_to_end(&mut self) {
        while self.read() {}
    }

    fn read(&mut self) -> bool {
        match self.screen.recv_timeout(WATCHDOG) {
            Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => panic!("nothing more within {WATCHDOG:?}: {:?}", self.seen),
        }
        true
    }
}

/// A `gtlock run` that waits on a terminal of that many columns for a lock with a long story; and the terminal.
fn waiting_on_a_terminal(columns: &str, data: &Path) -> (Child, Glass, Holder) {
    let mut holder = gtlock_process();
    holder.args(["run", "--write"]).arg(data).args([
        "--",
        "sh",
        "-c",
        "exec cat",
        "a command line of some length",
    ]);
    let holder = Holder::running(&mut holder);
    let (terminal, slave) = pseudo_terminal();
    let stty = Command::new("stty").arg("-F").arg(&slave).args(["rows", "24", "cols", columns]).status();
    assert!(stty.expect("stty runs").success());
    let device = || OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(&slave);
    let mut leader = session(&["sh", "-c", r#"exec gtlock run --write "$1" -- echo in"#, "sh"], data);
    leader.env("TERM", "xterm").stdin(device().expect("a terminal"));
    leader.stdout(device().expect("a terminal")).stderr(device().expect("a terminal"));
    let gtlock = leader.spawn().expect("setsid starts");
    drop(leader); // and with it our side of the terminal
    (gtlock, Glass::of(terminal), holder)
}

#[test]
fn a_wait_is_shown_in_a_line_that_lives_and_goes_away() {
    let (_dir, data) = data();
    let (mut gtlock, mut glass, holder) = waiting_on_a_terminal("200", &data);
    let by =
        format!("held for writing by {} (sh -c exec cat a command line of some length) for ", holder.pid());
    glass.until(&format!("gtlock: {}: waiting: {by}", data.display()));
    glass.until(&format!("gtlock: {}: waiting for 1s: {by}", data.display()));
    assert!(!glass.seen.contains('\n'), "it is one line: {:?}", glass.seen);
    assert!(holder.release().success());
    glass.read_to_end();
    assert!(end_of(&mut gtlock).success());
    let (_, after) = glass.seen.rsplit_once("waiting").expect("it was there");
    let (_, after) = after.split_once("\r\x1b[2K").expect("the line is erased");
    assert_eq!(after, "in\r\n");
    assert!(!glass.seen.contains("\x1b[?25l"), "the cursor stays: {:?}", glass.seen);
}

#[test]
fn the_line_of_a_wait_fits_a_narrow_window() {
    let (_dir, data) = data();
    let (mut gtlock, mut glass, holder) = waiting_on_a_terminal("30", &data);
    glass.until("gtlock: ");
    assert!(holder.release().success());
    glass.read_to_end();
    assert!(end_of(&mut gtlock).success());
    let drawn = glass.seen.split("\r\x1b[2K").filter(|drawn| drawn.contains("gtlock: "));
    for line in drawn {
        assert_eq!(line.trim_start_matches('\r').chars().count(), 30, "{:?}", glass.seen);
    }
    assert!(glass.seen.ends_with("\r\x1b[2Kin\r\n"), "{:?}", glass.seen);
}

#[test]
fn ctrl_c_ends_a_wait_that_is_shown_and_leaves_the_cursor() {
    let (_dir, data) = data();
    let (mut gtlock, mut glass, holder) = waiting_on_a_terminal("80", &data);
    glass.until("waiting for ");
    glass.keyboard.write_all(CTRL_C).expect("the terminal is there");
    assert_eq!(end_of(&mut gtlock).signal(), Some(libc::SIGINT));
    glass.read_to_end();
    assert!(!glass.seen.contains("\x1b[?"), "{:?}", glass.seen);
    assert!(holder.release().success());
    assert_free(&data);
}

#[test]
fn a_wait_on_a_terminal_that_can_do_nothing_is_told_in_a_plain_line() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    for term in ["TERM=dumb", "unset TERM;"] {
        let script = format!(r#"{term} exec gtlock run --timeout 2.5 --write "$1" -- true"#);
        let terminal = Terminal::script("sh", &script, &data);
        let by = format!("held for writing by {} (cat) for ", holder.pid());
        let told = format!("gtlock: {}: waiting: {by}", data.display());
        let line = terminal.screen.line();
        assert!(line.starts_with(&told), "{line:?}");
        let refused = terminal.screen.line();
        assert!(refused.contains("timed out") && !refused.contains('\x1b'), "{refused:?}");
        assert_eq!(terminal.end().code(), Some(75));
    }
    assert!(holder.release().success());
}

#[test]
fn a_person_is_shown_the_usage_after_a_wrong_command_line() {
    let (_dir, data) = data();
    let script = "gtlock run --nonsense; gtlock status --nonsense; gtlock --nonsense; echo end";
    let terminal = Terminal::script("sh", script, &data);
    terminal.shows("gtlock: unexpected argument '--nonsense' found (see gtlock run --help)");
    terminal.shows("Usage: gtlock run [OPTIONS] <--read FILE|--write FILE>... -- COMMAND [ARG]...");
    terminal.shows("       gtlock run [OPTIONS] <--read-fd N|--write-fd N>... [-- COMMAND [ARG]...]");
    terminal.shows("       gtlock run --unlock-fd N");
    terminal.shows("gtlock: unexpected argument '--nonsense' found (see gtlock status --help)");
    terminal.shows("Usage: gtlock status [OPTIONS] [PATH]...");
    let hint = "an option goes after its subcommand, as in gtlock run --write FILE -- COMMAND";
    terminal.shows(&format!("gtlock: unexpected argument '--nonsense' found; {hint} (see gtlock --help)"));
    terminal.shows("Usage: gtlock <COMMAND>");
    terminal.shows("end");
    assert!(terminal.end().success());
}

#[test]
fn a_wait_in_the_background_draws_no_live_line() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    let script = r#"set -m; gtlock run --timeout 2.5 --write "$1" -- true & wait $!; echo "ended $?""#;
    let terminal = Terminal::script("bash", script, &data);
    let by = format!("held for writing by {} (cat) for ", holder.pid());
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &String| !line.starts_with("ended")) {
        lines.push(terminal.screen.line());
    }
    assert!(lines.iter().all(|line| !line.contains('\x1b')), "{lines:?}");
    let said: Vec<_> = lines.iter().filter(|line| line.contains(&by)).collect();
    assert!(said.len() == 2 && said[0].contains("waiting: ") && said[1].contains("timed out"), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("ended 75"));
    holder.release();
}

#[test]
fn status_fits_the_terminal_and_says_where_there_is_no_lock() {
    let (dir, data) = data();
    let holder =
        Holder::start(gtlock_process().args(["run", "--label", &"x".repeat(200), "--write"]).arg(&data));
    let script = r#"stty rows 24 cols 70; cd "$(dirname "$1")"; gtlock status; mkdir empty; cd empty; gtlock status
        gtlock status --held -R; gtlock status ../.gastown/locks > piped; cat piped; echo end"#;
    let terminal = Terminal::script("sh", script, &data);
    let lines: Vec<_> =
        std::iter::from_fn(|| Some(terminal.screen.line()).filter(|line| line != "end")).collect();
    let [head, row, nothing, none_held, _, piped] = &lines[..] else { panic!("{lines:?}") };
    assert!(head.starts_with("STATE ") && row.starts_with("held "), "{lines:?}");
    assert!(row.chars().count() == 70 && row.ends_with("x…"), "{lines:?}");
    assert_eq!(nothing, "gtlock: no locks in .gastown/locks");
    assert_eq!(none_held, "gtlock: no lock is held below .");
    assert!(piped.ends_with(&"x".repeat(200)), "{lines:?}");
    holder.release();
    drop(dir);
}
