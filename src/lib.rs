//! gtlock runs commands under file locks, like flock(1), and shows who holds them.
//!
//! The command line is a thin shell around [`lock`], which can be used from Rust, too. It is the feature `cli`, and not
//! part of the library's interface: `default-features = false` leaves it and its dependencies out.
#![cfg_attr(
    not(feature = "cli"),
    allow(dead_code, unused_imports, reason = "of the system, the program uses more")
)]

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cmd;
mod cores;
mod escape;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod exit;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod history;
pub mod lock;
pub mod process;
mod sys;
pub mod update;

pub use escape::Escaped;
#[cfg(unix)]
#[doc(hidden)]
pub use sys::begin;

/// How a command is run, for `gtlock-etcd`.
#[cfg(all(target_os = "linux", feature = "cli"))]
#[doc(hidden)]
pub mod running {
    pub use crate::sys::{
        Ended, Incoming, Launch, Limit, Streams, Tether, make_inheritable, run, serve_as_process_1,
        stderr_is_ready,
    };
}

/// The examples for Rust in `docs/`, run as doctests.
#[cfg(doctest)]
mod docs {
    #[doc = include_str!("../docs/library.md")]
    mod library {}
    #[doc = include_str!("../docs/agents.md")]
    mod agents {}
}
