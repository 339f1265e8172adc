#compdef COMMANDS
# Completion of PROGRAM in zsh. The candidates come from PROGRAM itself, which knows the project's configuration.
_PROGRAM() {
    local line item
    local -a before items open
    local -i files=0
    (( CURRENT > 2 )) && before=("${(@Q)words[2,CURRENT-1]}")
    for line in "${(@f)$(command PROGRAM __complete "${before[@]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        if [[ $line == ":files" ]]; then
            files=1
        elif [[ -n $line ]]; then
            item=${line%%$'\t'*}
            item="${item//:/\\:}:${line#*$'\t'}"
            if [[ ${line%%$'\t'*} == *= ]]; then open+=("$item"); else items+=("$item"); fi
        fi
    done
    (( $#items )) && _describe -V PROGRAM items
    (( $#open )) && _describe -V PROGRAM open -S ''
    if (( files )); then
        [[ $PREFIX == --*=* ]] && compset -P 1 '*='
        _files
    fi
}
if [[ $funcstack[1] == _PROGRAM ]]; then _PROGRAM "$@"; else compdef _PROGRAM COMMANDS; fi
