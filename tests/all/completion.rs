//! The completions in their own shells: a Tab is typed on a terminal, and the line that it makes is run. In these
//! shells `gtlock` is a function that shows its arguments.
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use crate::common::{WATCHDOG, skip};
use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

/// What a shell does before its first prompt, which is `READY>`. `$1` is the repository. `tabtest` is a command, with a
/// completion of its own.
const SHELLS: [(&str, &[&str], &str, &str); 3] = [
    (
        "bash",
        &["--noprofile", "--rcfile", "rc/bash", "-i"],
        "rc/bash",
        r#"
        bind 'set show-all-if-ambiguous on'; bind 'set completion-query-items 0'; bind 'set page-completions off'
        bind 'set enable-bracketed-paste off'; bind 'set bell-style none'
        [ ! -r /usr/share/bash-completion/bash_completion ] || . /usr/share/bash-completion/bash_completion
        . "$REPOSITORY/completions/gtlock.bash"
        complete -W own-word tabtest
        gtlock() { printf '<%s>' "$@"; echo ' shown'; }
        PS1='READY>'
        "#,
    ),
    (
        "zsh",
        &["-d", "-i"],
        "rc/.zshrc",
        r#"
        unsetopt zle_bracketed_paste prompt_sp 2> /dev/null; LISTMAX=1000
        unsetopt list_ambiguous
        fpath=("$REPOSITORY/completions" $fpath); autoload -Uz compinit; compinit -u -D
        _tabtest() { compadd own-word; }; compdef _tabtest tabtest
        gtlock() { printf '<%s>' "$@"; echo ' shown'; }
        PS1='READY>'
        "#,
    ),
    (
        "fish",
        &["-i", "--private"],
        "rc/fish/config.fish",
        r#"
        set fish_greeting
        source "$REPOSITORY/completions/gtlock.fish"
        complete -c tabtest -f -a own-word
        function gtlock; printf '<%s>' $argv; echo ' shown'; end
        function fish_prompt; echo -n 'READY>'; end
        "#,
    ),
];

/// A shell on a terminal.
struct Session {
    shell: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: String,
}

impl Session {
    /// Starts a shell in a directory, or says that there is none.
    fn start(shell: &str, arguments: &[&str], dir: &Path) -> Option<Self> {
        let terminal = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("a terminal");
        grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("it is ours");
        let path = ptsname_r(&terminal).expect("it has a name");
        let keyboard = File::from(std::os::fd::OwnedFd::from(terminal));
        let device = || File::options().read(true).write(true).open(&path).expect("a terminal");
        let mut command = Command::new("setsid");
        let size = "stty rows 60 cols 150 && exec \"$@\"";
        command.args(["--ctty", "sh", "-c", size, "sh", shell]).args(arguments).current_dir(dir);
        command.stdin(device()).stdout(device()).stderr(device());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(dir.join("bin")).chain(std::env::split_paths(&path));
        command
            .env("PATH", std::env::join_paths(path).expect("a path"))
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8");
        command.env("REPOSITORY", env!("CARGO_MANIFEST_DIR")).env("HOME", dir.join("rc"));
        command.env("ZDOTDIR", dir.join("rc")).env("XDG_CONFIG_HOME", dir.join("rc"));
        command.env("XDG_DATA_HOME", dir.join("rc"));
        let is_there =
            Command::new(shell).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !is_there.is_ok_and(|status| status.success()) {
            skip("completion", &format!("there is no {shell}"));
            return None;
        }
        let shell = command.spawn().expect("setsid starts");
        let (send, screen) = mpsc::channel();
        let mut reader = keyboard.try_clone().expect("descriptors are left");
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                let _ = send.send(bytes[..count].to_vec());
            }
        });
        let mut session = Self { shell, keyboard, screen, shown: String::new() };
        session.until("READY>");
        Some(session)
    }

    /// Types, and returns what is shown from then on up to a text.
    fn types(&mut self, keys: &str, until: &str) -> String {
        self.shown.clear();
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal is there");
        self.until(until)
    }

    fn until(&mut self, text: &str) -> String {
        let started = Instant::now();
        loop {
            let shown = plain(&self.shown);
            if shown.contains(text) {
                return shown;
            }
            match self.screen.recv_timeout(WATCHDOG.saturating_sub(started.elapsed())) {
                Ok(more) => self.shown += &String::from_utf8_lossy(&more),
                Err(e) => panic!("{e}: no {text:?} in {shown:?}"),
            }
        }
    }

    /// The arguments of the line that these keys make.
    fn line(&mut self, keys: &str) -> String {
        let shown = self.types(&format!("{keys}\n"), " shown");
        let end = shown.rfind(" shown").expect("it was waited for");
        let start = shown[..end].rfind(['\n', '\r']).map_or(0, |at| at + 1);
        let line = shown[start..end].to_owned();
        self.until("READY>");
        let from = line.find('<').unwrap_or_default();
        line[from..].replace("/>", ">") // zsh takes the / after a directory away again
    }

    /// What a Tab lists after these keys, which is to have all of these.
    fn list(&mut self, keys: &str, offered: &[&str]) -> String {
        self.types(keys, keys.trim_end());
        self.types("\t", "");
        let listed = offered.iter().map(|offered| self.until(offered)).last();
        self.types("\x15\n", "READY>"); // Ctrl-U
        listed.unwrap_or_default()
    }
}

/// The text without colours and movements of the cursor.
fn plain(shown: &str) -> String {
    let mut pieces = shown.split('\x1b');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |plain, piece| {
        let end =
            piece.find(|c: char| c.is_ascii_alphabetic() || c == '\x07').map_or(piece.len(), |end| end + 1);
        plain + &piece[end..]
    })
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// Does something in each shell there is, in a directory with `my file`, `my dir` and a command `tabtest`.
fn in_each_shell(check: impl Fn(&str, &mut Session)) {
    for (shell, arguments, rc, content) in SHELLS {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for made in ["rc/fish", "bin", "my dir"] {
            fs::create_dir_all(dir.path().join(made)).expect("it can be made");
        }
        fs::write(dir.path().join(rc), content).expect("it can be written");
        fs::write(dir.path().join("my file"), "").expect("it can be written");
        fs::write(dir.path().join("5sfile"), "").expect("it can be written");
        let command = dir.path().join("bin/tabtest");
        fs::write(&command, "#!/bin/sh\n").expect("it can be written");
        fs::set_permissions(command, PermissionsExt::from_mode(0o755)).expect("it is ours");
        if let Some(mut session) = Session::start(shell, arguments, dir.path()) {
            check(shell, &mut session);
        }
    }
}

#[test]
fn names_with_spaces_stay_one_word() {
    in_each_shell(|shell, session| {
        for (keys, line) in [
            ("gtlock run --write my\\ f\t", "<run><--write><my file>"),
            ("gtlock run --write 'my f\t", "<run><--write><my file>"),
            ("gtlock try --read my\\ f\t-q", "<try><--read><my file><-q>"),
            ("gtlock run --lock-dir m\t", "<run><--lock-dir><my dir>"),
            ("gtlock update my\\ f\t", "<update><my file>"),
            ("gtlock report --since 1h my\\ f\t", "<report><--since><1h><my file>"),
            ("gtlock report --html my\\ f\t", "<report><--html><my file>"),
            ("gtlock run --log my\\ f\t", "<run><--log><my file>"),
            ("gtlock status my\\ f\t", "<status><my file>"),
            ("gtlock clean my\\ d\t", "<clean><my dir>"),
        ] {
            assert_eq!(session.line(keys), line, "{shell}: {keys:?}");
        }
        let (keys, line) = ("gtlock run --write=my\\ f\t", "<run><--write=my file>");
        assert_eq!(session.line(keys), line, "{shell}: {keys:?}");
    });
}

#[test]
fn after_the_file_come_options_and_dashes_but_no_commands() {
    in_each_shell(|shell, session| {
        assert_eq!(session.line("gtlock run --write x tabte\t"), "<run><--write><x><tabte>", "{shell}");
        assert_eq!(session.line("gtlock run --write x --verb\t"), "<run><--write><x><--verbose>", "{shell}");
        let keys = if shell == "fish" { "gtlock run --write x -" } else { "gtlock run --write x " };
        // bash shows no descriptions.
        let dashes = if shell == "bash" { "\n-- " } else { "The command follows" };
        let listed = session.list(keys, &["--timeout", "--verbose", "--read", dashes]);
        assert!(!listed.contains("tabtest"), "{shell}: {listed}");
    });
}

#[test]
fn times_descriptors_and_codes_are_not_completed() {
    in_each_shell(|shell, session| {
        for option in [
            "--timeout",
            "--retry-delay",
            "--read-fd",
            "--write-fd",
            "--unlock-fd",
            "-E",
            "--conflict-exit-code",
            "--slots",
            "--take",
            "--max-waiters",
            "--max-hold",
            "--kill-after",
            "--label",
        ] {
            let line = session.line(&format!("gtlock run {option} 5\t"));
            assert_eq!(line, format!("<run><{option}><5>"), "{shell}");
        }
    });
}

#[test]
fn after_the_dashes_come_commands_and_their_own_completion() {
    in_each_shell(|shell, session| {
        for (arguments, words) in [
            ("run --write x", "<run><--write><x>"),
            ("try -q --read x", "<try><-q><--read><x>"),
            ("update x", "<update><x>"),
        ] {
            let before = format!("gtlock {arguments} -- ");
            let shown = format!("{words}<--><tabtest>");
            assert_eq!(session.line(&format!("{before}tabte\t")), shown, "{shell}");
            if shell == "bash" && !Path::new("/usr/share/bash-completion/bash_completion").exists() {
                skip("the completion of a command's own words in bash", "there is no bash-completion");
                continue;
            }
            assert_eq!(
                session.line(&format!("{before}tabtest ow\t")),
                format!("{shown}<own-word>"),
                "{shell}"
            );
        }
    });
}

#[test]
fn subcommands_are_offered() {
    in_each_shell(|shell, session| {
        assert_eq!(session.line("gtlock stat\t--js\t"), "<status><--json>", "{shell}");
        assert_eq!(session.line("gtlock cl\t"), "<clean>", "{shell}");
        session.list("gtlock ", &["run", "try", "update", "status", "clean", "report"]);
    });
}
