//! From the name of a data file to its locks: in which directory they are, and under which name.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Error, inside_lock_dir, no_data_directory, no_directory};
use super::request::Place;
use super::spot::{Spot, is_default_lock_dir, is_lock_dir, lock_dir_below};
use crate::escape::Escaped;
use crate::sys::{Dir, Link};

/// How many symbolic links to follow from a data file before they count as a loop, as in Linux.
const MAX_LINKS: usize = 40;

/// The longest file name, in bytes, of every file system in common use.
const NAME_MAX: usize = 255;

/// Finds the locks of data files, and opens each directory once.
#[derive(Debug)]
pub struct Resolver<'a> {
    place: &'a Place,
    opened: HashMap<PathBuf, Arc<Dir>>,
    /// The names of the data files when they were resolved.
    seen: HashMap<PathBuf, Vec<PathBuf>>,
}

impl<'a> Resolver<'a> {
    pub fn new(place: &'a Place) -> Self {
        Self { place, opened: HashMap::new(), seen: HashMap::new() }
    }

    /// The spots whose locks guard a data file. One, unless the data file is a symbolic link: then one for each name
    /// from the link to what it finally points to. Nothing is created.
    pub fn spots(&mut self, data: &Path) -> Result<Vec<Spot>, Error> {
        let mut names = self.names(data)?;
        self.seen.insert(data.to_owned(), names.iter().map(Name::path).collect());
        match (self.place, names.pop()) {
            (Place::Itself, Some(last)) => Ok(vec![last.itself()]),
            (_, Some(Name { is_magic: true, .. })) => Err(Error::invalid(
                data,
                "is an open file and not a name; name the file itself, or lock it with --direct",
            )),
            (_, last) => names.iter().chain(&last).map(|name| self.lock_file(name, data)).collect(),
        }
    }

    /// Whether the data files still lead where they led when their spots were found: a symbolic link may have changed
    /// before its lock was taken.
    pub fn is_unchanged(&mut self) -> Result<bool, Error> {
        for (data, seen) in mem::take(&mut self.seen) {
            if self.names(&data)?.iter().map(Name::path).ne(seen) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// All names of a data file: its own, and those that it leads to as a symbolic link.
    fn names(&mut self, data: &Path) -> Result<Vec<Name>, Error> {
        let mut names = Vec::new();
        let mut next = data.to_owned();
        for _ in 0..=MAX_LINKS {
            let (dir_path, name) = parts(&next, data, self.place)?;
            let dir = self.dir(&dir_path, data)?;
            let link = dir.link(&name).map_err(|e| Error::io(data, e))?;
            if let Link::To(target) = &link {
                next = dir_path.join(target);
            }
            let is_magic = matches!(link, Link::Magic);
            names.push(Name { dir, dir_path, file: name, is_magic });
            if !matches!(link, Link::To(_)) {
                return Ok(names);
            }
        }
        Err(Error::invalid(data, "too many symbolic links; name the file that they should lead to"))
    }

    fn dir(&mut self, path: &Path, named: &Path) -> Result<Arc<Dir>, Error> {
        if let Some(dir) = self.opened.get(path) {
            return Ok(Arc::clone(dir));
        }
        let dir = Dir::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound if self.will_have_locks(path, named) => inside_lock_dir(named),
            io::ErrorKind::NotFound => no_data_directory(named, path),
            io::ErrorKind::NotADirectory => {
                Error::invalid(named, format!("{} is not a directory", Escaped::new(path)))
            }
            _ => Error::io(path, source),
        })?;
        let dir = Arc::new(dir);
        self.opened.insert(path.to_owned(), Arc::clone(&dir));
        Ok(dir)
    }

    /// Whether a directory that does not exist is one that gtlock would create for locks, and a lock in it was named.
    fn will_have_locks(&self, dir: &Path, named: &Path) -> bool {
        match self.place {
            Place::Itself => false,
            Place::Beside => is_lock_dir(dir),
            Place::Directory(locks) => {
                is_lock_dir(dir)
                    || dir == locks && named.extension().is_some_and(|extension| extension == "lock")
            }
        }
    }

    fn lock_file(&mut self, name: &Name, named: &Path) -> Result<Spot, Error> {
        let Name { dir, dir_path, file: name, .. } = name;
        let mut file = name.to_owned();
        file.push(".lock");
        let id_of = |dir: &Dir| dir.stat().map(|stat| stat.id).ok();
        let is_in_lock_dir = named.parent().is_some_and(is_lock_dir) // or a link by that name
            || is_default_lock_dir(dir).map_err(|e| Error::io(dir_path, e))?;
        let (lock_dir, file, path) = match self.place {
            Place::Directory(path) => {
                let lock_dir = self.chosen(path)?;
                let is_lock = Path::new(name).extension().is_some_and(|extension| extension == "lock");
                let is_same = |lock_dir: &Arc<Dir>| is_lock && id_of(lock_dir) == id_of(dir);
                if lock_dir.as_ref().is_some_and(is_same) {
                    return Err(inside_lock_dir(named));
                }
                (lock_dir, PathBuf::from(&file), path.join(&file))
            }
            Place::Beside | Place::Itself => {
                let below = lock_dir_below(Path::new("")).join(file);
                (Some(Arc::clone(dir)), below.clone(), dir_path.join(below))
            }
        };
        if is_in_lock_dir {
            return Err(inside_lock_dir(named));
        }
        Ok(Spot { dir: lock_dir, file, path, place: self.place.clone(), is_magic: false })
    }

    /// A chosen lock directory, if it is there.
    fn chosen(&mut self, path: &Path) -> Result<Option<Arc<Dir>>, Error> {
        if let Some(dir) = self.opened.get(path) {
            return Ok(Some(Arc::clone(dir)));
        }
        match open_lock_dir(path) {
            Ok(dir) => {
                let dir = Arc::new(dir);
                self.opened.insert(path.to_owned(), Arc::clone(&dir));
                Ok(Some(dir))
            }
            Err(Error::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// A name of a data file.
#[derive(Debug)]
struct Name {
    dir: Arc<Dir>,
    dir_path: PathBuf,
    file: OsString,
    is_magic: bool,
}

impl Name {
    fn path(&self) -> PathBuf {
        self.dir_path.join(&self.file)
    }

    /// The data itself as the file of a lock.
    fn itself(self) -> Spot {
        let Self { dir, dir_path, file, is_magic } = self;
        let path = if file == "." { dir_path } else { dir_path.join(&file) };
        Spot { dir: Some(dir), file: file.into(), path, place: Place::Itself, is_magic }
    }
}

/// The directory and the name of a data file. A directory that is locked itself need not have one.
fn parts(path: &Path, named: &Path, place: &Place) -> Result<(PathBuf, OsString), Error> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match path.file_name() {
        Some(name) if *place != Place::Itself && name.len() + ".lock".len() > NAME_MAX => {
            Err(Error::invalid(
                named,
                format!("name too long: with \".lock\" added it exceeds {NAME_MAX} bytes; use a shorter one"),
            ))
        }
        Some(name) => Ok((parent.to_owned(), name.to_owned())),
        None if *place == Place::Itself => Ok((path.to_owned(), ".".into())),
        None => Err(Error::invalid(named, "is not the name of a file; name the data file itself")),
    }
}

fn open_lock_dir(path: &Path) -> Result<Dir, Error> {
    Dir::open(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotADirectory => no_directory(path),
        _ => Error::io(path, e),
    })
}
