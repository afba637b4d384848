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

