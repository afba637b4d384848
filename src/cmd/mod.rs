//! The subcommands.

mod below;
pub mod clean;
pub mod cluster;
pub mod columns;
mod habits;
pub mod history;
pub mod holders;
mod inquiry;
pub mod journal;
pub mod json;
mod meant;
pub mod narrate;
mod remedy;
pub mod report;
pub mod run;
pub mod status;
pub mod update;
pub mod usage;
