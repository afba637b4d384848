//! Which file `gtlock update` replaces, and what of the old one the new one has.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use gtlock::lock::Error;
use gtlock::update::{Durability, Original};
use nix::sys::stat::Mode;

use super::{assert_alone, content, old, update};
use crate::common::{Lines, data, end_of, gtlock, process, shell, skip, to_its_end, unprivileged};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

#[test]
fn the_mode_stays_and_a_new_file_has_the_usual_one() {
    let (_dir, data) = old();
    for bits in [0o600, 0o644, 0o755, 0o604, 0o466, 0o444] {
        set_mode(&data, bits);
        update(&data, "cat").assert().success().stderr("");
        assert_eq!(mode(&data), bits, "{bits:o}");
    }
    for (umask, bits) in [("022", 0o644), ("077", 0o600), ("000", 0o666)] {
        fs::remove_file(&data).expect("it is there");
        let script = format!("umask {umask}; exec gtlock update \"$1\" -- echo new");
        to_its_end(shell(&script, &data)).assert().success().stderr("");
        assert_eq!(mode(&data), bits, "umask {umask}");
    }
}

#[test]
fn the_new_content_of_a_secret_is_never_to_be_read_by_others() {
    let (_dir, data) = old();
    set_mode(&data, 0o600);
    let script = "ls -ln \"$(dirname \"$0\")\"/.state.json.gtlock-*";
    let mut filter = gtlock();
    filter.arg("update").arg(&data).args(["--", "sh", "-c", script]).arg(&data);
    filter.assert().success().stderr("");
    assert!(content(&data).starts_with("-rw-------"), "{}", content(&data));
}

#[test]
fn the_owner_and_group_stay() {
    if !is_root() {
        return skip("the owner stays", "only root can give files away");
    }
    let (_dir, data) = old();
    chown(&data, Some(4242), Some(2424)).expect("root may");
    set_mode(&data, 0o6755);
    update(&data, "cat").assert().success().stderr("");
    let new = fs::metadata(&data).expect("it is there");
    assert_eq!((new.uid(), new.gid(), new.mode() & 0o7777), (4242, 2424, 0o6755));
}

#[test]
fn where_the_group_cannot_stay_the_new_one_gets_no_more_than_everybody() {
    let (dir, data) = old();
    let Some(mut gtlock) = unprivileged("gtlock", "another's file") else { return };
    if !is_root() {
        return skip("another's file", "only root can give files away");
    }
    set_mode(dir.path(), 0o777);
    set_mode(&data, 0o6674);
    gtlock.arg("update").arg(&data).args(["--", "cat"]);
    to_its_end(gtlock).assert().success().stderr("");
    let new = fs::metadata(&data).expect("it is there");
    assert_eq!((new.uid(), new.gid(), new.mode() & 0o7777), (65534, 65534, 0o644));
    assert_eq!(content(&data), "old\n");
}

#[test]
fn a_file_in_a_setgid_directory_has_its_group_unless_it_has_another() {
    if !is_root() {
        return skip("a setgid directory", "only root can give groups away");
    }
    let (dir, data) = data();
    chown(dir.path(), None, Some(2424)).expect("root may");
    set_mode(dir.path(), 0o2755);
    update(&data, "echo new").assert().success().stderr("");
    assert_eq!(fs::metadata(&data).expect("it is there").gid(), 2424);
    chown(&data, None, Some(4242)).expect("root may");
    update(&data, "cat").assert().success().stderr("");
    assert_eq!(fs::metadata(&data).expect("it is there").gid(), 4242);
}

/// What getfacl shows of a file; `None` where there are no ACLs.
fn acl(path: &Path, change: &[&str]) -> Option<String> {
    let set = Command::new("setfacl").args(change).arg(path).output().ok()?;
    let get = Command::new("getfacl").args(["-cpn"]).arg(path).output().ok()?;
    (set.status.success() && get.status.success()).then(|| String::from_utf8_lossy(&get.stdout).into_owned())
}

#[test]
fn the_acl_stays_and_none_comes() {
    let (dir, data) = old();
    let Some(before) = acl(&data, &["-m", "u:4242:rw,g:2424:r,m::rw"]) else {
        return skip("ACLs", "no setfacl, or none on this file system");
    };
    update(&data, "cat").assert().success().stderr("");
    assert_eq!(acl(&data, &["-m", "u:4242:rw"]).expect("there are ACLs"), before);

    // What the directory gives to new files is for new files.
    let plain = acl(&data, &["-b"]).expect("there are ACLs");
    acl(dir.path(), &["-d", "-m", "u:4242:rwx,g::-"]).expect("there are ACLs");
    update(&data, "cat").assert().success().stderr("");
    assert_eq!(acl(&data, &["-k"]).expect("there are ACLs"), plain);
    fs::remove_file(&data).expect("it is there");
    update(&data, "cat").assert().success().stderr("");
    let new = acl(&data, &["-k"]).expect("there are ACLs");
    fs::write(dir.path().join("usual"), "").expect("it can be written");
    assert_eq!(new, acl(&dir.path().join("usual"), &["-k"]).expect("there are ACLs"));
    assert!(new.contains("user:4242:rwx"), "{new}");
}

#[test]
fn an_acl_gives_a_new_group_no_more_than_everybody() {
    let (dir, data) = old();
    let Some(mut gtlock) = unprivileged("gtlock", "another's ACL") else { return };
    if !is_root() || acl(&data, &["-m", "u::rw,g::rw,o::r,u:4242:rw,m::rw"]).is_none() {
        return skip("another's ACL", "not root, or no ACLs");
    }
    set_mode(dir.path(), 0o777);
    gtlock.arg("update").arg(&data).args(["--", "cat"]);
    to_its_end(gtlock).assert().success().stderr("");
    let new = acl(&data, &["-k"]).expect("there are ACLs");
    assert!(new.contains("user:4242:rw-") && new.contains("group::r--"), "{new}");
}

#[test]
fn extended_attributes_stay() {
    let (_dir, data) = old();
    if xattr::set(&data, "user.origin", b"here\0there").is_err() {
        return skip("extended attributes", "none on this file system");
    }
    update(&data, "cat").assert().success().stderr("");
    assert_eq!(xattr::get(&data, "user.origin").expect("it can be read"), Some(b"here\0there".to_vec()));
}

#[test]
fn what_a_symbolic_link_leads_to_is_replaced_and_the_link_stays() {
    let (dir, data) = old();
    let deep = dir.path().join("a/b");
    fs::create_dir_all(&deep).expect("it can be made");
    symlink("../../state.json", deep.join("relative")).expect("it can be made");
    symlink(deep.join("relative"), dir.path().join("absolute")).expect("it can be made");
    symlink("a", dir.path().join("way")).expect("it can be made");
    for link in ["a/b/relative", "absolute", "way/b/relative", "a/../way/b/./relative"] {
        fs::write(&data, "old\n").expect("it can be written");
        update(&dir.path().join(link), "cat; echo new").assert().success().stderr("");
        assert_eq!(content(&data), "old\nnew\n", "{link}");
        assert!(dir.path().join(link).is_symlink() && !data.is_symlink(), "{link}");
    }
    symlink("made", dir.path().join("dangling")).expect("it can be made");
    update(&dir.path().join("dangling"), "echo new").assert().success().stderr("");
    assert_eq!(content(&dir.path().join("made")), "new\n");
    assert_alone(&data, &["a", "absolute", "way", "dangling", "made"]);
}

#[test]
fn links_that_go_round_are_an_error() {
    let (dir, _) = old();
    symlink("two", dir.path().join("one")).expect("it can be made");
    symlink("one", dir.path().join("two")).expect("it can be made");
    update(&dir.path().join("one"), "cat").assert().code(125);
    assert!(matches!(Original::open(&dir.path().join("one")), Err(Error::Io { .. })));
}

#[test]
fn a_strangers_link_in_a_directory_of_everybodys_is_not_followed() {
    if !is_root() {
        return skip("a stranger's link", "only root can give links away");
    }
    let (dir, data) = old();
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).expect("it can be made");
    symlink("..", shared.join("way")).expect("it can be made");
    symlink(&data, shared.join("link")).expect("it can be made");
    for link in ["way", "link"] {
        lchown(shared.join(link), Some(4242), Some(4242)).expect("root may");
    }
    for (bits, owner, is_followed) in
        [(0o1777, 0, false), (0o1777, 4242, true), (0o777, 0, true), (0o1755, 0, true)]
    {
        set_mode(&shared, bits);
        chown(&shared, Some(owner), None).expect("root may");
        for path in ["link", "way/state.json"] {
            let opened = Original::open(&shared.join(path));
            assert_eq!(opened.is_ok(), is_followed, "{path}, {bits:o} of {owner}: {opened:?}");
        }
    }
    set_mode(&shared, 0o1777);
    chown(&shared, Some(0), None).expect("root may");
    update(&shared.join("link"), "echo new").assert().code(125);
    assert_eq!(content(&data), "old\n");
}

#[cfg(target_os = "linux")]
#[test]
fn paths_below_proc_lead_where_they_are_open_to() {
    let (dir, data) = old();
    let script =
        "exec 9< . && mv \"$PWD\" \"$PWD.moved\" && mkdir \"$PWD\" && gtlock update \"$1\" -- echo new";
    let inner = dir.path().join("inner");
    fs::create_dir(&inner).expect("it can be made");
    for path in ["/proc/self/fd/9/state.json", "/dev/fd/9/state.json", "/proc/self/cwd/state.json"] {
        let moved = dir.path().join("inner.moved");
        let mut shell = shell(script, Path::new(path));
        to_its_end({
            shell.current_dir(&inner);
            shell
        })
        .assert()
        .success()
        .stderr("");
        assert_eq!(content(&moved.join("state.json")), "new\n", "{path}");
        assert!(!inner.join("state.json").exists(), "{path}");
        fs::remove_dir_all(moved).expect("it is there");
    }
    // The root of another mount namespace.
    let script = "mount -t tmpfs tmpfs \"$2\" && echo inner > \"$1\" && echo ready && exec cat";
    let mut inside = shell(script, &inner.join("state.json"));
    let mut unshared = process("unshare");
    unshared.arg("-m").arg(inside.get_program()).args(inside.get_args()).arg(&inner);
    inside = unshared;
    let mut inside = inside.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let lines = Lines::of(inside.stdout.take().expect("it is piped"));
    if lines.line_or_end().is_none() {
        skip("another root", "unshare or mount is not allowed");
    } else {
        let root = format!("/proc/{}/root{}", inside.id(), inner.join("state.json").display());
        update(Path::new(&root), "cat; echo new").assert().success().stderr("");
        assert_eq!(content(Path::new(&root)), "inner\nnew\n");
        assert!(!inner.join("state.json").exists());
    }
    drop(inside.stdin.take());
    end_of(&mut inside);
    // The name of an open file is no name of the file's.
    let opened = shell("gtlock update /dev/stdin -- echo new < \"$1\"", &data);
    to_its_end(opened).assert().code(125).stderr(predicates::str::contains("/dev/stdin"));
    assert_eq!(content(&data), "old\n");
}

#[test]
fn what_is_no_regular_file_is_an_error() {
    let (dir, _) = data();
    let (fifo, directory) = (dir.path().join("fifo"), dir.path().join("directory"));
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).expect("it can be made");
    fs::create_dir(&directory).expect("it can be made");
    let socket = dir.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).expect("it can be made");
    for (path, kind) in [
        (fifo.as_path(), "is a FIFO"),
        (&directory, "is a directory"),
        (&socket, "is a socket"),
        (Path::new("/dev/null"), "is a device"),
        (dir.path(), "is a directory"),
        (Path::new(".."), "is a directory"),
        (Path::new("/"), "is a directory"),
    ] {
        update(path, "cat").assert().code(125).stderr(predicates::str::contains(kind));
    }
    assert!(!dir.path().join(".gastown").exists(), "no lock was taken");
}

#[test]
fn the_other_names_of_a_file_keep_the_old_content() {
    let (dir, data) = old();
    fs::hard_link(&data, dir.path().join("other")).expect("it can be made");
    update(&data, "echo new").assert().success().stderr("");
    assert_eq!((content(&data).as_str(), content(&dir.path().join("other")).as_str()), ("new\n", "old\n"));
}

#[test]
fn what_a_killed_update_leaves_is_removed_by_the_next_and_nothing_else() {
    let (dir, data) = old();
    let leftover = dir.path().join(".state.json.gtlock-0123abcd");
    let others = [".state.json.gtlock-0123abc", ".state.json.gtlock-0123abcg", ".other.json.gtlock-0123abcd"];
    fs::write(&leftover, "part").expect("it can be written");
    for other in others {
        fs::write(dir.path().join(other), "part").expect("it can be written");
    }
    let like_it = ".state.json.gtlock-00000000";
    fs::create_dir(dir.path().join(like_it)).expect("it can be made");
    update(&data, "cat").assert().success().stderr("");
    assert_alone(&data, &[others.as_slice(), &[like_it]].concat());

    // A real one: gtlock is killed, and the filter with it.
    let mut killed = process("sh");
    killed.args(["-c", "gtlock update \"$1\" -- sh -c 'kill -KILL $PPID; exit 1'", "sh"]).arg(&data);
    to_its_end(killed).assert().failure();
    let prefix =
        |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".state.json.gtlock-");
    let temporaries = || fs::read_dir(dir.path()).expect("a directory").flatten().filter(prefix).count();
    assert_eq!(temporaries(), 4, "it leaves its temporary");
    update(&data, "cat").assert().success().stderr("");
    assert_eq!(temporaries(), 3);
    assert_eq!(content(&data), "old\n");
}

#[test]
fn names_of_every_length_can_be_replaced() {
    let (dir, _) = data();
    for length in [1, 100, 101, 240, 250, 255] {
        let data = dir.path().join("x".repeat(length));
        let replace = |content: &[u8]| {
            let mut replacement = Original::open(&data)?.replace()?;
            replacement.fill(content)?;
            replacement.finish(Durability::Unflushed)?.commit(None)
        };
        for text in ["one", "two"] {
            replace(text.as_bytes()).expect("it can be replaced");
            assert_eq!(content(&data), text, "{length}");
        }
        fs::remove_file(data).expect("it is there");
    }
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0, "nothing is left");
}

#[test]
fn a_directory_that_may_not_be_written_is_an_error_and_one_that_may_not_be_read_is_none() {
    let (dir, data) = old();
    let locks = tempfile::tempdir().expect("a temporary directory");
    set_mode(locks.path(), 0o777);
    set_mode(&data, 0o666);
    for (bits, code) in [(0o555, 125), (0o733, 0), (0o1777, 125)] {
        let Some(mut gtlock) = unprivileged("gtlock", "a directory") else { return };
        if !is_root() {
            return skip("another's directory", "only root can be another");
        }
        set_mode(dir.path(), bits);
        fs::write(&data, "old\n").expect("root may");
        gtlock.args(["update", "--lock-dir"]).arg(locks.path()).arg(&data).args(["--", "echo", "new"]);
        let gtlock = to_its_end(gtlock).assert().code(code);
        let said = String::from_utf8_lossy(&gtlock.get_output().stderr).into_owned();
        assert_eq!(said.lines().count(), usize::from(code != 0), "{bits:o}: {said}");
        assert_eq!(content(&data), if code == 0 { "new\n" } else { "old\n" }, "{bits:o}: {said}");
        assert_alone(&data, &[]);
        chown(&data, Some(0), Some(0)).expect("root may");
    }
}
