//! The subcommands.

pub mod clean;
pub mod report;
pub mod run;
pub mod status;
