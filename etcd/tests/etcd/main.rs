//! What `gtlock-etcd` does, beside a real etcd of three nodes, which the tests start: one module a subject. Where there is
//! no etcd they are skipped, with a line that says so. `ETCD_BIN` names another one than that in PATH.
#![cfg(target_os = "linux")]

mod cluster;
mod common;

mod distance;
mod faults;
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
