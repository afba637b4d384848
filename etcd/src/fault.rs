//! Errors of etcd, and of the way to it.

use std::fmt;

use serde_json::Value;

/// A transaction has five operations for each name, and etcd takes 128 by default.
const MANY_NAMES: &str = "too many names for one transaction: lock fewer (etcd takes 25), or start etcd with a larger --max-txn-ops";

/// Why there is no answer.
#[derive(Debug)]
pub enum Fault {
    /// etcd refused.
    Refused {
        /// The gRPC code.
        code: i64,
        message: String,
    },
    /// No endpoint answered: each one, with its error.
    Unreachable(Vec<(String, String)>),
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { message, .. } if message.contains("user name is empty") => {
                write!(f, "etcd wants a login: set GTLOCK_ETCD_USER and GTLOCK_ETCD_PASSWORD_FILE")
            }
            Self::Refused { message, .. } if message.contains("too many operations") => {
                write!(f, "etcd refused: {MANY_NAMES}")
            }
            Self::Refused { message, .. } => write!(f, "etcd refused: {}", gtlock::Escaped::new(message)),
            Self::Unreachable(errors) => {
                let errors: Vec<_> = errors
                    .iter()
                    .map(|(endpoint, error)| format!("{endpoint}: {}", gtlock::Escaped::new(error)))
                    .collect();
                write!(f, "etcd cannot be reached: {}", errors.join("; "))
            }
        }
    }
}

/// The error in an answer with this HTTP status.
pub fn refusal(answer: &Value, status: u16) -> Fault {
    let error = if answer["error"].is_object() { &answer["error"] } else { answer };
    let code = error["code"].as_i64().or_else(|| error["grpc_code"].as_i64());
    let message = error["message"].as_str().or_else(|| error["error"].as_str());
    let message = message.map_or_else(|| format!("status {status}"), str::to_owned);
    Fault::Refused { code: code.unwrap_or(2), message }
}
