//! Which versions of etcd can end leases early.

use crate::client::Client;

/// The first release of each line without three faults: a leader that was paused revokes live leases, a renewal is
/// confirmed although its lease is gone, and a read after a pause is stale.
const SOUND: [(u32, u32, u32); 3] = [(3, 4, 42), (3, 5, 28), (3, 6, 9)];

/// The warning about an etcd that is too old.
pub fn warning(client: &Client) -> Option<String> {
    let version = client.version()?;
    is_faulty(&version)?.then(|| {
        format!(
            "etcd {} can end leases early; 3.4.42, 3.5.28 or 3.6.9 and later do not",
            gtlock::Escaped::new(&version)
        )
    })
}

/// Whether a version has these faults; `None` if the version is not understood.
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
