//! Open directories: an operation through one acts on the directory that was opened, whatever its path names now.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::super::{Access, Entry, Missing, Stat};
use super::LOCK_FLAGS;
use super::link::{Link, MAX_LINKS, link};

/// How a directory is opened to work through it. Its entries need not be readable.
#[cfg(target_os = "linux")]
const HANDLE: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
#[cfg(not(target_os = "linux"))]
const HANDLE: OFlag = OFlag::O_NONBLOCK.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// An open directory.
#[derive(Debug)]
pub struct Dir(pub(super) OwnedFd);

impl Dir {
    /// Opens a directory. Symbolic links on the way are followed as [`Dir::link`] allows.
    pub fn open(path: &Path) -> io::Result<Self> {
        open_from(AT_FDCWD, path)
    }

    /// Opens a directory, and creates it and all above it if they do not exist. Creates nothing behind a dangling link.
    pub fn open_or_make(path: &Path) -> io::Result<Self> {
        walk(AT_FDCWD, path, Missing::Make)
    }

    /// Opens a directory below this one, or wherever a path that starts here leads.
    pub fn open_in(&self, path: &Path) -> io::Result<Self> {
        open_from(self.0.as_fd(), path)
    }

    /// Opens a directory below this one, through no symbolic link at all.
    pub fn open_below(&self, path: &Path) -> io::Result<Self> {
        let mut here = Self(openat(&self.0, ".", HANDLE, Mode::empty())?);
        for name in path.components() {
            here = Self(openat(&here.0, name.as_os_str(), HANDLE | OFlag::O_NOFOLLOW, Mode::empty())?);
        }
        Ok(here)
    }

    /// Whether it is in a file system of the kernel, such as `/proc`, in which programs cannot create files.
    pub fn is_virtual(&self) -> bool {
        super::is_virtual(&self.0)
    }

    /// The user that the directory belongs to.
    pub fn owner(&self) -> io::Result<u32> {
        Ok(fstat(&self.0)?.st_uid)
    }

    /// The owner of what is at a path from here, if that can be seen.
    pub fn owner_in(&self, path: &Path) -> Option<u32> {
        fstatat(&self.0, path, AtFlags::AT_SYMLINK_NOFOLLOW).map(|stat| stat.st_uid).ok()
    }

    /// Whether the name in this directory is a symbolic link that may be followed.
    ///
    /// The rule is that of Linux's `protected_symlinks`: in a sticky directory that everybody may write to, only
    /// links of this user, or of the directory's owner. Any other could lead this user to files of a stranger's
    /// choice, and is an error.
    pub fn link(&self, name: &OsStr) -> io::Result<Link> {
        link(self.0.as_fd(), name)
    }

    /// Opens a lock file, or creates it. Does not wait for a FIFO or a lease. The file is writable if this user may
    /// write to it, else only readable.
    pub fn open_lock(&self, path: &Path, missing: Missing) -> io::Result<File> {
        loop {
            let open = |access| open_lock(self.0.as_fd(), path, access);
            match open(Access::Write) {
                Err(e) if missing == Missing::Make && is_any(&e, &[Errno::ENOENT]) => {}
                Err(e) if is_any(&e, &[Errno::EACCES, Errno::EROFS, Errno::EPERM]) => {
                    return open(Access::Read);
                }
                opened => return opened,
            }
            // Not O_CREAT at first: in a sticky directory Linux refuses it for other users' files, even
            // to open them.
            let dir = path.parent().map(|dir| self.open_in(dir)).transpose()?;
            match dir.as_ref().unwrap_or(self).make_file(path.file_name().unwrap_or_default()) {
                Err(Errno::EEXIST) => {} // somebody else was faster
                made => return Ok(made?),
            }
        }
    }

    /// Opens a file or directory to lock it itself, or creates a file. Any access that this user has will do.
    pub fn open_itself(&self, path: &Path, missing: Missing) -> io::Result<File> {
        let open = |flags| open_file(self.0.as_fd(), path, flags);
        match open(OFlag::O_RDONLY) {
            Err(e) if is_any(&e, &[Errno::EACCES]) => open(OFlag::O_WRONLY),
            Err(e) if missing == Missing::Make && is_any(&e, &[Errno::ENOENT]) => {
                open(OFlag::O_RDWR | OFlag::O_CREAT)
            }
            opened => opened,
        }
    }

    /// Opens what a link of `/proc` leads to, to lock it itself.
    pub fn open_through(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::from_bits_retain(LOCK_FLAGS & !libc::O_NOFOLLOW) | OFlag::O_CLOEXEC;
        let open = |access| openat(&self.0, name, flags | access, Mode::empty());
        Ok(open(OFlag::O_RDONLY).or_else(|_| open(OFlag::O_WRONLY))?.into())
    }

    /// Opens an existing file for reading and writing.
    pub fn open_for_writing(&self, path: &Path) -> io::Result<File> {
        open_lock(self.0.as_fd(), path, Access::Write)
    }

    /// Opens a directory to lock it, or to read its entries.
    pub fn open_dir(&self, path: &Path) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        Ok(openat(&self.0, path, flags, Mode::empty())?.into())
    }

    /// Looks at this directory.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(Stat::from(&fstat(&self.0)?))
    }

    /// Looks at an entry, a symbolic link as itself; `None` if there is no such.
    pub fn stat_in(&self, path: &Path) -> io::Result<Option<Stat>> {
        super::found(super::stat_at(&self.0, path, AtFlags::AT_SYMLINK_NOFOLLOW))
    }

    /// Its entries.
    pub fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
        let entries = nix::dir::Dir::from_fd(self.open_dir(Path::new("."))?.into())?.into_iter();
        Ok(entries.map(|entry| {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            // Most file systems show it with the entry.
            let is_file = match entry.file_type() {
                Some(kind) => kind == Type::File,
                None => self.stat_in(Path::new(&name))?.is_none_or(|stat| stat.is_file),
            };
            Ok(Entry { name, is_file, inode: entry.ino() })
        }))
    }

    /// Removes a lock file. `false` if it must stay because somebody has it open; never on Unix.
    pub fn remove_lock(&self, name: &OsStr) -> io::Result<bool> {
        unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir)?;
        Ok(true)
    }

    /// The kind of what is at a path, if it cannot be a lock file.
    pub fn non_regular_kind(&self, path: &Path) -> Option<&'static str> {
        let stat = fstatat(&self.0, path, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        Some(match kind_of(&stat) {
            SFlag::S_IFREG => return None,
            SFlag::S_IFLNK => "a symbolic link",
            SFlag::S_IFDIR => "a directory",
            SFlag::S_IFIFO => "a FIFO",
            SFlag::S_IFSOCK => "a socket",
            _ => "a device",
        })
    }
}

pub(super) fn kind_of(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn is_any(error: &io::Error, errors: &[Errno]) -> bool {
    error.raw_os_error().is_some_and(|error| errors.contains(&Errno::from_raw(error)))
}

/// Opens a lock file that exists, to read it or to write it too. Does not wait for a FIFO or a lease.
pub(super) fn open_lock(base: BorrowedFd<'_>, path: &Path, access: Access) -> io::Result<File> {
    let access = if access == Access::Read { OFlag::O_RDONLY } else { OFlag::O_RDWR };
    open_file(base, path, access)
}

/// Opens a file below a directory, but no symbolic link.
fn open_file(base: BorrowedFd<'_>, path: &Path, flags: OFlag) -> io::Result<File> {
    let flags = flags | OFlag::from_bits_retain(LOCK_FLAGS) | OFlag::O_CLOEXEC;
    let mode = if flags.contains(OFlag::O_CREAT) { Mode::from_bits_truncate(0o666) } else { Mode::empty() };
    if let Some(opened) = open_without_links(base, path, flags, mode) {
        return Ok(opened?.into());
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.map(|dir| open_from(base, dir)).transpose()?;
    let base = dir.as_ref().map_or(base, |dir| dir.0.as_fd());
    Ok(openat(base, path.file_name().unwrap_or(path.as_os_str()), flags, mode)?.into())
}

fn open_from(base: BorrowedFd<'_>, path: &Path) -> io::Result<Dir> {
    match open_without_links(base, path, HANDLE, Mode::empty()) {
        Some(opened) => Ok(Dir(opened?)),
        None => walk(base, path, Missing::Leave),
    }
}

/// Opens a path in one call if no symbolic link is on it; `None` if one is, or the system has no such call.
#[cfg(target_os = "linux")]
fn open_without_links(
    base: BorrowedFd<'_>,
    path: &Path,
    flags: OFlag,
    mode: Mode,
) -> Option<nix::Result<OwnedFd>> {
    use nix::fcntl::{OpenHow, ResolveFlag, openat2};
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let how = OpenHow::new().flags(flags).mode(mode).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(base, path, how) {
        // A path of any length can be walked. A seccomp filter may answer a call that it does not know with EPERM.
        Err(Errno::ELOOP | Errno::ENAMETOOLONG | Errno::ENOSYS | Errno::EPERM | Errno::EAGAIN) => None,
        opened => Some(opened),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_without_links(_: BorrowedFd<'_>, _: &Path, _: OFlag, _: Mode) -> Option<nix::Result<OwnedFd>> {
    None
}

/// Opens a directory component by component, each through the one before.
fn walk(base: BorrowedFd<'_>, path: &Path, missing: Missing) -> io::Result<Dir> {
    let mut here = Dir(openat(base, ".", HANDLE, Mode::empty())?);
    let mut left = Vec::new(); // the next component last
    push(&mut left, path);
    let mut links = 0;
    let mut named = left.len(); // those that are left when all of the last link is done
    while let Some(name) = left.pop() {
        here = match openat(&here.0, &*name, HANDLE | OFlag::O_NOFOLLOW, Mode::empty()) {
            Ok(dir) => Dir(dir),
            Err(refused) => match here.link(&name)? {
                Link::None if refused == Errno::ENOENT && missing == Missing::Make && left.len() < named => {
                    match mkdirat(&here.0, &*name, Mode::from_bits_truncate(0o777)) {
                        Err(Errno::EEXIST) => {} // somebody else was faster
                        made => made?,
                    }
                    left.push(name);
                    continue;
                }
                Link::None => return Err(refused.into()),
                Link::Magic => Dir(openat(&here.0, &*name, HANDLE, Mode::empty())?),
                Link::To(_) if links == MAX_LINKS => return Err(Errno::ELOOP.into()),
                Link::To(target) => {
                    links += 1;
                    named = named.min(left.len());
                    push(&mut left, Path::new(&target));
                    continue;
                }
            },
        };
    }
    Ok(here)
}

fn push(left: &mut Vec<OsString>, path: &Path) {
    let names = path.components().filter(|component| *component != Component::CurDir);
    left.extend(names.rev().map(|component| component.as_os_str().to_owned()));
}
