# bash completion for tare. Everything is decided by "tare __complete".
_tare() {
    local line=${COMP_LINE:0:COMP_POINT} word cut="" candidate
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word=${words[-1]}
    # For bash a word begins after the last of these.
    [[ $word == *[:=]* ]] && cut=${word%"${word##*[:=]}"}
    COMPREPLY=()
    while IFS= read -r candidate; do
        candidate=${candidate%%$'\t'*}
        if [[ $candidate == :files ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "${word#"$cut"}")
        else
            COMPREPLY+=("${candidate#"$cut"}")
            [[ $candidate == *[:=] ]] && compopt -o nospace 2>/dev/null
        fi
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
}
complete -F _tare tare
