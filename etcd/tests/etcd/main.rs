//! What `gtlock-etcd` does with a real etcd of three nodes, which the tests start: one module for each subject. Without an
//! etcd they are skipped, with a line that says so. `ETCD_BIN` names another etcd than the one in PATH.
#![cfg(target_os = "linux")]

mod cluster;
mod common;

mod distance;
mod faults;
mod fence;
mod history;
mod lifetime;
mod messages;
mod min_hold;
mod names;
mod order;
mod secured;
mod status;
mod trying;
mod update;
