//! The parts of a transaction.

use serde_json::{Value, json};

use crate::keys::end_of;
use crate::record::base64;

/// Reads a key.
pub fn get(key: &[u8]) -> Value {
    json!({ "request_range": { "key": base64(key) } })
}

/// Reads all keys that begin with `prefix`, in the order of their creation.
pub fn all_below(prefix: &[u8]) -> Value {
    json!({ "request_range": {
        "key": base64(prefix), "range_end": base64(&end_of(prefix)),
        "sort_order": "ASCEND", "sort_target": "CREATE",
    } })
}

/// Reads the keys that begin with `prefix` and were created before a revision.
pub fn all_before(prefix: &[u8], revision: i64) -> Value {
    json!({ "request_range": {
        "key": base64(prefix), "range_end": base64(&end_of(prefix)),
        "max_create_revision": (revision - 1).to_string(),
    } })
}

/// Reads the youngest key that begins with `prefix` and was created before a revision.
pub fn youngest_before(prefix: &[u8], revision: i64) -> Value {
    json!({ "request_range": {
        "key": base64(prefix), "range_end": base64(&end_of(prefix)), "limit": 1, "keys_only": true,
        "sort_order": "DESCEND", "sort_target": "CREATE", "max_create_revision": (revision - 1).to_string(),
    } })
}

/// Writes a key, under a lease unless that is 0.
pub fn put(key: &[u8], value: &[u8], lease: i64) -> Value {
    json!({ "request_put": { "key": base64(key), "value": base64(value), "lease": lease.to_string() } })
}

pub fn delete(key: &[u8]) -> Value {
    json!({ "request_delete_range": { "key": base64(key) } })
}

/// A transaction inside this one.
pub fn nested(compare: &[Value], success: &[Value], failure: &[Value]) -> Value {
    json!({ "request_txn": { "compare": compare, "success": success, "failure": failure } })
}

/// Whether a key was created in this revision; with 0, whether there is none.
pub fn created_in(key: &[u8], revision: i64) -> Value {
    json!({ "key": base64(key), "target": "CREATE", "result": "EQUAL", "create_revision": revision.to_string() })
}

/// Whether there is no key that begins with `prefix`.
pub fn none_below(prefix: &[u8]) -> Value {
    json!({
        "key": base64(prefix), "range_end": base64(&end_of(prefix)),
        "target": "CREATE", "result": "EQUAL", "create_revision": "0",
    })
}

/// Whether a key was last written in this revision.
pub fn modified_in(key: &[u8], revision: i64) -> Value {
    json!({ "key": base64(key), "target": "MOD", "result": "EQUAL", "mod_revision": revision.to_string() })
}
