//! What gtlock does, through the program and through the library: one module a subject.
//!
//! In one binary, since a change of the library relinks it once. What is for Windows is in
//! `tests/windows.rs`; the model, the stress test and the generated files have binaries of their own.
#![cfg(unix)]
#![cfg_attr(
    not(target_os = "linux"),
    allow(
        dead_code,
        unused_imports,
        reason = "many tests are for Linux alone, and what they use is imported once"
    )
)]

mod common;

mod bad_input;
mod clean;
mod commands;
#[cfg(target_os = "linux")]
mod completion;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod direct;
mod exclusion;
#[cfg(target_os = "linux")]
mod fairness;
#[cfg(target_os = "linux")]
mod faults;
mod flock;
mod given_up;
#[cfg(target_os = "linux")]
mod history;
#[cfg(target_os = "linux")]
mod hostile;
#[cfg(target_os = "linux")]
mod json;
mod library;
mod lifetime;
mod max_hold;
#[cfg(target_os = "linux")]
mod neighbours;
#[cfg(target_os = "linux")]
mod nested;
#[cfg(target_os = "linux")]
mod no_fork;
#[cfg(target_os = "linux")]
mod order;
mod paths;
mod readme;
mod recursive;
#[cfg(target_os = "linux")]
mod shared;
mod signals;
mod slips;
#[cfg(target_os = "linux")]
mod slots;
mod status;
#[cfg(target_os = "linux")]
mod terminal;
mod trying;
mod update;
mod waiting;
#[cfg(target_os = "linux")]
mod waiting_room;
