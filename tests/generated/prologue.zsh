    # The command after -- and its own completion.
    if [[ $words[2] == (%COMMANDS%) ]] && (( $words[(i)--] < CURRENT )); then
        local dashes=$words[(i)--]
        shift $dashes words
        (( CURRENT -= dashes ))
        _normal
        return
    fi

