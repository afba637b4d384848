//! Unix: what a file has besides its content.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

use xattr::FileExt;

const ACL: &str = "system.posix_acl_access";

/// Attributes that are about the content, and do not hold for another.
const OF_CONTENT: [&str; 3] = ["security.capability", "security.ima", "security.evm"];

/// Gives a new file the owner, mode, ACL and extended attributes of an old one, as far as this user may set
/// them. Where the old group is out of reach, the new one gets no more than everybody had.
pub fn copy_attributes(old: &File, new: &File) -> io::Result<()> {
    let was = old.metadata()?;
    let is = new.metadata()?;
    let owner = (was.uid() != is.uid()).then_some(was.uid());
    let group = (was.gid() != is.gid()).then_some(was.gid());
    let owner_kept = owner.is_none() || permitted(fchown(new, owner, group))?;
    let group_kept =
        group.is_none() || (owner.is_some() && owner_kept) || permitted(fchown(new, None, group))?;

    let has_acl = copy_extended(old, new, group_kept)?;
    let mut mode = was.mode() & 0o7777;
    if !group_kept && !has_acl {
        mode &= !0o070 | (mode & 0o007) << 3;
    }
    if !owner_kept || !group_kept {
        mode &= !0o6000;
    }
    permitted(new.set_permissions(Permissions::from_mode(mode)))?; // not on FAT
    Ok(())
}

/// Copies the extended attributes, and returns whether there is an ACL among them.
fn copy_extended(old: &File, new: &File, group_kept: bool) -> io::Result<bool> {
    let names = match old.list_xattr() {
        Err(e) if is_refusal(&e) => return Ok(false),
        names => names?,
    };
    let mut has_acl = false;
    for name in names.filter(|name| !OF_CONTENT.iter().any(|of_content| name == of_content)) {
        let Some(mut value) = old.get_xattr(&name)? else { continue };
        let is_acl = name == ACL;
        if is_acl && !group_kept {
            restrict_group(&mut value);
        }
        let copied = permitted(new.set_xattr(&name, &value))?;
        has_acl |= is_acl && copied;
    }
    if !has_acl && new.get_xattr(ACL).is_ok_and(|inherited| inherited.is_some()) {
        permitted(new.remove_xattr(OsStr::new(ACL)))?;
    }
    Ok(has_acl)
}

/// Leaves the owning group of an ACL what everybody has. An ACL is a version, and then entries of a tag and
/// permissions in 16 bits each, and an ID in 32.
fn restrict_group(acl: &mut [u8]) {
    const GROUP: [u8; 2] = 0x04_u16.to_le_bytes();
    const OTHERS: [u8; 2] = 0x20_u16.to_le_bytes();
    let mut entries = acl.get_mut(4..).unwrap_or_default().chunks_exact(8);
    let others = entries.find(|entry| entry[..2] == OTHERS).map_or(0, |entry| entry[2]);
    for entry in acl.get_mut(4..).unwrap_or_default().chunks_exact_mut(8) {
        if entry[..2] == GROUP {
            entry[2] &= others;
        }
    }
}

/// Whether it was done; `false` if this user may not, or the file system cannot.
fn permitted(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(e) if is_refusal(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), PermissionDenied | Unsupported | InvalidInput)
}
