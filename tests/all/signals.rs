//! How a command ends, which signals reach it, and what else it has of its caller.
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use crate::common::{
    LISTEN, Lines, assert_free, assert_held, children, data, end_of, eventually, gtlock, gtlock_process,
    process, shell, skip, to_its_end, typed,
};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgrp};
use predicates::prelude::*;

/// What [`LISTEN`] listens to, in the order of their numbers in Linux.
const HEARD: [Signal; 14] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGTERM,
    Signal::SIGCONT,
    Signal::SIGXCPU,
    Signal::SIGXFSZ,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGWINCH,
    Signal::SIGIO,
];

/// What else it hears in Linux.
#[cfg(target_os = "linux")]
const HEARD_IN_LINUX: [Signal; 9] = [
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGSEGV,
    Signal::SIGSYS,
    Signal::SIGSTKFLT,
    Signal::SIGPWR,
];

/// A command under gtlock that prints the name of each signal it gets.
struct Listener {
    gtlock: Child,
    command: Pid,
    heard: Lines,
}

impl Listener {
    fn under(data: &Path) -> Self {
        Self::start(gtlock_process().args(["run", "--write"]).arg(data), &[])
    }

    fn start(gtlock: &mut Command, arguments: &[&str]) -> Self {
        gtlock.args(["--", "perl", "-MPOSIX", "-e", LISTEN]).args(arguments);
        let mut gtlock = gtlock.stdout(Stdio::piped()).spawn().expect("gtlock starts");
        let heard = Lines::of(gtlock.stdout.take().expect("it is piped"));
        let ready = heard.line();
        let command = ready.split(' ').next().and_then(|pid| pid.parse().ok());
        let command = Pid::from_raw(command.expect("a process ID"));
        Self { gtlock, command, heard }
    }

    /// Sends a signal to gtlock.
    fn send(&self, signal: Signal) {
        let gtlock = i32::try_from(self.gtlock.id()).expect("a process ID");
        kill(Pid::from_raw(gtlock), signal).expect("gtlock is there");
    }

    /// Sends a signal to gtlock, and asserts that the command gets it, and has got no other since the last.
    fn hears(&self, signal: Signal) {
        self.send(signal);
        assert_eq!(format!("SIG{}", self.heard.line()), signal.as_str());
    }

    /// Kills the command, and asserts that it has got no signal since the last.
    fn end(mut self) -> ExitStatus {
        kill(self.command, Signal::SIGKILL).expect("the command is there");
        assert_eq!(self.heard.line_or_end(), None);
        end_of(&mut self.gtlock)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Not if gtlock was reaped, and the command with it: the number may be another's by now.
        if let Ok(None) = self.gtlock.try_wait() {
            let _ = kill(self.command, Signal::SIGKILL);
            let _ = self.gtlock.kill();
            let _ = self.gtlock.wait();
        }
    }
}

/// The ways to run a command: as a child, and in the place of gtlock.
const WAYS: [&[&str]; 2] = [&["run", "--write"], &["run", "--no-fork", "--write"]];

/// A file with a script for gtlock to run. Another process writes it: had this one the file open for
/// writing, so would a child that another test is just starting, and it could not be executed.
fn script(dir: &Path, name: &str, content: &str, mode: &str) -> PathBuf {
    let script = dir.join(name);
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"printf %s "$2" >"$1" && chmod "$3" "$1""#, "sh"]).arg(&script).args([content, mode]);
    assert!(shell.status().expect("sh starts").success());
    script
}

#[test]
fn the_exit_code_is_the_commands() {
    let (_dir, data) = data();
    for code in [0, 1, 42, 75, 125, 126, 127, 128, 130, 255] {
        typed("run --write", &data)
            .command(["sh", "-c", &format!("exit {code}")])
            .assert()
            .code(code)
            .stdout("")
            .stderr("");
    }
}

#[test]
fn gtlock_dies_of_the_signal_that_the_command_died_of_and_leaves_no_core() {
    let (dir, data) = data();
    let signals = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGKILL,
        libc::SIGUSR1,
        libc::SIGSEGV,
        libc::SIGUSR2,
        libc::SIGPIPE,
        libc::SIGALRM,
        libc::SIGTERM,
        libc::SIGXCPU,
        libc::SIGXFSZ,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGSYS,
    ];
    #[cfg(target_os = "linux")]
    let signals = signals.into_iter().chain([
        libc::SIGSTKFLT,
        libc::SIGIO,
        libc::SIGPWR,
        libc::SIGRTMIN() + 3,
        libc::SIGRTMAX(),
    ]);
    for signal in signals {
        let die = format!("kill -{signal} $$");
        let script = r#"ulimit -c "$(ulimit -H -c)"; exec gtlock run --write "$1" -- sh -c "$2""#;
        let status = shell(script, &data).arg(die).current_dir(&dir).status().expect("the shell starts");
        assert_eq!(status.signal(), Some(signal), "{status}");
        assert!(!status.core_dumped(), "{status}");
        assert_free(&data);
    }
}

#[test]
fn gtlock_dies_of_the_commands_signal_even_if_it_was_started_with_it_ignored_or_blocked() {
    let (_dir, data) = data();
    for signal in [libc::SIGTERM, libc::SIGUSR1, 40] {
        for option in ["--ignore-signal", "--block-signal"] {
            let Some(mut env) = env_with(&format!("{option}={signal}")) else { return };
            let die = "sigprocmask(SIG_UNBLOCK, POSIX::SigSet->new($ARGV[0])); $s = (split ' ', \
                $Config{sig_name})[$ARGV[0]]; $SIG{$s} = 'DEFAULT'; kill $ARGV[0], $$; sleep 60";
            env.args(["gtlock", "run", "--write"]).arg(&data);
            env.args(["--", "perl", "-MPOSIX", "-MConfig", "-e", die, &signal.to_string()]);
            let status = env.status().expect("env starts");
            assert_eq!(status.signal(), Some(signal), "{option} {status}");
        }
    }
}

#[test]
fn a_shell_sees_128_and_the_signal() {
    let (_dir, data) = data();
    let script = r#"gtlock run --write "$1" -- sh -c 'kill -TERM $$'; echo $?"#;
    to_its_end(shell(script, &data)).assert().success().stdout("143\n");
}

#[test]
fn a_command_that_cannot_be_run_is_126_and_one_that_is_not_there_127() {
    let (dir, data) = data();
    let plain = script(dir.path(), "plain", "echo ran\n", "644");
    let of_nobody = script(dir.path(), "of-nobody", "#!/no/such/interpreter\n", "755");
    let beyond = plain.join("beyond");
    for (program, code, why) in [
        (dir.path(), 126, "cannot be run: "),
        (&plain, 126, "cannot be run: "),
        (&beyond, 126, "cannot be run: "),
        (&of_nobody, 127, "cannot be run: its interpreter was not found"),
        (Path::new("/no/such/program"), 127, "command not found"),
        (Path::new("no-such-program-in-path"), 127, "command not found"),
        (Path::new(""), 127, "command not found"),
    ] {
        for way in WAYS {
            let mut command = gtlock();
            command.args(way).arg(&data).arg("--").arg(program);
            let one_line =
                predicate::str::starts_with("gtlock: ").and(predicate::str::contains("\n").count(1));
            let name = predicate::str::contains(program.to_str().unwrap());
            let says_why = predicate::str::contains(why).and(name);
            command.assert().code(code).stdout("").stderr(one_line.and(says_why));
            assert_free(&data);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_said_of_a_command_that_cannot_be_run_keeps_no_lock_and_can_be_ended() {
    let (_dir, data) = data();
    let (_reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).expect("a pipe");
    while nix::unistd::write(&writer, &[0; 1024]).is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).expect("it can be set"); // whoever writes more waits
    for way in WAYS {
        let mut gtlock = gtlock_process();
        gtlock.args(way).arg(&data).args(["--", "/no/such/program"]);
        gtlock.stderr(writer.try_clone().expect("a descriptor"));
        let mut gtlock = gtlock.spawn().expect("it starts");
        let waits_in = format!("/proc/{}/wchan", gtlock.id());
        eventually("gtlock writes", || {
            fs::read_to_string(&waits_in).is_ok_and(|place| place.contains("pipe"))
        });
        assert_free(&data);
        let pid = Pid::from_raw(gtlock.id().try_into().expect("a process ID"));
        kill(pid, Signal::SIGTERM).expect("it is there");
        assert_eq!(end_of(&mut gtlock).signal(), Some(libc::SIGTERM));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_runtime_that_refuses_clone3_does_not_keep_a_command_from_being_started() {
    let (_dir, data) = data();
    for error in ["EPERM", "ENOSYS"] {
        let Some(mut strace) = injecting(&format!("clone3:error={error}")) else { return };
        strace.args(["gtlock", "run", "--write"]).arg(&data).args(["--", "echo", "ran"]);
        to_its_end(strace).assert().success().stdout("ran\n").stderr("");
        let Some(mut strace) = injecting(&format!("clone3,clone,vfork,fork:error={error}")) else { return };
        strace.args(["gtlock", "run", "--write"]).arg(&data).args(["--", "echo", "ran"]);
        let said = predicate::str::starts_with("gtlock: echo: cannot start a process: ");
        to_its_end(strace).assert().code(125).stdout("").stderr(said);
        assert_free(&data);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_cannot_be_passed_on_is_told() {
    let (_dir, data) = data();
    // As if the command had become another user's.
    let Some(mut strace) = injecting("kill:error=EPERM") else { return };
    strace.args(["gtlock", "run", "-q", "--write"]).arg(&data).args(["--", "perl", "-MPOSIX", "-e", LISTEN]);
    let mut strace = strace.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("strace starts");
    let heard = Lines::of(strace.stdout.take().expect("it is piped"));
    let said = Lines::of(strace.stderr.take().expect("it is piped"));
    let ready = heard.line();
    let (command, gtlock) = ready.split_once(' ').expect("two process IDs");
    let pid = |text: &str| Pid::from_raw(text.parse().expect("a process ID"));
    for (signal, name) in [(Signal::SIGUSR1, "SIGUSR1"), (Signal::SIGTERM, "SIGTERM")] {
        kill(pid(gtlock), signal).expect("gtlock is there");
        let why = "Operation not permitted (os error 1)";
        let expected = format!("gtlock: {name} cannot be passed on to the command, process {command}: {why}");
        assert_eq!(said.line(), expected);
    }
    assert_held(&data);
    kill(pid(command), Signal::SIGKILL).expect("the command is there");
    assert_eq!(heard.line_or_end(), None);
    end_of(&mut strace);
}

/// `strace`, to start a command with whose system calls fail; `None`, said aloud, if that cannot be done here.
#[cfg(target_os = "linux")]
fn injecting(fault: &str) -> Option<Command> {
    let mut strace = process("strace");
    strace.args(["-qq", "-o", "/dev/null", "-e", "signal=none", "-e", &format!("inject={fault}")]);
    if Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|run| run.success()) {
        return Some(strace);
    }
    skip(fault, "no strace");
    None
}

#[test]
fn a_program_in_the_path_that_may_not_be_executed_is_126() {
    let (dir, data) = data();
    script(dir.path(), "tool", "echo ran\n", "644");
    for way in WAYS {
        let mut command = gtlock();
        command.env("PATH", dir.path()).args(way).arg(&data).args(["--", "tool"]);
        command.assert().code(126).stdout("").stderr(predicate::str::contains("tool: cannot be run: "));
    }
}

#[test]
fn a_script_without_an_interpreter_line_is_run_by_the_shell() {
    let (dir, data) = data();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).expect("a new directory");
    fs::create_dir(dir.path().join("tool")).expect("a new directory");
    let by_path = script(&bin, "tool", "echo \"$0\" \"$#\" \"$2\"; exit 7\n", "755");
    let (dir, bin_dir) = (dir.path(), bin.to_str().expect("UTF-8"));
    let output = format!("{bin_dir}/tool 2 two  words\n");
    let elsewhere = Path::new("/");
    let name = Path::new("tool");
    for way in WAYS {
        let run = |program: &Path, path: &str, cwd: &Path| {
            let mut command = gtlock();
            command.env("PATH", path).current_dir(cwd).args(way).arg(&data).arg("--").arg(program);
            command.args(["one", "two  words"]).assert().code(7).stderr("")
        };
        run(&by_path, "/no/such", elsewhere).stdout(output.clone());
        // Through the PATH, past a directory of that name and past one that does not exist.
        run(name, &format!("/no/such:{}:{bin_dir}", dir.display()), elsewhere).stdout(output.clone());
        // Relative: an empty entry of the PATH is the current directory.
        let relative = predicate::str::ends_with("tool 2 two  words\n");
        run(Path::new("./tool"), "/no/such", &bin).stdout(relative.clone());
        run(name, "", &bin).stdout(relative.clone());
        run(name, "bin", dir).stdout(relative);
    }
}

#[test]
fn a_signal_sent_to_gtlock_reaches_the_command_once() {
    let (_dir, data) = data();
    let listener = Listener::under(&data);
    for _ in 0..5 {
        // Whatever came twice would be heard in place of the next.
        for signal in HEARD {
            listener.hears(signal);
        }
    }
    assert_eq!(listener.end().signal(), Some(libc::SIGKILL));
}

#[cfg(target_os = "linux")]
#[test]
fn signals_that_mean_a_fault_and_realtime_signals_reach_the_command_too() {
    let (_dir, data) = data();
    let listener = Listener::under(&data);
    for signal in HEARD_IN_LINUX {
        listener.hears(signal);
    }
    let kill =
        Command::new("sh").args(["-c", "kill -40 $1", "sh", &listener.gtlock.id().to_string()]).status();
    assert!(kill.expect("sh starts").success());
    assert_eq!(listener.heard.line(), "NUM40");
    listener.end();
}

#[test]
fn a_signal_that_the_command_sent_is_not_sent_back() {
    let (_dir, data) = data();
    for signal in ["USR1", "INT", "TERM"] {
        let listener = Listener::start(gtlock_process().args(["run", "--write"]).arg(&data), &[signal]);
        listener.hears(Signal::SIGCONT);
        listener.hears(Signal::SIGUSR2);
        listener.end();
    }
}

#[test]
fn the_lock_is_held_while_the_command_handles_a_signal_and_goes_on() {
    let (_dir, data) = data();
    let listener = Listener::under(&data);
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        listener.hears(signal);
        assert_held(&data);
    }
    listener.end();
    assert_free(&data);
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_that_is_stopped_and_continued_alone_leaves_gtlock_running() {
    let (_dir, data) = data();
    let listener = Listener::under(&data);
    let status = |pid: u32, field: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is there");
        let value = status.lines().find_map(|line| line.strip_prefix(field)).expect("it has the field");
        value.trim().to_owned()
    };
    let (gtlock, command) = (listener.gtlock.id(), listener.command.as_raw().unsigned_abs());
    kill(listener.command, Signal::SIGSTOP).expect("it is there");
    eventually("the command is stopped", || status(command, "State:").starts_with('T'));
    eventually("gtlock has seen it", || {
        let pending = u64::from_str_radix(&status(gtlock, "ShdPnd:"), 16).expect("it is hexadecimal");
        pending & 1 << (libc::SIGCHLD - 1) == 0
    });
    kill(listener.command, Signal::SIGCONT).expect("it is there");
    assert_eq!(listener.heard.line(), "CONT");
    listener.hears(Signal::SIGUSR1);
    listener.end();
}

#[test]
fn an_alarm_set_before_gtlock_was_started_reaches_the_command() {
    let (_dir, data) = data();
    // The kernel sends it, as it sends what is typed on a terminal, but to gtlock alone.
    let mut perl = process("perl");
    perl.args(["-e", "alarm 4; exec @ARGV", "gtlock", "run", "--write"]).arg(&data);
    let listener = Listener::start(&mut perl, &[]);
    assert_eq!(listener.heard.line(), "ALRM");
    listener.hears(Signal::SIGUSR1);
}

#[test]
fn a_signal_that_is_ignored_is_not_passed_on() {
    let (_dir, data) = data();
    for signal in ["HUP", "INT", "USR1"] {
        // The listener would hear it, were it sent: it sets handlers of its own.
        let Some(mut env) = env_with(&format!("--ignore-signal={signal}")) else { return };
        let listener = Listener::start(env.args(["gtlock", "run", "--write"]).arg(&data), &[]);
        listener.send(format!("SIG{signal}").parse().expect("a signal's name"));
        listener.hears(Signal::SIGUSR2);
        listener.end();
    }
}

/// `env` with an option for signals, to start another command with; `None`, said aloud, if it has none.
fn env_with(option: &str) -> Option<Command> {
    static HAS_THEM: OnceLock<bool> = OnceLock::new();
    let mut env = process("env");
    env.arg(option);
    let works = || Command::new("env").args([option, "true"]).output().is_ok_and(|run| run.status.success());
    if *HAS_THEM.get_or_init(works) {
        return Some(env);
    }
    skip(option, "env(1) does not have it");
    None
}

#[cfg(target_os = "linux")]
#[test]
fn signals_ignored_and_blocked_are_the_same_in_the_command() {
    let (_dir, data) = data();
    let in_command = |env: &mut Command| {
        // Without 32 and 33, which are glibc's own.
        let script = r"/^Sig(Blk|Ign):\s*(\S+)/ and printf qq($1 %x\n), hex($2) & ~(3 << 31) while <>";
        let output = env.args(["perl", "-e", script, "/proc/self/status"]).output();
        String::from_utf8(output.expect("env starts").stdout).expect("numbers")
    };
    let all = "HUP,INT,QUIT,TRAP,USR1,USR2,PIPE,ALRM,TERM,CONT,TSTP,TTIN,TTOU,URG,XCPU,XFSZ,VTALRM,PROF,\
        WINCH,IO,PWR,40";
    for option in [
        format!("--ignore-signal={all}"),
        format!("--block-signal={all},CHLD"),
        "--ignore-signal=HUP".to_owned(),
        "--ignore-signal=PIPE".to_owned(),
        "--default-signal=PIPE".to_owned(),
    ] {
        let Some(mut without) = env_with(&option) else { return };
        let callers = in_command(&mut without);
        assert!(callers.contains("Ign"), "{callers}");
        for way in WAYS {
            let Some(mut with) = env_with(&option) else { return };
            let commands = in_command(with.arg("gtlock").args(way).arg(&data).arg("--"));
            assert_eq!(commands, callers, "{option} {way:?}");
        }
    }
}

#[test]
fn the_exit_code_is_the_commands_even_if_sigchld_was_ignored_or_blocked() {
    let (_dir, data) = data();
    for option in ["--ignore-signal=CHLD", "--block-signal=CHLD", "--block-signal"] {
        let Some(mut env) = env_with(option) else { return };
        env.args(["gtlock", "run", "--write"]).arg(&data).args(["--", "sh", "-c", "exit 7"]);
        to_its_end(env).assert().code(7).stdout("").stderr("");
    }
}

#[test]
fn a_command_does_not_start_with_sigchld_ignored() {
    let (_dir, data) = data();
    let Some(mut env) = env_with("--ignore-signal=CHLD") else { return };
    env.args(["gtlock", "run", "--write"]).arg(&data);
    env.args(["--", "perl", "-e", "print $SIG{CHLD} // 'DEFAULT'"]);
    to_its_end(env).assert().success().stdout("DEFAULT");
}

#[test]
fn input_output_directory_and_process_group_are_the_callers() {
    let (dir, data) = data();
    let script = "print scalar <STDIN>; print STDERR qq(error\\n); print getpgrp, qq(\\n)";
    let mut command = gtlock();
    command.args(["run", "--write"]).arg(&data).args(["--", "perl", "-e", script]).write_stdin("input\n");
    command.assert().success().stdout(format!("input\n{}\n", getpgrp())).stderr("error\n");

    let mut command = gtlock();
    command.current_dir(&dir).args(["run", "--write", "state.json", "--", "pwd", "-P"]);
    let directory = dir.path().canonicalize().expect("it is there");
    command.assert().success().stdout(format!("{}\n", directory.display()));
}

#[test]
fn arguments_and_environment_are_any_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let (_dir, data) = data();
    let bytes = OsStr::from_bytes(b"\xff \n'\"$-\x01");
    let mut command = gtlock();
    command.env("BYTES", bytes).args(["run", "--write"]).arg(&data);
    command.args(["--", "sh", "-c", r#"printf %s "$BYTES$1$#""#, "sh"]).arg(bytes).arg("").arg("--write");
    let expected = [bytes.as_bytes(), bytes.as_bytes(), b"3"].concat();
    command.assert().success().stdout(expected).stderr("");
}

#[test]
fn gtlock_runs_with_input_and_output_closed() {
    let (_dir, data) = data();
    for (closed, command, code) in [
        ("<&-", "exit 3", 3),
        (">&-", "exit 3", 3),
        ("2>&-", "exit 3", 3),
        ("<&- >&- 2>&-", "exit 3", 3),
        ("<&- >&- 2>&-", "kill -TERM $$", 143),
    ] {
        let script = format!(r#"gtlock run -v --write "$1" {closed} -- sh -c '{command}'; exit $?"#);
        to_its_end(shell(&script, &data)).assert().code(code);
        let script = format!(r#"exec gtlock run --write "$1" {closed} -- /no/such/program"#);
        to_its_end(shell(&script, &data)).assert().code(127);
    }
    if Path::new("/dev/full").exists() {
        let script = r#"exec gtlock run -v --write "$1" 2>/dev/full -- sh -c 'exit 3'"#;
        to_its_end(shell(script, &data)).assert().code(3);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_descriptor_that_the_caller_closed_stays_closed_for_the_command() {
    let (dir, data) = data();
    let found = dir.path().join("open");
    let look =
        r#"open=; for fd in 0 1 2; do [ -e /proc/$$/fd/$fd ] && open=$open$fd; done; echo "$open" >"$1""#;
    for (closed, open) in [("", "012"), ("<&-", "12"), (">&-", "02"), ("2>&-", "01"), ("<&- >&- 2>&-", "")] {
        for way in WAYS {
            let script = format!(r#"exec gtlock {} "$1" {closed} -- sh -c "$2" sh "$3""#, way.join(" "));
            let mut shell = shell(&script, &data);
            shell.arg(look).arg(&found);
            to_its_end(shell).assert().success();
            assert_eq!(fs::read_to_string(&found).expect("it is there").trim(), open, "{closed} {way:?}");
        }
    }
}

#[test]
fn a_wait_is_ended_by_a_signal_without_running_the_command() {
    let (dir, data) = data();
    let ran = dir.path().join("ran");
    let _holder = crate::common::Holder::writer(&data);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut waiter = gtlock_process();
        waiter.args(["run", "-v", "--write"]).arg(&data).args(["--", "touch"]).arg(&ran);
        let mut waiter = waiter.stderr(Stdio::piped()).spawn().expect("gtlock starts");
        let said = Lines::of(waiter.stderr.take().expect("it is piped"));
        assert!(said.line().contains("waiting"));
        kill(Pid::from_raw(waiter.id().try_into().expect("a process ID")), signal).expect("it waits");
        assert_eq!(end_of(&mut waiter).signal(), Some(signal as i32));
    }
    assert!(!ran.exists());
}

/// `unshare`, to start a command as process 1 with; `None`, said aloud, if that is not allowed here.
#[cfg(target_os = "linux")]
fn as_process_1() -> Option<Command> {
    let options = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child"];
    let works = Command::new("unshare").args(options).arg("true").output();
    if works.is_ok_and(|run| run.status.success()) {
        let mut unshare = process("unshare");
        unshare.args(options).args(["gtlock", "run", "--write"]);
        return Some(unshare);
    }
    skip("gtlock as process 1", "no PID namespaces for this user");
    None
}

#[cfg(target_os = "linux")]
#[test]
fn as_process_1_gtlock_exits_with_128_and_the_signal() {
    let (_dir, data) = data();
    let Some(mut unshare) = as_process_1() else { return };
    unshare.arg(&data).args(["--", "sh", "-c", "kill -TERM $$"]);
    to_its_end(unshare).assert().code(143).stderr("");
}

#[cfg(target_os = "linux")]
#[test]
fn as_process_1_gtlock_reaps_orphans() {
    let (dir, data) = data();
    let Some(mut unshare) = as_process_1() else { return };
    // kill -0 succeeds on a zombie.
    let script = r#"sh -c 'sh -c "echo \$\$; exec true" &' >"$1"
        until [ -s "$1" ]; do sleep 0.01; done
        while kill -0 "$(cat "$1")" 2>/dev/null; do sleep 0.01; done
        exit 7"#;
    unshare.arg(&data).args(["--", "sh", "-c", script, "sh"]).arg(dir.path().join("orphan"));
    to_its_end(unshare).assert().code(7).stderr("");
}

#[cfg(target_os = "linux")]
#[test]
fn as_process_1_gtlock_reaps_orphans_while_it_waits() {
    let (_dir, data) = data();
    let holder = crate::common::Holder::writer(&data);
    let Some(mut unshare) = as_process_1() else { return };
    // What the shell that was process 1 leaves is the child of the gtlock that it becomes, and ends on our word.
    let mut inside = process(unshare.get_program());
    inside.args(unshare.get_args().take_while(|word| *word != "gtlock"));
    let script = r#"(sh -c 'read go' <&3 & exec sh -c 'read go' <&3) & exec gtlock run --write "$1" -- true"#;
    inside.args(["sh", "-c", &format!("exec 3<&0; {script}"), "sh"]).arg(&data);
    unshare = inside;
    let mut unshare = unshare.stdin(Stdio::piped()).spawn().expect("unshare starts");
    let gtlock = || children(unshare.id()).first().copied();
    crate::common::eventually("gtlock waits", || gtlock().is_some());
    let gtlock = gtlock().expect("as before");
    crate::common::waits_in_kernel(gtlock, &data);
    assert!(!children(gtlock).is_empty());
    drop(unshare.stdin.take()); // ends them
    crate::common::eventually("they are reaped", || children(gtlock).is_empty());
    assert!(holder.release().success());
    assert!(end_of(&mut unshare).success());
}

#[cfg(target_os = "linux")]
#[test]
fn as_process_1_gtlock_passes_signals_on() {
    let (_dir, data) = data();
    let Some(mut unshare) = as_process_1() else { return };
    unshare.arg(&data).args(["--", "perl", "-MPOSIX", "-e", LISTEN]);
    let mut unshare = unshare.stdout(Stdio::piped()).spawn().expect("unshare starts");
    let heard = Lines::of(unshare.stdout.take().expect("it is piped"));
    let ids = heard.line();
    assert_eq!(ids.split(' ').nth(1), Some("1"), "the parent of the command: {ids}");
    let [gtlock] = children(unshare.id())[..] else { panic!("unshare has one child") };
    let gtlock = Pid::from_raw(gtlock.try_into().expect("a process ID"));
    for signal in [Signal::SIGTERM, Signal::SIGUSR1] {
        kill(gtlock, signal).expect("gtlock is there");
        assert_eq!(format!("SIG{}", heard.line()), signal.as_str());
    }
    kill(gtlock, Signal::SIGKILL).expect("gtlock is there");
    assert_eq!(heard.line_or_end(), None);
    end_of(&mut unshare);
}

#[cfg(target_os = "linux")]
#[test]
fn as_process_1_gtlock_ends_a_wait_of_the_signals_that_end_processes() {
    let (dir, data) = data();
    let Some(_) = as_process_1() else { return };
    let holder = crate::common::Holder::writer(&data);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        let mut unshare = as_process_1().expect("as before");
        unshare.arg(&data).args(["--", "touch"]).arg(dir.path().join("ran"));
        let mut unshare = unshare.spawn().expect("unshare starts");
        let gtlock = || children(unshare.id()).first().copied();
        crate::common::eventually("unshare has a child", || gtlock().is_some());
        let gtlock = gtlock().expect("as before");
        crate::common::waits_in_kernel(gtlock, &data);
        kill(Pid::from_raw(gtlock.try_into().expect("a process ID")), signal).expect("gtlock is there");
        assert_eq!(end_of(&mut unshare).code(), Some(128 + signal as i32));
    }
    assert!(holder.release().success());
    assert!(!dir.path().join("ran").exists());
}
