//! gtlock runs commands under file locks, in the manner of flock(1), and says who holds them.
//!
//! The command line is a thin shell around [`lock`], which can be used from Rust as well.

pub mod cli;
pub mod cmd;
mod escape;
pub mod exit;
mod history;
pub mod lock;
pub mod process;
mod sys;
pub mod update;

pub use escape::Escaped;
#[cfg(unix)]
#[doc(hidden)]
pub use sys::begin;

/// The examples for Rust in `docs/`, run as doctests.
#[cfg(doctest)]
mod docs {
    #[doc = include_str!("../docs/library.md")]
    mod library {}
    #[doc = include_str!("../docs/agents.md")]
    mod agents {}
}
