
use builtin;
use str;

set edit:completion:arg-completer[gtlock] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'gtlock'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'gtlock'= {
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand run 'Run a command under locks, waiting for them'
            cand try 'Run a command if the locks are free now; without a command, test whether they are'
            cand update 'Rewrite a file with a filter such as jq, all or nothing, under its write lock'
            cand status 'Show who holds locks, since when, and whether they are alive'
            cand clean 'Remove lock files that nobody holds'
            cand report 'Show who waited for which lock, how long, and for whom, from the logs of --log'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'gtlock;run'= {
            cand --read 'Take a shared lock on FILE: other readers may hold it too, but no writer'
            cand --write 'Take an exclusive lock on FILE: nobody else may hold it'
            cand --slots 'Let at most N commands hold the shared lock of --read FILE at once'
            cand --take 'Take K of the N slots, all at once: GTLOCK_SLOT has K numbers'
            cand --read-fd 'Take a shared lock on descriptor N, which the caller has open'
            cand --write-fd 'Take an exclusive lock on descriptor N, which the caller has open'
            cand --unlock-fd 'Release the lock on descriptor N, which the caller has open'
            cand --at 'Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]'
            cand --lock-dir 'Keep the lock files in DIR instead of .gastown/locks beside the data'
            cand --ttl 'With --at: how long the locks last after this machine has died [default: 15s]'
            cand --grace 'With --at: the time from SIGTERM to SIGKILL for a command whose lock is lost [default: a third of --ttl]'
            cand --min-hold 'Keep the locks for at least TIME, even if the command ends sooner'
            cand -E 'Exit with status N if the lock was not obtained (0 to 255) [default: 75]'
            cand --conflict-exit-code 'Exit with status N if the lock was not obtained (0 to 255) [default: 75]'
            cand --max-hold 'End the command when it has held the locks for TIME, and exit with status 124'
            cand --kill-after 'The time from SIGTERM to SIGKILL for a command that --max-hold ends [default: 10s]'
            cand --log 'Append a line of JSON to FILE for each lock, for gtlock report'
            cand --label 'Show TEXT to others instead of the command: in refusals, waits and gtlock status'
            cand --timeout 'Wait at most this long for all the locks together: 5s, ''1m 30s'', or seconds like 2.5; 0 waits for ever'
            cand --retry-delay 'Poll at this interval instead of waiting in the kernel [10ms if no TIME is given]'
            cand --max-waiters 'Do not wait if K others wait for the lock already'
            cand --direct 'Lock the named files or directories themselves, as flock(1) does'
            cand -o 'Do not let the command inherit the lock: if gtlock is killed, the lock is gone'
            cand --close 'Do not let the command inherit the lock: if gtlock is killed, the lock is gone'
            cand -F 'Become the command instead of waiting for it; the lock lasts until all that inherited it have ended'
            cand --no-fork 'Become the command instead of waiting for it; the lock lasts until all that inherited it have ended'
            cand -q 'Print only errors; do not report a busy lock'
            cand --quiet 'Print only errors; do not report a busy lock'
            cand -v 'Print who holds the lock during a wait, how long the wait was, and how long the lock was held'
            cand --verbose 'Print who holds the lock during a wait, how long the wait was, and how long the lock was held'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'gtlock;try'= {
            cand --read 'Take a shared lock on FILE: other readers may hold it too, but no writer'
            cand --write 'Take an exclusive lock on FILE: nobody else may hold it'
            cand --slots 'Let at most N commands hold the shared lock of --read FILE at once'
            cand --take 'Take K of the N slots, all at once: GTLOCK_SLOT has K numbers'
            cand --read-fd 'Take a shared lock on descriptor N, which the caller has open'
            cand --write-fd 'Take an exclusive lock on descriptor N, which the caller has open'
            cand --unlock-fd 'Release the lock on descriptor N, which the caller has open'
            cand --at 'Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]'
            cand --lock-dir 'Keep the lock files in DIR instead of .gastown/locks beside the data'
            cand --ttl 'With --at: how long the locks last after this machine has died [default: 15s]'
            cand --grace 'With --at: the time from SIGTERM to SIGKILL for a command whose lock is lost [default: a third of --ttl]'
            cand --min-hold 'Keep the locks for at least TIME, even if the command ends sooner'
            cand -E 'Exit with status N if the lock was not obtained (0 to 255) [default: 75]'
            cand --conflict-exit-code 'Exit with status N if the lock was not obtained (0 to 255) [default: 75]'
            cand --max-hold 'End the command when it has held the locks for TIME, and exit with status 124'
            cand --kill-after 'The time from SIGTERM to SIGKILL for a command that --max-hold ends [default: 10s]'
            cand --log 'Append a line of JSON to FILE for each lock, for gtlock report'
            cand --label 'Show TEXT to others instead of the command: in refusals, waits and gtlock status'
            cand --direct 'Lock the named files or directories themselves, as flock(1) does'
            cand -o 'Do not let the command inherit the lock: if gtlock is killed, the lock is gone'
            cand --close 'Do not let the command inherit the lock: if gtlock is killed, the lock is gone'
            cand -F 'Become the command instead of waiting for it; the lock lasts until all that inherited it have ended'
            cand --no-fork 'Become the command instead of waiting for it; the lock lasts until all that inherited it have ended'
            cand -q 'Print only errors; do not report a busy lock'
            cand --quiet 'Print only errors; do not report a busy lock'
            cand -v 'Print who holds the lock during a wait, how long the wait was, and how long the lock was held'
            cand --verbose 'Print who holds the lock during a wait, how long the wait was, and how long the lock was held'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'gtlock;update'= {
            cand --backup 'Keep the old content in FILE with SUFFIX added to its name, and replace what is there'
            cand --timeout 'Wait at most this long for all the locks together: 5s, ''1m 30s'', or seconds like 2.5; 0 waits for ever'
            cand --retry-delay 'Poll at this interval instead of waiting in the kernel [10ms if no TIME is given]'
            cand --max-waiters 'Do not wait if K others wait for the lock already'
            cand --at 'Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]'
            cand --lock-dir 'Keep the lock files in DIR instead of .gastown/locks beside the data'
            cand --ttl 'With --at: how long the locks last after this machine has died [default: 15s]'
            cand --grace 'With --at: the time from SIGTERM to SIGKILL for a command whose lock is lost [default: a third of --ttl]'
            cand --min-hold 'Keep the locks for at least TIME, even if the command ends sooner'
            cand -E 'Exit with status N if the lock was not obtained (0 to 255) [default: 75]'
            cand --conflict-exit-code 'Exit with status N if the lock was not obtained (0 to 255) [default: 75]'
            cand --max-hold 'End the command when it has held the locks for TIME, and exit with status 124'
            cand --kill-after 'The time from SIGTERM to SIGKILL for a command that --max-hold ends [default: 10s]'
            cand --log 'Append a line of JSON to FILE for each lock, for gtlock report'
            cand --label 'Show TEXT to others instead of the command: in refusals, waits and gtlock status'
            cand --no-sync 'Do not wait until the new content is on the disk: a crash of the system may leave FILE old, or empty'
            cand -n 'Change nothing, and print the output of FILTER'
            cand --dry-run 'Change nothing, and print the output of FILTER'
            cand -q 'Print only errors; do not report a busy lock'
            cand --quiet 'Print only errors; do not report a busy lock'
            cand -v 'Print who holds the lock during a wait, how long the wait was, and how long the lock was held'
            cand --verbose 'Print who holds the lock during a wait, how long the wait was, and how long the lock was held'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'gtlock;status'= {
            cand --lock-dir 'Where the locks of the named data files are; without PATH, the lock directory to show'
            cand --at 'Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]'
            cand --direct 'Show the locks that run --direct and flock(1) take on the named files or directories themselves'
            cand -R 'Show every .gastown/locks below the named directories [default: .]'
            cand --recursive 'Show every .gastown/locks below the named directories [default: .]'
            cand --held 'Show only the locks that are held'
            cand --json 'Print JSON for programs'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'gtlock;clean'= {
            cand --lock-dir 'Clean this directory, whatever its name; it must be one for lock files only'
            cand --at 'Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]'
            cand -R 'Clean every .gastown/locks below the named directories [default: .]'
            cand --recursive 'Clean every .gastown/locks below the named directories [default: .]'
            cand -n 'Remove nothing, print what would be removed'
            cand --dry-run 'Remove nothing, print what would be removed'
            cand --json 'Print JSON for programs'
            cand -q 'Print only errors'
            cand --quiet 'Print only errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'gtlock;report'= {
            cand --since 'Only what ended after TIME: 2h or ''7days'' ago, or since 2026-11-24 or ''2026-11-24 18:00:00'' (UTC)'
            cand --lock 'Only the lock on FILE: a data file or a lock file, or its name without a directory'
            cand --html 'Write a page with a timeline of each lock, to be opened in a browser; - is standard output'
            cand --trace 'Write the timeline in the trace-event format, to be opened in Perfetto or speedscope; - is standard output'
            cand --json 'Print JSON for programs'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'gtlock;help'= {
            cand run 'Run a command under locks, waiting for them'
            cand try 'Run a command if the locks are free now; without a command, test whether they are'
            cand update 'Rewrite a file with a filter such as jq, all or nothing, under its write lock'
            cand status 'Show who holds locks, since when, and whether they are alive'
            cand clean 'Remove lock files that nobody holds'
            cand report 'Show who waited for which lock, how long, and for whom, from the logs of --log'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'gtlock;help;run'= {
        }
        &'gtlock;help;try'= {
        }
        &'gtlock;help;update'= {
        }
        &'gtlock;help;status'= {
        }
        &'gtlock;help;clean'= {
        }
        &'gtlock;help;report'= {
        }
        &'gtlock;help;help'= {
        }
    ]
    $completions[$command]
}
