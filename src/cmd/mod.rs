//! The subcommands.

mod below;
pub mod clean;
mod habits;
mod meant;
mod narrate;
pub mod report;
pub mod run;
pub mod status;
pub mod usage;
