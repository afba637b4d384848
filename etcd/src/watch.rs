//! Waits for the deletion of keys.

use std::io::BufRead;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::record::{Pair, base64};

/// What a watch saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// This key was deleted.
    Deleted(Vec<u8>),
    /// The stream has ended, by its time limit or otherwise: look again.
    Ended,
}

/// A stream with the deletions of some keys.
pub struct Watch<'a> {
    client: &'a Client,
    answers: Box<dyn BufRead>,
    /// Deletions that were read and not returned yet.
    deleted: Vec<Vec<u8>>,
}

impl<'a> Watch<'a> {
    /// Watches these keys for `limit` at most, from `revision` on. `None` if etcd does not answer.
    pub fn open(client: &'a Client, keys: &[Vec<u8>], revision: i64, limit: Duration) -> Option<Self> {
        let requests = keys.iter().map(|key| {
            let create =
                json!({ "key": base64(key), "start_revision": revision.to_string(), "filters": ["NOPUT"] });
            json!({ "create_request": create }).to_string()
        });
        let answers = client.stream("/v3/watch", requests.collect(), limit).ok()?;
        Some(Self { client, answers: Box::new(answers), deleted: Vec::new() })
    }

    /// Waits for the deletion of one of the keys.
    pub fn next(&mut self) -> Watched {
        let mut line = String::new();
        loop {
            if let Some(key) = self.deleted.pop() {
                return Watched::Deleted(key);
            }
            line.clear();
            match self.answers.read_line(&mut line) {
                Ok(0) => {
                    self.client.turn("the stream has ended");
                    return Watched::Ended;
                }
                Err(_) => return Watched::Ended,
                Ok(_) => {}
            }
            let answer: Value = serde_json::from_str(&line).unwrap_or_default();
            let result = &answer["result"];
            let events = result["events"].as_array().into_iter().flatten();
            let deletions = events.filter(|event| event["type"] == "DELETE");
            self.deleted = deletions.map(|event| Pair::of(&event["kv"]).key).collect();
            if self.deleted.is_empty() && (result["canceled"] == true || !answer["error"].is_null()) {
                self.client.turn("the watch was cancelled");
                return Watched::Ended;
            }
        }
    }
}
