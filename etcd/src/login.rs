//! A user of etcd and the password, from the environment.

use std::{env, fs};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

const USER: &str = "GTLOCK_ETCD_USER";
const PASSWORD_FILE: &str = "GTLOCK_ETCD_PASSWORD_FILE";

/// A user and the password.
pub struct Login {
    user: String,
    password: String,
}

impl Login {
    /// The login that the environment names, if any.
    pub fn from_environment() -> Result<Option<Self>> {
        let given = |name| env::var_os(name).filter(|value| !value.is_empty());
        let (user, file) = match (given(USER), given(PASSWORD_FILE)) {
            (None, None) => return Ok(None),
            (Some(user), Some(file)) => (user, file),
            _ => bail!("{USER} and {PASSWORD_FILE} go together: set both"),
        };
        let Ok(user) = user.into_string() else { bail!("{USER} is not UTF-8") };
        let password = fs::read_to_string(&file)
            .with_context(|| format!("{PASSWORD_FILE}: {}", gtlock::Escaped::new(&file)))?;
        Ok(Some(Self { user, password: password.trim_end_matches(['\n', '\r']).to_owned() }))
    }

    /// The request for a token.
    pub fn body(&self) -> Value {
        json!({ "name": self.user, "password": self.password })
    }
}
