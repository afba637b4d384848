# The words after --: a command, and its own completion.
function __fish_gtlock_command
    set -l words (commandline -opc)
    set -l dashes (contains -i -- -- $words)
    or return
    set -l command (string escape -- $words[(math $dashes + 1)..])
    complete -C (string join -- ' ' $command (commandline -ct))
end

function __fish_gtlock_has_command
    contains -- -- (commandline -opc)
end

# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_gtlock_global_optspecs
    string join \n h/help V/version
end

function __fish_gtlock_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_gtlock_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_gtlock_using_subcommand
    set -l cmd (__fish_gtlock_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c gtlock -n "__fish_gtlock_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gtlock -n "__fish_gtlock_needs_command" -s V -l version -d 'Print version'
complete -c gtlock -n "__fish_gtlock_needs_command" -f -a "run" -d 'Run a command under locks, waiting for them'
complete -c gtlock -n "__fish_gtlock_needs_command" -f -a "try" -d 'Run a command if the locks are free now; without a command, test whether they are'
complete -c gtlock -n "__fish_gtlock_needs_command" -f -a "update" -d 'Rewrite a file with a filter such as jq, all or nothing, under its write lock'
complete -c gtlock -n "__fish_gtlock_needs_command" -f -a "status" -d 'Show who holds locks, since when, and whether they are alive'
complete -c gtlock -n "__fish_gtlock_needs_command" -f -a "clean" -d 'Remove lock files that nobody holds'
complete -c gtlock -n "__fish_gtlock_needs_command" -f -a "report" -d 'Show who waited for which lock, how long, and for whom, from the logs of --log'
complete -c gtlock -n "__fish_gtlock_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l read -d 'Take a shared lock on FILE: other readers may hold it too, but no writer' -r -F
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l write -d 'Take an exclusive lock on FILE: nobody else may hold it' -r -F
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l slots -d 'Let at most N commands hold the shared lock of --read FILE at once' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l take -d 'Take K of the N slots, all at once: GTLOCK_SLOT has K numbers' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l read-fd -d 'Take a shared lock on descriptor N, which the caller has open' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l write-fd -d 'Take an exclusive lock on descriptor N, which the caller has open' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l unlock-fd -d 'Release the lock on descriptor N, which the caller has open' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l at -d 'Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l lock-dir -d 'Keep the lock files in DIR instead of .gastown/locks beside the data' -r -f -a "(__fish_complete_directories)"
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l ttl -d 'With --at: how long the locks last after this machine has died [default: 15s]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l grace -d 'With --at: the time from SIGTERM to SIGKILL for a command whose lock is lost [default: a third of --ttl]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l min-hold -d 'Keep the locks for at least TIME, even if the command ends sooner' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -s E -l conflict-exit-code -d 'Exit with status N if the lock was not obtained (0 to 255) [default: 75]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l max-hold -d 'End the command when it has held the locks for TIME, and exit with status 124' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l kill-after -d 'The time from SIGTERM to SIGKILL for a command that --max-hold ends [default: 10s]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l log -d 'Append a line of JSON to FILE for each lock, for gtlock report' -r -F
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l label -d 'Show TEXT to others instead of the command: in refusals, waits and gtlock status' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l timeout -d 'Wait at most this long for all the locks together: 5s, \'1m 30s\', or seconds like 2.5; 0 waits for ever' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l retry-delay -d 'Poll at this interval instead of waiting in the kernel [10ms if no TIME is given]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l max-waiters -d 'Do not wait if K others wait for the lock already' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -l direct -d 'Lock the named files or directories themselves, as flock(1) does'
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -s o -l close -d 'Do not let the command inherit the lock: if gtlock is killed, the lock is gone'
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -s F -l no-fork -d 'Become the command instead of waiting for it; the lock lasts until all that inherited it have ended'
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -s q -l quiet -d 'Print only errors; do not report a busy lock'
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -s v -l verbose -d 'Print who holds the lock during a wait, how long the wait was, and how long the lock was held'
complete -c gtlock -n "__fish_gtlock_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l read -d 'Take a shared lock on FILE: other readers may hold it too, but no writer' -r -F
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l write -d 'Take an exclusive lock on FILE: nobody else may hold it' -r -F
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l slots -d 'Let at most N commands hold the shared lock of --read FILE at once' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l take -d 'Take K of the N slots, all at once: GTLOCK_SLOT has K numbers' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l read-fd -d 'Take a shared lock on descriptor N, which the caller has open' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l write-fd -d 'Take an exclusive lock on descriptor N, which the caller has open' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l unlock-fd -d 'Release the lock on descriptor N, which the caller has open' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l at -d 'Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l lock-dir -d 'Keep the lock files in DIR instead of .gastown/locks beside the data' -r -f -a "(__fish_complete_directories)"
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l ttl -d 'With --at: how long the locks last after this machine has died [default: 15s]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l grace -d 'With --at: the time from SIGTERM to SIGKILL for a command whose lock is lost [default: a third of --ttl]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l min-hold -d 'Keep the locks for at least TIME, even if the command ends sooner' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -s E -l conflict-exit-code -d 'Exit with status N if the lock was not obtained (0 to 255) [default: 75]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l max-hold -d 'End the command when it has held the locks for TIME, and exit with status 124' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l kill-after -d 'The time from SIGTERM to SIGKILL for a command that --max-hold ends [default: 10s]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l log -d 'Append a line of JSON to FILE for each lock, for gtlock report' -r -F
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l label -d 'Show TEXT to others instead of the command: in refusals, waits and gtlock status' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -l direct -d 'Lock the named files or directories themselves, as flock(1) does'
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -s o -l close -d 'Do not let the command inherit the lock: if gtlock is killed, the lock is gone'
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -s F -l no-fork -d 'Become the command instead of waiting for it; the lock lasts until all that inherited it have ended'
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -s q -l quiet -d 'Print only errors; do not report a busy lock'
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -s v -l verbose -d 'Print who holds the lock during a wait, how long the wait was, and how long the lock was held'
complete -c gtlock -n "__fish_gtlock_using_subcommand try" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -l backup -d 'Keep the old content in FILE with SUFFIX added to its name, and replace what is there' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -l timeout -d 'Wait at most this long for all the locks together: 5s, \'1m 30s\', or seconds like 2.5; 0 waits for ever' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -l retry-delay -d 'Poll at this interval instead of waiting in the kernel [10ms if no TIME is given]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -l max-waiters -d 'Do not wait if K others wait for the lock already' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -l at -d 'Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -l lock-dir -d 'Keep the lock files in DIR instead of .gastown/locks beside the data' -r -f -a "(__fish_complete_directories)"
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -l ttl -d 'With --at: how long the locks last after this machine has died [default: 15s]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -l grace -d 'With --at: the time from SIGTERM to SIGKILL for a command whose lock is lost [default: a third of --ttl]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -l min-hold -d 'Keep the locks for at least TIME, even if the command ends sooner' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -s E -l conflict-exit-code -d 'Exit with status N if the lock was not obtained (0 to 255) [default: 75]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -l max-hold -d 'End the command when it has held the locks for TIME, and exit with status 124' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -l kill-after -d 'The time from SIGTERM to SIGKILL for a command that --max-hold ends [default: 10s]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -l log -d 'Append a line of JSON to FILE for each lock, for gtlock report' -r -F
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -l label -d 'Show TEXT to others instead of the command: in refusals, waits and gtlock status' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -l no-sync -d 'Do not wait until the new content is on the disk: a crash of the system may leave FILE old, or empty'
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -s n -l dry-run -d 'Change nothing, and print the output of FILTER'
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -s q -l quiet -d 'Print only errors; do not report a busy lock'
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -s v -l verbose -d 'Print who holds the lock during a wait, how long the wait was, and how long the lock was held'
complete -c gtlock -n "__fish_gtlock_using_subcommand update" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gtlock -n "__fish_gtlock_using_subcommand status" -l lock-dir -d 'Where the locks of the named data files are; without PATH, the lock directory to show' -r -f -a "(__fish_complete_directories)"
complete -c gtlock -n "__fish_gtlock_using_subcommand status" -l at -d 'Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand status" -l direct -d 'Show the locks that run --direct and flock(1) take on the named files or directories themselves'
complete -c gtlock -n "__fish_gtlock_using_subcommand status" -s R -l recursive -d 'Show every .gastown/locks below the named directories [default: .]'
complete -c gtlock -n "__fish_gtlock_using_subcommand status" -l held -d 'Show only the locks that are held'
complete -c gtlock -n "__fish_gtlock_using_subcommand status" -l json -d 'Print JSON for programs'
complete -c gtlock -n "__fish_gtlock_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gtlock -n "__fish_gtlock_using_subcommand clean" -l lock-dir -d 'Clean this directory, whatever its name; it must be one for lock files only' -r -f -a "(__fish_complete_directories)"
complete -c gtlock -n "__fish_gtlock_using_subcommand clean" -l at -d 'Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand clean" -s R -l recursive -d 'Clean every .gastown/locks below the named directories [default: .]'
complete -c gtlock -n "__fish_gtlock_using_subcommand clean" -s n -l dry-run -d 'Remove nothing, print what would be removed'
complete -c gtlock -n "__fish_gtlock_using_subcommand clean" -l json -d 'Print JSON for programs'
complete -c gtlock -n "__fish_gtlock_using_subcommand clean" -s q -l quiet -d 'Print only errors'
complete -c gtlock -n "__fish_gtlock_using_subcommand clean" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gtlock -n "__fish_gtlock_using_subcommand report" -l since -d 'Only what ended after TIME: 2h or \'7days\' ago, or since 2026-11-24 or \'2026-11-24 18:00:00\' (UTC)' -r -f
complete -c gtlock -n "__fish_gtlock_using_subcommand report" -l lock -d 'Only the lock on FILE: a data file or a lock file, or its name without a directory' -r -F
complete -c gtlock -n "__fish_gtlock_using_subcommand report" -l html -d 'Write a page with a timeline of each lock, to be opened in a browser; - is standard output' -r -F
complete -c gtlock -n "__fish_gtlock_using_subcommand report" -l trace -d 'Write the timeline in the trace-event format, to be opened in Perfetto or speedscope; - is standard output' -r -F
complete -c gtlock -n "__fish_gtlock_using_subcommand report" -l json -d 'Print JSON for programs'
complete -c gtlock -n "__fish_gtlock_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gtlock -n "__fish_gtlock_using_subcommand help; and not __fish_seen_subcommand_from run try update status clean report help" -f -a "run" -d 'Run a command under locks, waiting for them'
complete -c gtlock -n "__fish_gtlock_using_subcommand help; and not __fish_seen_subcommand_from run try update status clean report help" -f -a "try" -d 'Run a command if the locks are free now; without a command, test whether they are'
complete -c gtlock -n "__fish_gtlock_using_subcommand help; and not __fish_seen_subcommand_from run try update status clean report help" -f -a "update" -d 'Rewrite a file with a filter such as jq, all or nothing, under its write lock'
complete -c gtlock -n "__fish_gtlock_using_subcommand help; and not __fish_seen_subcommand_from run try update status clean report help" -f -a "status" -d 'Show who holds locks, since when, and whether they are alive'
complete -c gtlock -n "__fish_gtlock_using_subcommand help; and not __fish_seen_subcommand_from run try update status clean report help" -f -a "clean" -d 'Remove lock files that nobody holds'
complete -c gtlock -n "__fish_gtlock_using_subcommand help; and not __fish_seen_subcommand_from run try update status clean report help" -f -a "report" -d 'Show who waited for which lock, how long, and for whom, from the logs of --log'
complete -c gtlock -n "__fish_gtlock_using_subcommand help; and not __fish_seen_subcommand_from run try update status clean report help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gtlock -n "__fish_gtlock_using_subcommand run; and not __fish_gtlock_has_command" -f -a -- -d 'The command follows'
complete -c gtlock -n "__fish_gtlock_using_subcommand run; and __fish_gtlock_has_command" -f -a '(__fish_gtlock_command)'
complete -c gtlock -n "__fish_gtlock_using_subcommand try; and not __fish_gtlock_has_command" -f -a -- -d 'The command follows'
complete -c gtlock -n "__fish_gtlock_using_subcommand try; and __fish_gtlock_has_command" -f -a '(__fish_gtlock_command)'
complete -c gtlock -n "__fish_gtlock_using_subcommand update; and not __fish_gtlock_has_command" -F -a -- -d 'The command follows'
complete -c gtlock -n "__fish_gtlock_using_subcommand update; and __fish_gtlock_has_command" -f -a '(__fish_gtlock_command)'
