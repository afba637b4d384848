//! The completions: what `clap_complete` renders, and by hand what it cannot know: that a command with a completion of
//! its own follows the `--`.

use clap::{Arg, Command, ValueHint};
use clap_complete::{Generator, Shell};

/// The scripts, each with its file name.
pub fn scripts(command: &Command) -> Vec<(String, String)> {
    [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish]
        .map(|shell| {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command.clone(), "gtlock", &mut script);
            let script = super::text(script);
            let names = Names::of(command);
            let script = match shell {
                Shell::Bash => bash(&script, &names),
                Shell::Zsh => zsh(&script, &names),
                Shell::Fish => fish(&script, &names),
                _ => script,
            };
            (shell.file_name("gtlock"), script)
        })
        .into()
}

/// What the parts written by hand ask of the definition.
struct Names {
    /// The subcommands with a command after `--`.
    commands: Vec<String>,
    /// Those whose words are paths.
    paths: Vec<String>,
    /// The options with a file, a directory, or what nobody can complete.
    files: Vec<String>,
    dirs: Vec<String>,
    nothing: Vec<String>,
}

impl Names {
    fn of(command: &Command) -> Self {
        let mut command = command.clone();
        command.build();
        let subcommands_with = |is_one: &dyn Fn(&Arg) -> bool| {
            let found = command.get_subcommands().filter(|command| command.get_positionals().any(is_one));
            found.map(|command| command.get_name().to_owned()).collect()
        };
        let options_with = |hints: &[ValueHint]| {
            let options = command.get_subcommands().flat_map(Command::get_opts);
            let found = options.filter(|option| hints.contains(&option.get_value_hint()));
            let mut names: Vec<_> = found
                .flat_map(|option| {
                    let long = option.get_long().map(|long| format!("--{long}"));
                    long.into_iter().chain(option.get_short().map(|short| format!("-{short}")))
                })
                .collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let is_path = |arg: &Arg| {
            matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath)
        };
        Self {
            commands: subcommands_with(&Arg::is_last_set),
            paths: subcommands_with(&is_path),
            files: options_with(&[ValueHint::AnyPath, ValueHint::FilePath]),
            dirs: options_with(&[ValueHint::DirPath]),
            nothing: options_with(&[ValueHint::Other]),
        }
    }

    /// A part written by hand, with the names filled in.
    fn fill_in(&self, part: &str) -> String {
        let names = [
            ("%COMMANDS%", &self.commands),
            ("%PATHS%", &self.paths),
            ("%FILES%", &self.files),
            ("%DIRS%", &self.dirs),
            ("%NOTHING%", &self.nothing),
        ];
        names.into_iter().fold(part.to_owned(), |part, (name, names)| {
            assert!(!names.is_empty(), "{name} stands for none");
            part.replace(name, &names.join("|"))
        })
    }
}

fn bash(script: &str, names: &Names) -> String {
    let mut script = replaced(script, "_gtlock() {\n", "_gtlock() {\n    _gtlock_more \"$@\" && return\n");
    for command in &names.commands {
        let before = format!("        gtlock__subcmd__{command})\n            opts=\"");
        script = replaced(&script, &before, &format!("{before}-- "));
    }
    names.fill_in(include_str!("prologue.bash")) + &script
}

fn zsh(script: &str, names: &Names) -> String {
    let prologue = names.fill_in(include_str!("prologue.zsh"));
    let script = replaced(script, "\n_gtlock() {\n", &format!("\n_gtlock() {{\n{prologue}"));
    let is_command = |line: &&str| line.contains(":_cmdambivalent'");
    assert_eq!(script.lines().filter(is_command).count(), names.commands.len());
    let lines =
        script.lines().map(|line| if is_command(&line) { "'--[The command follows]' \\" } else { line });
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn fish(script: &str, names: &Names) -> String {
    let for_command = |command: &String| {
        let using = format!("__fish_gtlock_using_subcommand {command}");
        let files = if names.paths.contains(command) { "-F" } else { "-f" };
        format!(
            "complete -c gtlock -n \"{using}; and not __fish_gtlock_has_command\" {files} -a -- -d 'The command follows'\n\
             complete -c gtlock -n \"{using}; and __fish_gtlock_has_command\" -f -a '(__fish_gtlock_command)'\n"
        )
    };
    [include_str!("prologue.fish"), script].concat()
        + &names.commands.iter().map(for_command).collect::<String>()
}

/// As [`str::replace`], of what is there once.
fn replaced(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old}");
    text.replace(old, new)
}
