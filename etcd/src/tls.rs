//! The certificates for encrypted connections, from the environment.

use std::{env, fs};

use anyhow::{Context, Result, anyhow, bail};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

const CACERT: &str = "GTLOCK_ETCD_CACERT";
const CERT: &str = "GTLOCK_ETCD_CERT";
const KEY: &str = "GTLOCK_ETCD_KEY";

/// Which certificates to trust, and which one to present.
pub fn config(is_encrypted: bool) -> Result<TlsConfig> {
    let mut config = TlsConfig::builder();
    if !is_encrypted {
        return Ok(config.build());
    }
    if let Some(trusted) = certificates(CACERT)? {
        config = config.root_certs(RootCerts::new_with_certs(&trusted));
    }
    match (certificates(CERT)?, pem(KEY)?) {
        (Some(chain), Some(key)) => {
            let key =
                PrivateKey::from_pem(&key).with_context(|| format!("{KEY}: no private key in the file"))?;
            config = config.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
        }
        (None, None) => {}
        _ => bail!("{CERT} and {KEY} go together: set both"),
    }
    Ok(config.build())
}

fn certificates(variable: &str) -> Result<Option<Vec<Certificate<'static>>>> {
    let Some(pem) = pem(variable)? else { return Ok(None) };
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(anyhow!("{variable}: no certificate in the file"));
    }
    Ok(Some(certificates))
}

fn pem(variable: &str) -> Result<Option<Vec<u8>>> {
    let Some(file) = env::var_os(variable).filter(|file| !file.is_empty()) else { return Ok(None) };
    let pem = fs::read(&file).with_context(|| format!("{variable}: {}", gtlock::Escaped::new(&file)))?;
    Ok(Some(pem))
}
