
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'gtlock' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'gtlock'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'gtlock' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('run', 'run', [CompletionResultType]::ParameterValue, 'Run a command under locks, waiting for them')
            [CompletionResult]::new('try', 'try', [CompletionResultType]::ParameterValue, 'Run a command if the locks are free now; without a command, test whether they are')
            [CompletionResult]::new('update', 'update', [CompletionResultType]::ParameterValue, 'Rewrite a file with a filter such as jq, all or nothing, under its write lock')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show who holds locks, since when, and whether they are alive')
            [CompletionResult]::new('clean', 'clean', [CompletionResultType]::ParameterValue, 'Remove lock files that nobody holds')
            [CompletionResult]::new('report', 'report', [CompletionResultType]::ParameterValue, 'Show who waited for which lock, how long, and for whom, from the logs of --log')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'gtlock;run' {
            [CompletionResult]::new('--read', '--read', [CompletionResultType]::ParameterName, 'Take a shared lock on FILE: other readers may hold it too, but no writer')
            [CompletionResult]::new('--write', '--write', [CompletionResultType]::ParameterName, 'Take an exclusive lock on FILE: nobody else may hold it')
            [CompletionResult]::new('--slots', '--slots', [CompletionResultType]::ParameterName, 'Let at most N commands hold the shared lock of --read FILE at once')
            [CompletionResult]::new('--take', '--take', [CompletionResultType]::ParameterName, 'Take K of the N slots, all at once: GTLOCK_SLOT has K numbers')
            [CompletionResult]::new('--read-fd', '--read-fd', [CompletionResultType]::ParameterName, 'Take a shared lock on descriptor N, which the caller has open')
            [CompletionResult]::new('--write-fd', '--write-fd', [CompletionResultType]::ParameterName, 'Take an exclusive lock on descriptor N, which the caller has open')
            [CompletionResult]::new('--unlock-fd', '--unlock-fd', [CompletionResultType]::ParameterName, 'Release the lock on descriptor N, which the caller has open')
            [CompletionResult]::new('--at', '--at', [CompletionResultType]::ParameterName, 'Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]')
            [CompletionResult]::new('--lock-dir', '--lock-dir', [CompletionResultType]::ParameterName, 'Keep the lock files in DIR instead of .gastown/locks beside the data')
            [CompletionResult]::new('--ttl', '--ttl', [CompletionResultType]::ParameterName, 'With --at: how long the locks last after this machine has died [default: 15s]')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'With --at: the time from SIGTERM to SIGKILL for a command whose lock is lost [default: a third of --ttl]')
            [CompletionResult]::new('--min-hold', '--min-hold', [CompletionResultType]::ParameterName, 'Keep the locks for at least TIME, even if the command ends sooner')
            [CompletionResult]::new('-E', '-E ', [CompletionResultType]::ParameterName, 'Exit with status N if the lock was not obtained (0 to 255) [default: 75]')
            [CompletionResult]::new('--conflict-exit-code', '--conflict-exit-code', [CompletionResultType]::ParameterName, 'Exit with status N if the lock was not obtained (0 to 255) [default: 75]')
            [CompletionResult]::new('--max-hold', '--max-hold', [CompletionResultType]::ParameterName, 'End the command when it has held the locks for TIME, and exit with status 124')
            [CompletionResult]::new('--kill-after', '--kill-after', [CompletionResultType]::ParameterName, 'The time from SIGTERM to SIGKILL for a command that --max-hold ends [default: 10s]')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'Append a line of JSON to FILE for each lock, for gtlock report')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Show TEXT to others instead of the command: in refusals, waits and gtlock status')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Wait at most this long for all the locks together: 5s, ''1m 30s'', or seconds like 2.5; 0 waits for ever')
            [CompletionResult]::new('--retry-delay', '--retry-delay', [CompletionResultType]::ParameterName, 'Poll at this interval instead of waiting in the kernel [10ms if no TIME is given]')
            [CompletionResult]::new('--max-waiters', '--max-waiters', [CompletionResultType]::ParameterName, 'Do not wait if K others wait for the lock already')
            [CompletionResult]::new('--direct', '--direct', [CompletionResultType]::ParameterName, 'Lock the named files or directories themselves, as flock(1) does')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Do not let the command inherit the lock: if gtlock is killed, the lock is gone')
            [CompletionResult]::new('--close', '--close', [CompletionResultType]::ParameterName, 'Do not let the command inherit the lock: if gtlock is killed, the lock is gone')
            [CompletionResult]::new('-F', '-F ', [CompletionResultType]::ParameterName, 'Become the command instead of waiting for it; the lock lasts until all that inherited it have ended')
            [CompletionResult]::new('--no-fork', '--no-fork', [CompletionResultType]::ParameterName, 'Become the command instead of waiting for it; the lock lasts until all that inherited it have ended')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print only errors; do not report a busy lock')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print only errors; do not report a busy lock')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print who holds the lock during a wait, how long the wait was, and how long the lock was held')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print who holds the lock during a wait, how long the wait was, and how long the lock was held')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'gtlock;try' {
            [CompletionResult]::new('--read', '--read', [CompletionResultType]::ParameterName, 'Take a shared lock on FILE: other readers may hold it too, but no writer')
            [CompletionResult]::new('--write', '--write', [CompletionResultType]::ParameterName, 'Take an exclusive lock on FILE: nobody else may hold it')
            [CompletionResult]::new('--slots', '--slots', [CompletionResultType]::ParameterName, 'Let at most N commands hold the shared lock of --read FILE at once')
            [CompletionResult]::new('--take', '--take', [CompletionResultType]::ParameterName, 'Take K of the N slots, all at once: GTLOCK_SLOT has K numbers')
            [CompletionResult]::new('--read-fd', '--read-fd', [CompletionResultType]::ParameterName, 'Take a shared lock on descriptor N, which the caller has open')
            [CompletionResult]::new('--write-fd', '--write-fd', [CompletionResultType]::ParameterName, 'Take an exclusive lock on descriptor N, which the caller has open')
            [CompletionResult]::new('--unlock-fd', '--unlock-fd', [CompletionResultType]::ParameterName, 'Release the lock on descriptor N, which the caller has open')
            [CompletionResult]::new('--at', '--at', [CompletionResultType]::ParameterName, 'Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]')
            [CompletionResult]::new('--lock-dir', '--lock-dir', [CompletionResultType]::ParameterName, 'Keep the lock files in DIR instead of .gastown/locks beside the data')
            [CompletionResult]::new('--ttl', '--ttl', [CompletionResultType]::ParameterName, 'With --at: how long the locks last after this machine has died [default: 15s]')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'With --at: the time from SIGTERM to SIGKILL for a command whose lock is lost [default: a third of --ttl]')
            [CompletionResult]::new('--min-hold', '--min-hold', [CompletionResultType]::ParameterName, 'Keep the locks for at least TIME, even if the command ends sooner')
            [CompletionResult]::new('-E', '-E ', [CompletionResultType]::ParameterName, 'Exit with status N if the lock was not obtained (0 to 255) [default: 75]')
            [CompletionResult]::new('--conflict-exit-code', '--conflict-exit-code', [CompletionResultType]::ParameterName, 'Exit with status N if the lock was not obtained (0 to 255) [default: 75]')
            [CompletionResult]::new('--max-hold', '--max-hold', [CompletionResultType]::ParameterName, 'End the command when it has held the locks for TIME, and exit with status 124')
            [CompletionResult]::new('--kill-after', '--kill-after', [CompletionResultType]::ParameterName, 'The time from SIGTERM to SIGKILL for a command that --max-hold ends [default: 10s]')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'Append a line of JSON to FILE for each lock, for gtlock report')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Show TEXT to others instead of the command: in refusals, waits and gtlock status')
            [CompletionResult]::new('--direct', '--direct', [CompletionResultType]::ParameterName, 'Lock the named files or directories themselves, as flock(1) does')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Do not let the command inherit the lock: if gtlock is killed, the lock is gone')
            [CompletionResult]::new('--close', '--close', [CompletionResultType]::ParameterName, 'Do not let the command inherit the lock: if gtlock is killed, the lock is gone')
            [CompletionResult]::new('-F', '-F ', [CompletionResultType]::ParameterName, 'Become the command instead of waiting for it; the lock lasts until all that inherited it have ended')
            [CompletionResult]::new('--no-fork', '--no-fork', [CompletionResultType]::ParameterName, 'Become the command instead of waiting for it; the lock lasts until all that inherited it have ended')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print only errors; do not report a busy lock')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print only errors; do not report a busy lock')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print who holds the lock during a wait, how long the wait was, and how long the lock was held')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print who holds the lock during a wait, how long the wait was, and how long the lock was held')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'gtlock;update' {
            [CompletionResult]::new('--backup', '--backup', [CompletionResultType]::ParameterName, 'Keep the old content in FILE with SUFFIX added to its name, and replace what is there')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Wait at most this long for all the locks together: 5s, ''1m 30s'', or seconds like 2.5; 0 waits for ever')
            [CompletionResult]::new('--retry-delay', '--retry-delay', [CompletionResultType]::ParameterName, 'Poll at this interval instead of waiting in the kernel [10ms if no TIME is given]')
            [CompletionResult]::new('--max-waiters', '--max-waiters', [CompletionResultType]::ParameterName, 'Do not wait if K others wait for the lock already')
            [CompletionResult]::new('--at', '--at', [CompletionResultType]::ParameterName, 'Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]')
            [CompletionResult]::new('--lock-dir', '--lock-dir', [CompletionResultType]::ParameterName, 'Keep the lock files in DIR instead of .gastown/locks beside the data')
            [CompletionResult]::new('--ttl', '--ttl', [CompletionResultType]::ParameterName, 'With --at: how long the locks last after this machine has died [default: 15s]')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'With --at: the time from SIGTERM to SIGKILL for a command whose lock is lost [default: a third of --ttl]')
            [CompletionResult]::new('--min-hold', '--min-hold', [CompletionResultType]::ParameterName, 'Keep the locks for at least TIME, even if the command ends sooner')
            [CompletionResult]::new('-E', '-E ', [CompletionResultType]::ParameterName, 'Exit with status N if the lock was not obtained (0 to 255) [default: 75]')
            [CompletionResult]::new('--conflict-exit-code', '--conflict-exit-code', [CompletionResultType]::ParameterName, 'Exit with status N if the lock was not obtained (0 to 255) [default: 75]')
            [CompletionResult]::new('--max-hold', '--max-hold', [CompletionResultType]::ParameterName, 'End the command when it has held the locks for TIME, and exit with status 124')
            [CompletionResult]::new('--kill-after', '--kill-after', [CompletionResultType]::ParameterName, 'The time from SIGTERM to SIGKILL for a command that --max-hold ends [default: 10s]')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'Append a line of JSON to FILE for each lock, for gtlock report')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Show TEXT to others instead of the command: in refusals, waits and gtlock status')
            [CompletionResult]::new('--no-sync', '--no-sync', [CompletionResultType]::ParameterName, 'Do not wait until the new content is on the disk: a crash of the system may leave FILE old, or empty')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Change nothing, and print the output of FILTER')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Change nothing, and print the output of FILTER')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print only errors; do not report a busy lock')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print only errors; do not report a busy lock')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print who holds the lock during a wait, how long the wait was, and how long the lock was held')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print who holds the lock during a wait, how long the wait was, and how long the lock was held')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'gtlock;status' {
            [CompletionResult]::new('--lock-dir', '--lock-dir', [CompletionResultType]::ParameterName, 'Where the locks of the named data files are; without PATH, the lock directory to show')
            [CompletionResult]::new('--at', '--at', [CompletionResultType]::ParameterName, 'Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]')
            [CompletionResult]::new('--direct', '--direct', [CompletionResultType]::ParameterName, 'Show the locks that run --direct and flock(1) take on the named files or directories themselves')
            [CompletionResult]::new('-R', '-R ', [CompletionResultType]::ParameterName, 'Show every .gastown/locks below the named directories [default: .]')
            [CompletionResult]::new('--recursive', '--recursive', [CompletionResultType]::ParameterName, 'Show every .gastown/locks below the named directories [default: .]')
            [CompletionResult]::new('--held', '--held', [CompletionResultType]::ParameterName, 'Show only the locks that are held')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON for programs')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'gtlock;clean' {
            [CompletionResult]::new('--lock-dir', '--lock-dir', [CompletionResultType]::ParameterName, 'Clean this directory, whatever its name; it must be one for lock files only')
            [CompletionResult]::new('--at', '--at', [CompletionResultType]::ParameterName, 'Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]')
            [CompletionResult]::new('-R', '-R ', [CompletionResultType]::ParameterName, 'Clean every .gastown/locks below the named directories [default: .]')
            [CompletionResult]::new('--recursive', '--recursive', [CompletionResultType]::ParameterName, 'Clean every .gastown/locks below the named directories [default: .]')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Remove nothing, print what would be removed')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Remove nothing, print what would be removed')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON for programs')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print only errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print only errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'gtlock;report' {
            [CompletionResult]::new('--since', '--since', [CompletionResultType]::ParameterName, 'Only what ended after TIME: 2h or ''7days'' ago, or since 2026-11-24 or ''2026-11-24 18:00:00'' (UTC)')
            [CompletionResult]::new('--lock', '--lock', [CompletionResultType]::ParameterName, 'Only the lock on FILE: a data file or a lock file, or its name without a directory')
            [CompletionResult]::new('--html', '--html', [CompletionResultType]::ParameterName, 'Write a page with a timeline of each lock, to be opened in a browser; - is standard output')
            [CompletionResult]::new('--trace', '--trace', [CompletionResultType]::ParameterName, 'Write the timeline in the trace-event format, to be opened in Perfetto or speedscope; - is standard output')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON for programs')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'gtlock;help' {
            [CompletionResult]::new('run', 'run', [CompletionResultType]::ParameterValue, 'Run a command under locks, waiting for them')
            [CompletionResult]::new('try', 'try', [CompletionResultType]::ParameterValue, 'Run a command if the locks are free now; without a command, test whether they are')
            [CompletionResult]::new('update', 'update', [CompletionResultType]::ParameterValue, 'Rewrite a file with a filter such as jq, all or nothing, under its write lock')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show who holds locks, since when, and whether they are alive')
            [CompletionResult]::new('clean', 'clean', [CompletionResultType]::ParameterValue, 'Remove lock files that nobody holds')
            [CompletionResult]::new('report', 'report', [CompletionResultType]::ParameterValue, 'Show who waited for which lock, how long, and for whom, from the logs of --log')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'gtlock;help;run' {
            break
        }
        'gtlock;help;try' {
            break
        }
        'gtlock;help;update' {
            break
        }
        'gtlock;help;status' {
            break
        }
        'gtlock;help;clean' {
            break
        }
        'gtlock;help;report' {
            break
        }
        'gtlock;help;help' {
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
