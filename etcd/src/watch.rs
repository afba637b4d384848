//! Waits in etcd for the end of a key.

use std::io::BufRead;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::record::base64;

/// What a watch has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// The key is deleted.
    Deleted,
    /// The time is over, or the stream has ended for whatever reason: look again.
    Ended,
}

/// Waits until a key is deleted, no longer than `limit`. `revision` is the first that was not seen yet.
pub fn for_end_of(client: &Client, key: &[u8], revision: i64, limit: Duration) -> Watched {
    let create = json!({ "key": base64(key), "start_revision": revision.to_string(), "filters": ["NOPUT"] });
    let create = json!({ "create_request": create });
    let Ok(mut answers) = client.stream("/v3/watch", &create, limit) else {
        return Watched::Ended;
    };
    let mut line = String::new();
    loop {
        line.clear();
        match answers.read_line(&mut line) {
            Ok(0) => {
                client.turn("the stream has ended");
                return Watched::Ended;
            }
            Err(_) => return Watched::Ended,
            Ok(_) => {}
        }
        let answer: Value = serde_json::from_str(&line).unwrap_or_default();
        let result = &answer["result"];
        let mut events = result["events"].as_array().into_iter().flatten();
        if events.any(|event| event["type"] == "DELETE") {
            return Watched::Deleted;
        }
        if result["canceled"] == true || !answer["error"].is_null() {
            client.turn("the watch was cancelled");
            return Watched::Ended;
        }
    }
}
