//! The URL of a cluster.

use anyhow::{Result, bail};

/// Which cluster keeps the locks, and under which prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// As it was typed, without slashes at its end.
    pub url: String,
    /// Each as `HOST:PORT`.
    pub endpoints: Vec<String>,
    pub is_encrypted: bool,
    /// The start of all keys, without slashes at its ends.
    pub prefix: String,
}

const DEFAULT_PREFIX: &str = "gtlock";

impl At {
    /// Reads `etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]`.
    pub fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let is_encrypted = match scheme {
            "etcd" => false,
            "etcds" => true,
            _ => bail!("--at: give etcd://HOST:PORT or etcds://HOST:PORT"),
        };
        let (hosts, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let endpoints: Vec<_> = hosts.split(',').map(str::to_owned).collect();
        for endpoint in &endpoints {
            let port = endpoint.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            let is_port = port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
            if !is_port || endpoint.contains(|c: char| "@?#".contains(c) || c.is_whitespace()) {
                let user = if endpoint.contains('@') { "; put the login into GTLOCK_ETCD_USER" } else { "" };
                bail!(
                    "--at: '{}' is not HOST:PORT, such as localhost:2379{user}",
                    gtlock::Escaped::new(endpoint)
                );
            }
        }
        let prefix = match prefix.trim_matches('/') {
            "" => DEFAULT_PREFIX,
            prefix => prefix,
        };
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { url, endpoints, is_encrypted, prefix: prefix.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_hosts_with_ports_and_an_optional_prefix() {
        let at = At::parse("etcd://h1:2379,h2:2379/town").expect("a URL");
        assert_eq!((at.endpoints.len(), at.is_encrypted, at.prefix.as_str()), (2, false, "town"));
        assert_eq!(At::parse("etcds://[::1]:2379").expect("a URL").prefix, "gtlock");
        assert_eq!(At::parse("etcd://h:1/a/b/").expect("a URL").prefix, "a/b");
        for wrong in
            ["etcd://h1", "etcd://h1:2379,", "etcd://u:p@h1:2379", "etcd://h1:0", "redis://h1:1", "etcd:///x"]
        {
            assert!(At::parse(wrong).is_err(), "{wrong}");
        }
    }
}
