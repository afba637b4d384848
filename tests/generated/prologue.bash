# What clap_complete does not know. Fails where its part has more.
_gtlock_more() {
    local cur=$2 prev=$3 i
    COMPREPLY=()
    case ${COMP_WORDS[1]} in %COMMANDS%)
        for ((i = 2; i < COMP_CWORD; i++)); do
            [[ ${COMP_WORDS[i]} == -- ]] || continue
            # The command and its own completion.
            if declare -F _comp_command_offset > /dev/null; then
                _comp_command_offset $((i + 1))
            elif declare -F _command_offset > /dev/null; then
                _command_offset $((i + 1))
            elif ((COMP_CWORD == i + 1)); then
                _gtlock_names -c "$cur"
            fi
            return 0
        done
    esac
    # OPTION=VALUE comes in three words.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $prev in
        %FILES%) _gtlock_names -f "$cur"; return ;;
        %DIRS%) _gtlock_names -d "$cur"; return ;;
        %NOTHING%) compopt +o default +o bashdefault 2> /dev/null; return 0 ;;
    esac
    ((COMP_CWORD > 1)) && [[ $cur != -* ]] || return
    case ${COMP_WORDS[1]} in
        %PATHS%) _gtlock_names -f "$cur" ;;
        *) return 1 ;;
    esac
}

# Names of files (-f), directories (-d) or commands (-c), with whatever is in them.
_gtlock_names() {
    local name
    while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen "$1" -- "$2")
    [[ $1 == -c ]] || compopt -o filenames 2> /dev/null
    return 0
}

