//! The subcommands.

mod below;
pub mod clean;
mod narrate;
pub mod report;
pub mod run;
pub mod status;
pub mod usage;
