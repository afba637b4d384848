//! Reads most command lines without the options that few of them name: building those took half of a run's instructions.

use std::ffi::OsString;
use std::fmt::Debug;
use std::ops::Deref;

use clap::{ArgGroup, ArgMatches, Args, Command, Error, FromArgMatches, Id};

/// Reads the arguments of a subcommand without building its rare options. `None` if that fails, as for one of those, for
/// help, or for a mistake.
pub(super) fn read_common<T: Args>(words: &[OsString]) -> Option<T> {
    let mut command = T::augment_args(Command::new("gtlock").disable_help_flag(true));
    let mut matches = command.try_get_matches_from_mut(words).ok()?;
    T::from_arg_matches_mut(&mut matches).ok()
}

/// Whether this is the command of [`read_common`]. It cannot carry a mark of ours, and all others have --help.
fn is_common(command: &Command) -> bool {
    command.is_disable_help_flag_set()
}

/// Options that few command lines name, in a struct that derives [`Args`]. None has a default, an environment variable
/// or a flattened struct: where none is named, all are as in [`Default`], without being built.
#[derive(Debug)]
pub struct Rare<T>(T);

impl<T> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Not inlined, to stay off the pages that a plain run touches.
#[inline(never)]
fn build<T: Args>(command: Command) -> Command {
    debug_assert!(
        are_set_by_name::<T>(),
        "a rare option is flattened from another struct, or has a variable"
    );
    T::augment_args(command)
}

/// Whether what sets one of the options shows in their group.
fn are_set_by_name<T: Args>() -> bool {
    let options = T::augment_args(Command::new("gtlock"));
    let group = options.get_groups().find(|of| *of.get_id() == group::<T>());
    let members: Vec<_> = group.into_iter().flat_map(ArgGroup::get_args).collect();
    options.get_arguments().all(|option| members.contains(&option.get_id()) && option.get_env().is_none())
}

fn group<T: Args>() -> Id {
    T::group_id().expect("clap derives a group")
}

impl<T: Args + Default + Debug> Args for Rare<T> {
    fn augment_args(command: Command) -> Command {
        if is_common(&command) { command } else { build::<T>(command) }
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: Args + Default + Debug> FromArgMatches for Rare<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        let is_named = matches.try_contains_id(group::<T>().as_str());
        if matches!(is_named, Ok(true)) {
            return T::from_arg_matches_mut(matches).map(Self);
        }
        let unset = T::default();
        // With debug assertions, to ask for a group that was not built is an error.
        debug_assert!(
            is_named.is_err() || format!("{:?}", T::from_arg_matches(matches)) == format!("Ok({unset:?})"),
            "a rare option has a default"
        );
        Ok(Self(unset))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
