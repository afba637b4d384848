//! Hostile neighbours, who may write where the locks are: what they put in the place of a lock, or into a name
//! or a command line that is shown to others.
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{
    Holder, data, end_of, gtlock, gtlock_process, process, skip, snapshot, to_its_end, typed,
};
use assert_cmd::cargo::cargo_bin;

/// What can come to be at a path.
const ODD: [&str; 9] = [
    "a symbolic link",
    "a dangling link",
    "a hard link",
    "a hard link to numbers",
    "a FIFO",
    "a device",
    "a directory",
    "a huge file",
    "a binary file",
];

/// Puts it there; the links are to files beside. Returns whether that is allowed here.
fn put(what: &str, path: &Path, beside: &Path) -> bool {
    let [precious, numbers] = ["precious", "numbers"].map(|name| beside.join(name));
    fs::write(&precious, "precious\n").expect("it can be written");
    fs::write(&numbers, "4200000000\n").expect("it can be written");
    let made = match what {
        "a symbolic link" => symlink(&precious, path),
        "a dangling link" => symlink("nowhere", path),
        "a hard link" => fs::hard_link(&precious, path),
        "a hard link to numbers" => fs::hard_link(&numbers, path),
        "a directory" => fs::create_dir(path),
        "a huge file" => fs::File::create(path).and_then(|file| file.set_len(1 << 40)),
        "a binary file" => fs::write(path, [0, 255, 27]),
        "a FIFO" => return Command::new("mkfifo").arg(path).status().is_ok_and(|made| made.success()),
        _ => {
            let mut mknod = Command::new("mknod"); // what is written there is gone
            mknod.arg(path).args(["c", "1", "3"]).stderr(Stdio::null());
            return mknod.status().is_ok_and(|made| made.success());
        }
    };
    made.expect("it can be made");
    true
}

/// The neighbours' files, and what is at the path but for what is in it.
fn theirs(path: &Path, beside: &Path) -> String {
    let mut files = snapshot(beside);
    files.retain(|path, _| ["precious", "numbers"].iter().any(|name| path.ends_with(name)));
    let it = path.symlink_metadata().expect("it is there");
    let (length, kind) = (it.is_file().then_some(it.len()), it.file_type());
    format!("{files:?} {} {length:?} {kind:?} {}", it.ino(), kind.is_fifo())
}

#[test]
fn whatever_takes_the_place_of_a_held_lock_is_left_alone_and_reported() {
    for what in ODD {
        for place in [".gastown/locks/state.json.lock", ".gastown/locks", ".gastown"] {
            let (dir, data) = data();
            let said = dir.path().join("said");
            let stderr = fs::File::create(&said).expect("it can be made");
            let holder = Holder::start(gtlock_process().args(["run", "--write"]).arg(&data).stderr(stderr));
            let mut waiter = gtlock_process();
            waiter.args(["run", "-q", "--write"]).arg(&data).args(["--", "true"]);
            let mut waiter = waiter.stderr(Stdio::null()).spawn().expect("it starts");
            crate::common::waits_in_kernel(waiter.id(), &data);

            let path = dir.path().join(place);
            fs::rename(&path, dir.path().join("moved")).expect("it is there");
            let is_there = put(what, &path, dir.path());
            if !is_there {
                skip(what, "mknod or mkfifo is not allowed");
            }
            // A new directory, and numbers with a second name, can be locked: that is what is reported.
            let is_file = place.ends_with("state.json.lock");
            let is_lock =
                !is_there || if is_file { what.ends_with("numbers") } else { what.ends_with("directory") };
            let before = is_there.then(|| theirs(&path, dir.path()));
            for mode in ["--read", "--write"] {
                let output = gtlock().args(["try", "-q", mode]).arg(&data).output().expect("it runs");
                let code = output.status.code();
                // Though the writer that waits is still in line, for the file that was there.
                assert_eq!(code, Some(if is_lock { 0 } else { 125 }), "{what} at {place}: {output:?}");
            }
            let status = gtlock().args(["status"]).arg(&data).output().expect("it runs");
            assert!(matches!(status.status.code(), Some(0 | 125)), "{what} at {place}: {status:?}");
            assert!(holder.release().success(), "{what} at {place}");
            let ended = end_of(&mut waiter).code();
            assert_eq!(ended, Some(if is_lock { 0 } else { 125 }), "{what} at {place}");
            if let Some(before) = before {
                assert_eq!(theirs(&path, dir.path()), before, "{what} at {place}");
            }
            let said = fs::read_to_string(said).expect("it is there");
            let reported = said.contains("was unlinked or replaced while it was locked");
            assert!(reported && said.lines().count() == 1, "{what} at {place}: {said:?}");
        }
    }
}

#[test]
fn whatever_is_in_the_place_of_a_lock_directory_is_an_error_and_left_alone() {
    for what in ODD.into_iter().filter(|what| *what != "a directory") {
        for place in [".gastown/locks", ".gastown", "chosen"] {
            let (dir, _) = data();
            let path = dir.path().join(place);
            fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
            if !put(what, &path, dir.path()) {
                skip(what, "mknod or mkfifo is not allowed");
                continue;
            }
            let before = theirs(&path, dir.path());
            let options: &[&str] = if place == "chosen" { &["--lock-dir=chosen"] } else { &[] };
            let run = ["run", "--timeout=60", "--write", "state.json"];
            let status = ["status", "state.json"];
            for (request, command) in [
                (&run[..], &["--", "touch", "ran"][..]),
                (&["try", "--read", "state.json"], &[]),
                (&status, &[]),
            ] {
                let mut gtlock = gtlock();
                gtlock.args(request).args(options).args(command).current_dir(dir.path());
                let output = gtlock.output().expect("it runs");
                let lines = String::from_utf8_lossy(&output.stderr).lines().count();
                // A link to nothing is where the directory could yet be.
                let may_come = what == "a dangling link" && request == status;
                let is_error = output.status.code() == Some(125) && lines == 1;
                assert!(is_error || may_come, "{what} at {place}, {request:?}: {output:?}");
            }
            let clean =
                gtlock().arg("clean").args(options).current_dir(dir.path()).output().expect("it runs");
            assert!(matches!(clean.status.code(), Some(0 | 125)), "{what} at {place}: {clean:?}");
            assert_eq!(theirs(&path, dir.path()), before, "{what} at {place}");
            assert!(!dir.path().join("ran").exists(), "{what} at {place}");
        }
    }
}

#[test]
fn a_link_that_cannot_be_read_is_an_error_and_not_another_lock() {
    let (dir, data) = data();
    let alias = dir.path().join("alias");
    fs::write(&data, "").expect("it can be written");
    symlink("state.json", &alias).expect("it can be made");
    let _holder = Holder::writer(&data);
    let tried = |injected: &str| {
        let mut strace = process("strace");
        strace.args(["-o", "/dev/null", "-P"]).arg(&alias).args(["-e", injected]);
        strace.arg(cargo_bin!("gtlock")).args(["try", "--write"]).arg(&alias).args(["--", "echo", "ran"]);
        to_its_end(strace).output().ok().and_then(|output| Some((output.status.code()?, output)))
    };
    let Some((75, _)) = tried("trace=all") else {
        return skip("a link that cannot be read", "no strace, or it may not trace");
    };
    let (code, output) = tried("inject=?readlink,?readlinkat:error=EIO").expect("as before");
    assert!(code == 125 && output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("strace: ")).collect();
    assert!(said.len() == 1 && said[0].contains("alias: ") && said[0].ends_with("(os error 5)"), "{said:?}"); // EIO
}

/// Whether a terminal could take any of it for more than text.
fn is_wild(text: &str) -> bool {
    text.contains(|c: char| c != '\n' && c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c))
}

#[test]
fn json_has_no_control_characters_either() {
    let (dir, _) = data();
    let wild = dir.path().join("a\u{9b}2J\u{7f}\u{202e}\n.json");
    let _holder = typed("run --write", &wild).hold();
    fs::create_dir(dir.path().join(".gastown/locks/\u{9b}\u{202e}.lock")).expect("it can be made"); // an error
    for action in ["status", "clean"] {
        let mut request = gtlock();
        let output = request.args([action, "--json"]).current_dir(dir.path()).output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(!is_wild(&text), "{text:?}");
        let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let locks = document["locks"].as_array().or(document["kept"].as_array()).expect("a list");
        let name = wild.file_name().and_then(|name| name.to_str()).expect("text");
        let shown = |lock: &serde_json::Value| lock["lock"].as_str().is_some_and(|lock| lock.contains(name));
        assert!(locks.iter().any(shown), "{document}");
    }
}

#[test]
fn the_command_line_of_another_user_is_shown_escaped() {
    let (dir, data) = data();
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).expect("it is ours");
    let Some(mut theirs) = crate::common::unprivileged(cargo_bin!("gtlock"), "another user's command line")
    else {
        return;
    };
    let wild = "cat; : '\u{1b}]0;title\u{7}\u{9b}2J\n\u{202e}'";
    let holder = Holder::running(theirs.args(["run", "--write"]).arg(&data).args(["--", "sh", "-c", wild]));
    let mut shown = Vec::new();
    for request in [&["status"][..], &["status", "--json"], &["try", "--write"]] {
        let output = gtlock().args(request).arg(&data).output().expect("it runs");
        shown.push(String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8"));
    }
    // The name of a process is theirs as well, for whoever may not read the rest.
    assert!(shown.iter().all(|text| !is_wild(text) && text.contains("title")), "{shown:?}");
    assert!(shown[0].contains(&holder.pid().to_string()), "{shown:?}");
}

/// A file system that does not answer: a FUSE daemon that is stopped. Like a network mount whose server is gone.
struct DeadMount {
    bindfs: std::process::Child,
    mount: std::path::PathBuf,
    // Removed after the rest.
    _dir: tempfile::TempDir,
}

impl DeadMount {
    /// `None`, and a word about it, where nothing can be mounted. `before` is done while it still answers.
    fn new(what: &str, before: impl FnOnce(&Path)) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let [source, mount] = ["source", "mount"].map(|name| dir.path().join(name));
        fs::create_dir(&source).expect("it can be made");
        fs::create_dir(&mount).expect("it can be made");
        // Nothing is cached: whoever asks waits.
        let mut bindfs = Command::new("bindfs");
        bindfs
            .args(["-f", "-o", "attr_timeout=0,entry_timeout=0"])
            .args([&source, &mount])
            .stderr(Stdio::null());
        let Ok(mut bindfs) = bindfs.spawn() else {
            skip(what, "no bindfs");
            return None;
        };
        let device = |path: &Path| fs::metadata(path).expect("it is there").dev();
        let mut has_failed = false;
        crate::common::eventually("it is mounted", || {
            has_failed = bindfs.try_wait().expect("it is ours to wait for").is_some();
            has_failed || device(&mount) != device(&source)
        });
        if has_failed {
            skip(what, "nothing can be mounted");
            return None;
        }
        before(&mount);
        let mount = Self { bindfs, mount, _dir: dir };
        mount.send(nix::sys::signal::Signal::SIGSTOP);
        crate::common::eventually("it is stopped", || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", mount.bindfs.id())).expect("it is there");
            stat.rsplit(')').next().is_some_and(|fields| fields.trim_start().starts_with('T'))
        });
        Some(mount)
    }

    fn send(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.bindfs.id()).expect("a process ID");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("it is ours");
    }
}

impl Drop for DeadMount {
    fn drop(&mut self) {
        let _ = self.bindfs.kill(); // with the daemon the mount is dead for good, and whoever waits gets an error
        let _ = self.bindfs.wait();
        let _ = Command::new("umount").arg("-l").arg(&self.mount).stderr(Stdio::null()).status();
    }
}

/// What explains a lock, or could.
fn all_answer(data: &Path) {
    for (arguments, code) in [
        (&["try", "-q", "--write"][..], 75),
        (&["try", "--write"], 75),
        (&["run", "--timeout=10ms", "--write"], 75),
        (&["run", "-v", "--timeout=10ms", "--read"], 75),
        (&["status"], 0),
        (&["status", "--json"], 0),
    ] {
        gtlock()
            .args(arguments)
            .arg(data)
            .args((code != 0).then_some(["--", "true"]).into_iter().flatten())
            .assert()
            .code(code);
    }
}

#[test]
fn a_dead_mount_among_the_descriptors_of_others_holds_nobody_up() {
    let what = "a dead mount";
    let (_dir, data) = data();
    let (_other, unrecorded) = crate::common::data();
    let (mut holder, mut bystander) = (None, None);
    let mount = DeadMount::new(what, |mount| {
        // A holder that logs there, and a process that has nothing to do with any lock.
        let log = fs::File::create(mount.join("log")).expect("it can be made");
        let mut request = gtlock_process();
        holder = Some(Holder::start(request.args(["run", "--write"]).arg(&data).stderr(log)));
        let mut sleep = Command::new("sleep");
        let file = fs::File::open(mount.join("log")).expect("it is there");
        bystander = Some(sleep.arg("100").stdin(file).spawn().expect("sleep runs"));
    });
    let (Some(mount), Some(holder), Some(mut bystander)) = (mount, holder, bystander) else { return };
    all_answer(&data);

    // Of a lock that another program holds everybody's descriptors are looked through, by a waiter too.
    crate::common::assert_free(&unrecorded);
    let flock = Holder::running(process("flock").arg(crate::common::lock_file(&unrecorded)).arg("cat"));
    all_answer(&unrecorded);
    let mut waiter = gtlock_process();
    waiter.args(["run", "-v", "--write"]).arg(&unrecorded).args(["--", "echo", "ran"]);
    let mut waiter = waiter.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let said = crate::common::Lines::of(waiter.stderr.take().expect("it is piped"));
    let waits = said.line();
    assert!(waits.contains(&format!("waiting: held for writing by {} (flock ", flock.pid())), "{waits}");
    flock.release();
    assert!(end_of(&mut waiter).success());
    drop(mount);
    bystander.kill().expect("it is ours");
    end_of(&mut bystander);
    holder.release();
}

/// A shell for which the command line of a process is on the mount. It prints a line, and waits for one to go on as
/// gtlock.
fn blind_to(pid: u32, mount: &Path, arguments: &[&str], data: &Path) -> std::process::Child {
    let mut unshare = process("unshare");
    let script = r#"mount --bind "$1" "$2" && echo mounted; shift 2; read -r go; exec "$@""#;
    unshare
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(mount.join("page"))
        .arg(format!("/proc/{pid}/cmdline"));
    unshare.arg(cargo_bin!("gtlock")).args(arguments).arg(data).args(["--", "true"]);
    let unshare = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    unshare.spawn().expect("unshare starts")
}

#[test]
fn a_process_of_which_nothing_can_be_read_delays_no_lock_and_no_answer() {
    let what = "a command line that cannot be read";
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    // As where a thread that hangs has locked the memory that the command line is in.
    let (mut blind, mut are_mounted) = (Vec::new(), true);
    let mount = DeadMount::new(what, |mount| {
        fs::write(mount.join("page"), "").expect("it can be written");
        for arguments in
            [&["try", "--write"][..], &["run", "--timeout=1ms", "--read"], &["run", "-v", "--write"]]
        {
            let mut shell = blind_to(holder.pid(), mount, arguments, &data);
            let said = crate::common::Lines::of(shell.stdout.take().expect("it is piped"));
            are_mounted &= said.line_or_end().is_some();
            blind.push(shell);
        }
    });
    let (Some(mount), Ok([mut refused, mut timed_out, mut waiter])) = (mount, <[_; 3]>::try_from(blind))
    else {
        return;
    };
    if !are_mounted {
        return skip(what, "nothing can be mounted there");
    }
    let unknown = "held; the holder could not be found in time";
    let goes_on = |shell: &mut std::process::Child| {
        drop(shell.stdin.take());
        crate::common::Lines::of(shell.stderr.take().expect("it is piped"))
    };
    for shell in [&mut refused, &mut timed_out] {
        let said = goes_on(shell).line();
        assert!(said.ends_with(unknown), "{said}");
        assert_eq!(end_of(shell).code(), Some(75));
    }
    // A wait that is explained ends with the release.
    let waits = goes_on(&mut waiter).line();
    assert!(waits.ends_with(&format!("waiting: {unknown}")), "{waits}");
    holder.release();
    assert!(end_of(&mut waiter).success());
    drop(mount);
}
