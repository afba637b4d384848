//! Which etcd ends leases early.

use crate::client::Client;

/// The first release of each line without the faults that locks suffer from: leases that a leader revokes which was
/// paused, renewals that are confirmed although the lease is gone, reads that are out of date after a pause.
const SOUND: [(u32, u32, u32); 3] = [(3, 4, 42), (3, 5, 28), (3, 6, 9)];

/// What to say of an etcd that is too old, if it is.
pub fn warning(client: &Client) -> Option<String> {
    let version = client.version()?;
    is_faulty(&version)?.then(|| {
        format!(
            "etcd {} can end leases early; 3.4.42, 3.5.28 or 3.6.9 and later do not",
            gtlock::Escaped::new(&version)
        )
    })
}

/// Whether a version has the faults; `None` if it cannot be read.
fn is_faulty(version: &str) -> Option<bool> {
    let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u32>);
    let mut number = || numbers.next()?.ok();
    let version = (number()?, number()?, number()?);
    let sound = SOUND.iter().find(|(major, minor, _)| (*major, *minor) == (version.0, version.1));
    Some(match sound {
        Some(sound) => version < *sound,
        None => version < SOUND[0],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_of_each_line_are_faulty() {
        for (version, faulty) in [
            ("3.4.23", Some(true)),
            ("3.4.42", Some(false)),
            ("3.5.27", Some(true)),
            ("3.5.28", Some(false)),
            ("3.6.0-rc.1", Some(true)),
            ("3.7.0", Some(false)),
            ("2.3.8", Some(true)),
            ("new", None),
        ] {
            assert_eq!(is_faulty(version), faulty, "{version}");
        }
    }
}
