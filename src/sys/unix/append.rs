//! Appending a line to a log that many write to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit};

/// How near to the limit of file sizes nothing is appended any more: others append at the same time.
const MARGIN: i128 = 1 << 16;

/// Appends to a file, which is made if need be, in one write. Fails where that would block.
pub fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut file = OpenOptions::new().append(true).create(true).custom_flags(flags).open(path)?;
    if !fits(&file, line.len())? {
        return Err(Errno::EFBIG.into());
    }
    match file.write(line)? {
        n if n == line.len() => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::WriteZero, "only a part of the line was written")),
    }
}

/// Whether the file may grow by so much. To write beyond the limit (ulimit -f) would be the end of this process.
fn fits(file: &File, length: usize) -> io::Result<bool> {
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    let is_limited = !kind.is_fifo() && !kind.is_char_device() && !kind.is_socket();
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
    let size = i128::from(metadata.len()) + length as i128;
    Ok(!is_limited || limit == libc::RLIM_INFINITY || size + MARGIN <= i128::from(limit))
}
