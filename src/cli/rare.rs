//! Options that few command lines name: clap builds them only then. To build them all is half of a run's instructions.

use std::ffi::OsString;
use std::ops::Deref;

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};

/// Reads the command line of a subcommand, unless it needs help or rare options, or is wrong.
pub fn read_plain<T: Args>(words: &[OsString]) -> Option<T> {
    let mut command = T::augment_args(Command::new("gtlock").disable_help_flag(true));
    let mut matches = command.try_get_matches_from_mut(words).ok()?;
    T::from_arg_matches_mut(&mut matches).ok()
}

/// Options that few command lines name. None of them has a default or an environment variable, and none is flattened
/// from another struct: whether any is named is asked of the group that clap derives.
#[derive(Debug)]
pub struct Rare<T>(T);

impl<T> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Apart from what a plain run executes: that much code would be on its pages.
#[inline(never)]
fn build<T: Args>(command: Command) -> Command {
    debug_assert!(are_unset_until_named(&T::augment_args(Command::new(""))), "see Rare");
    T::augment_args(command)
}

fn are_unset_until_named(rare: &Command) -> bool {
    let are_in_one_group = rare.get_groups().count() == 1;
    let is_unset =
        |option: &Arg| !option.get_action().takes_values() || option.get_default_values().is_empty();
    are_in_one_group && rare.get_arguments().all(|option| is_unset(option) && option.get_env().is_none())
}

impl<T: Args + Default> Args for Rare<T> {
    fn augment_args(command: Command) -> Command {
        if command.is_disable_help_flag_set() { command } else { build::<T>(command) }
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: Args + Default> FromArgMatches for Rare<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        // It is an error to ask for a group that was not built.
        let is_named = |group: clap::Id| matches.try_contains_id(group.as_str()).unwrap_or(false);
        let is_any_named = T::group_id().is_some_and(is_named);
        Ok(Self(if is_any_named { T::from_arg_matches_mut(matches)? } else { T::default() }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
