//! Symbolic links, and which of them are followed.

use std::ffi::{OsStr, OsString};
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, readlinkat};
#[cfg(target_os = "linux")]
use nix::fcntl::{OFlag, openat};
use nix::libc;
#[cfg(target_os = "linux")]
use nix::sys::stat::Mode;
use nix::sys::stat::{SFlag, fstat, fstatat};
use nix::unistd::geteuid;

use super::dir::kind_of;

/// How many symbolic links one path may lead through, as in Linux.
pub const MAX_LINKS: usize = 40;

/// What a name is that may be a symbolic link.
#[derive(Debug)]
pub enum Link {
    /// Anything else, or nothing.
    None,
    /// A link with this text.
    To(OsString),
    /// A link of `/proc`, whose text is not where it leads: only the kernel can follow it.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there are none"))]
    Magic,
}

/// As [`super::Dir::link`].
pub fn link(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Link> {
    match readlinkat(dir, name) {
        Err(Errno::EINVAL | Errno::ENOENT | Errno::ENOTDIR) => return Ok(Link::None),
        text => text?, // a link: look at it with more care
    };
    // The link itself is opened if possible, so that its owner and its text are of the same link.
    #[cfg(target_os = "linux")]
    let opened = match openat(dir, name, OFlag::O_PATH | OFlag::O_NOFOLLOW, Mode::empty()) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(Link::None),
        opened => opened?,
    };
    #[cfg(target_os = "linux")]
    let (opened, text_in) = (opened.as_fd(), OsStr::new(""));
    #[cfg(not(target_os = "linux"))]
    let (opened, text_in) = (dir, name);
    let stat = match fstatat(opened, text_in, at_link()) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(Link::None),
        stat => stat?,
    };
    if kind_of(&stat) != SFlag::S_IFLNK {
        return Ok(Link::None);
    }
    #[cfg(target_os = "linux")]
    if nix::sys::statfs::fstatfs(opened)?.filesystem_type() == nix::sys::statfs::PROC_SUPER_MAGIC {
        return Ok(Link::Magic);
    }
    let there = fstat(dir)?;
    let shared = libc::S_ISVTX | libc::S_IWOTH;
    let is_strangers = stat.st_uid != geteuid().as_raw() && stat.st_uid != there.st_uid;
    if there.st_mode & shared == shared && is_strangers {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{} is a symbolic link of user {} in a sticky directory, which is not followed; name the file \
                 that it leads to",
                crate::escape::Escaped::new(name),
                stat.st_uid
            ),
        ));
    }
    match readlinkat(opened, text_in) {
        Err(Errno::ENOENT | Errno::EINVAL) => Ok(Link::None), // replaced since
        text => Ok(Link::To(text?)),
    }
}

#[cfg(target_os = "linux")]
fn at_link() -> AtFlags {
    AtFlags::AT_EMPTY_PATH | AtFlags::AT_SYMLINK_NOFOLLOW
}

#[cfg(not(target_os = "linux"))]
fn at_link() -> AtFlags {
    AtFlags::AT_SYMLINK_NOFOLLOW
}
