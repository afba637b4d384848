//! The subcommands.

mod below;
pub mod clean;
mod habits;
pub mod history;
mod holders;
mod inquiry;
mod journal;
mod json;
mod meant;
mod narrate;
mod remedy;
pub mod report;
pub mod run;
pub mod status;
pub mod update;
pub mod usage;
