//! A file, and the one that replaces it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf, is_separator};
use std::sync::Arc;
use std::time::SystemTime;

use super::temporary::{Temporary, remove_leftovers};
use crate::lock::Error;
use crate::sys::{self, Dir, Secrecy};

/// Whether an update is on the disk when it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It is: it outlasts a crash of the system.
    #[default]
    Flushed,
    /// When the system sees fit: after a crash of the system the file may be old, or empty.
    Unflushed,
}

/// A file that is to be replaced. To be opened, and replaced, under its write lock.
#[derive(Debug)]
pub struct Original {
    named: PathBuf,
    dir: Arc<Dir>,
    name: OsString,
    content: Option<File>,
    written: Option<Written>,
}

/// What changes when somebody writes to a file.
type Written = (u64, Option<SystemTime>);

fn written(file: &File) -> io::Result<Written> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.modified().ok()))
}

impl Original {
    /// Finds a file, which need not exist, following symbolic links: never one of somebody else's in a sticky
    /// directory that everybody may write to.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be opened, or is no regular file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let opened = sys::locate(path).and_then(|(dir, name)| {
            let content = dir.open_content(&name)?;
            let written = content.as_ref().map(written).transpose()?;
            Ok(Self { named: path.to_owned(), dir: Arc::new(dir), name, content, written })
        });
        opened.map_err(|error| Error::Io { path: path.to_owned(), error })
    }

    /// Refuses what is no regular file. Also to be asked before the lock is taken, so that no lock directory is made
    /// for such.
    pub(crate) fn check(path: &Path) -> Result<(), Error> {
        if path.as_os_str().to_string_lossy().ends_with(is_separator) && !path.is_dir() {
            return Err(Error::invalid(path, "ends as a directory does; leave the slash out"));
        }
        match path.metadata() {
            Ok(metadata) if !metadata.is_file() => Self::open(path).map(drop),
            _ => Ok(()),
        }
    }

    /// Its content, open to be read; `None` if it does not exist.
    #[must_use]
    pub fn content(&self) -> Option<&File> {
        self.content.as_ref()
    }

    /// Reads its content; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read.
    pub fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        let Some(mut file) = self.content() else { return Ok(None) };
        let mut content = Vec::new();
        let read = file.read_to_end(&mut content);
        read.map(|_| Some(content)).map_err(|e| self.failed("cannot be read", &e))
    }

    /// Begins a replacement, empty so far. Removes what killed updates of the file have left.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if no file can be made beside it.
    pub fn replace(self) -> Result<Replacement, Error> {
        remove_leftovers(&self.dir, &self.name);
        let secrecy = if self.content.is_some() { Secrecy::Private } else { Secrecy::Usual };
        let (temporary, file) = Temporary::create(&self.dir, &self.name, secrecy)
            .map_err(|e| self.failed("no new file can be made beside it", &e))?;
        Ok(Replacement { original: self, temporary, file: Arc::new(file) })
    }

    /// Refuses a file that somebody has replaced or written to since it was opened, be it the one who makes the new
    /// content.
    fn check_unchanged(&self) -> Result<(), Error> {
        let is_unchanged = || {
            let there = self.dir.stat_in(Path::new(&self.name))?;
            Ok(match (&self.content, there) {
                (Some(content), Some(there)) => {
                    there.id == sys::stat(content)?.id && Some(written(content)?) == self.written
                }
                (content, there) => content.is_none() && there.is_none(),
            })
        };
        if is_unchanged().map_err(|e| self.failed("cannot be looked at", &e))? {
            return Ok(());
        }
        Err(Error::invalid(
            &self.named,
            "was changed meanwhile, so it was not replaced: a filter prints the new content and leaves the file alone; \
             a command that writes to the file is for gtlock run",
        ))
    }

    fn failed(&self, what: &str, error: &io::Error) -> Error {
        failed(&self.named, what, error)
    }
}

/// The file that is to take the place of another. It is gone when this is dropped.
#[derive(Debug)]
pub struct Replacement {
    original: Original,
    temporary: Temporary,
    file: Arc<File>,
}

impl Replacement {
    /// Writes to it all that can be read.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if something cannot be read, or written: the disk is full, say.
    pub fn fill(&mut self, content: impl Read) -> Result<(), Error> {
        self.sink().fill(content)
    }

    /// Writes to it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if that fails.
    pub fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
        let mut out = BufWriter::new(&*self.file);
        let written = write(&mut out).and_then(|()| out.flush());
        written.map_err(|e| self.original.failed("cannot be written", &e))
    }

    /// What can be sent to another thread to fill it there.
    #[must_use]
    pub fn sink(&self) -> Sink {
        Sink { named: self.original.named.clone(), file: Arc::clone(&self.file) }
    }

    /// Gives it the original's attributes, and puts it on the disk if that is wanted: all that takes time.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if that cannot be done.
    pub fn finish(self, durability: Durability) -> Result<Finished, Error> {
        let Self { original, temporary, file } = self;
        if let Some(content) = &original.content {
            sys::copy_attributes(content, &file)
                .map_err(|e| original.failed("the new file cannot be given its attributes", &e))?;
        }
        flush(&file, durability).map_err(|e| original.failed("the new content cannot be written", &e))?;
        Ok(Finished { original, temporary, durability })
    }
}

/// A [`Replacement`] that has nothing left to do but to take the place of the original.
#[derive(Debug)]
pub struct Finished {
    original: Original,
    temporary: Temporary,
    durability: Durability,
}

impl Finished {
    /// Puts it in the place of the original, which is kept under its own name with `backup` added.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the original was changed meanwhile, without its lock or by whoever has it; [`Error::Io`] if
    /// it cannot be replaced. It is as it was then, unless the error is that the replacement may not outlast a crash.
    pub fn commit(self, backup: Option<&OsStr>) -> Result<(), Error> {
        let Self { original, temporary, durability } = self;
        original.check_unchanged()?;
        if let (Some(content), Some(suffix)) = (&original.content, backup) {
            keep(&original, content, suffix, durability)
                .map_err(|e| original.failed("no backup can be made", &e))?;
        }
        temporary.rename_to(&original.name).map_err(|e| original.failed("cannot be replaced", &e))?;
        if durability == Durability::Flushed {
            original.dir.flush().map_err(|e| {
                original.failed("was replaced, but may not outlast a crash of the system", &e)
            })?;
        }
        Ok(())
    }
}

/// The way into a [`Replacement`].
#[derive(Debug)]
pub struct Sink {
    named: PathBuf,
    file: Arc<File>,
}

impl Sink {
    /// As [`Replacement::fill`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn fill(self, mut content: impl Read) -> Result<(), Error> {
        let limit = sys::file_size_limit();
        let copied = io::copy(&mut content.by_ref().take(limit), &mut &*self.file).and_then(|length| {
            let fits = length < limit || content.read(&mut [0])? == 0;
            if fits { Ok(()) } else { Err(sys::file_too_large()) }
        });
        copied.map_err(|e| failed(&self.named, "the new content cannot be written", &e))
    }
}

/// Keeps the original under its name with a suffix added.
fn keep(original: &Original, content: &File, suffix: &OsStr, durability: Durability) -> io::Result<()> {
    let Original { dir, name, .. } = original;
    let mut backup = name.clone();
    backup.push(suffix);
    if dir.names(&backup, content)? {
        return Ok(()); // by an update that was killed; to rename one name of a file to another does nothing
    }
    // Where the file system has one name for a file, or this user may not give it another, it is copied.
    let temporary = Temporary::name_for(dir, name).or_else(|_| copy(original, content, durability))?;
    temporary.rename_to(&backup)
}

fn copy(original: &Original, mut content: &File, durability: Durability) -> io::Result<Temporary> {
    let (temporary, file) = Temporary::create(&original.dir, &original.name, Secrecy::Private)?;
    content.rewind()?;
    io::copy(&mut content, &mut &file)?;
    sys::copy_attributes(content, &file)?;
    flush(&file, durability)?;
    Ok(temporary)
}

fn flush(file: &File, durability: Durability) -> io::Result<()> {
    match durability {
        Durability::Flushed => file.sync_all(),
        Durability::Unflushed => Ok(()),
    }
}

fn failed(path: &Path, what: &str, error: &io::Error) -> Error {
    let error = io::Error::new(error.kind(), format!("{what}: {error}"));
    Error::Io { path: path.to_owned(), error }
}
