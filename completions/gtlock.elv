
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
            cand try 'Run a command under locks if they can be had at once, or ask whether they could'
            cand status 'Show who holds locks, since when, and whether they are alive'
            cand clean 'Remove lock files that nobody holds'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'gtlock;run'= {
            cand --read 'Take a shared lock on FILE: other readers may hold it too, no writer'
            cand --write 'Take an exclusive lock on FILE: nobody else may hold it'
            cand --lock-dir 'Keep the lock files in DIR instead of .gastown/locks beside the data'
            cand -E 'Exit with status N if the lock was not obtained (0 to 255)'
            cand --conflict-exit-code 'Exit with status N if the lock was not obtained (0 to 255)'
            cand --timeout 'Wait this long for all the locks together: 5s, 1m 30s, 250ms, or seconds, 2.5'
            cand --retry-delay 'Poll at this interval instead of waiting in the kernel [10ms if no TIME is given]'
            cand -q 'Say nothing but errors; a refused lock is not one'
            cand --quiet 'Say nothing but errors; a refused lock is not one'
            cand -v 'Say how long the lock took, who is waited for, and what could not be recorded'
            cand --verbose 'Say how long the lock took, who is waited for, and what could not be recorded'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'gtlock;try'= {
            cand --read 'Take a shared lock on FILE: other readers may hold it too, no writer'
            cand --write 'Take an exclusive lock on FILE: nobody else may hold it'
            cand --lock-dir 'Keep the lock files in DIR instead of .gastown/locks beside the data'
            cand -E 'Exit with status N if the lock was not obtained (0 to 255)'
            cand --conflict-exit-code 'Exit with status N if the lock was not obtained (0 to 255)'
            cand -q 'Say nothing but errors; a refused lock is not one'
            cand --quiet 'Say nothing but errors; a refused lock is not one'
            cand -v 'Say how long the lock took, who is waited for, and what could not be recorded'
            cand --verbose 'Say how long the lock took, who is waited for, and what could not be recorded'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'gtlock;status'= {
            cand --lock-dir 'Where the locks of the named data files are; on its own, the lock directory to show'
            cand --json 'Print JSON for programs'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'gtlock;clean'= {
            cand --lock-dir 'Clean this directory, whatever its name; it must be one for lock files only'
            cand -n 'Remove nothing, say what would be removed'
            cand --dry-run 'Remove nothing, say what would be removed'
            cand --json 'Print JSON for programs'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'gtlock;help'= {
            cand run 'Run a command under locks, waiting for them'
            cand try 'Run a command under locks if they can be had at once, or ask whether they could'
            cand status 'Show who holds locks, since when, and whether they are alive'
            cand clean 'Remove lock files that nobody holds'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'gtlock;help;run'= {
        }
        &'gtlock;help;try'= {
        }
        &'gtlock;help;status'= {
        }
        &'gtlock;help;clean'= {
        }
        &'gtlock;help;help'= {
        }
    ]
    $completions[$command]
}
