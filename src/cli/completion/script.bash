# Completion of PROGRAM in bash. The candidates come from PROGRAM itself, which knows the project's configuration.
_PROGRAM() {
    local rest=${COMP_LINE:0:COMP_POINT} words=() word line item i
    # bash splits words at `=` and `:`; put them together again.
    rest=${rest#*"${COMP_WORDS[0]}"}
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $rest == [[:space:]]* || ${#words[@]} -eq 0 ]]; then
            rest=${rest#"${rest%%[![:space:]]*}"}
            words+=("")
        fi
        if ((i == COMP_CWORD)); then word=$rest; fi
        words[${#words[@]} - 1]+=$word
        rest=${rest#"$word"}
    done
    # readline replaces only what follows the last `=` or `:`.
    local typed=${words[${#words[@]} - 1]} kept=""
    if [[ $typed == *[=:]* && $COMP_WORDBREAKS == *[=:]* ]]; then kept=${typed%"${typed##*[=:]}"}; fi
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == ":files" ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r item; do COMPREPLY+=("$item"); done < <(compgen -f -- "${typed#"$kept"}")
            continue
        fi
        item=${line%%$'\t'*}
        if [[ $item == *= ]]; then compopt -o nospace 2>/dev/null; fi
        item=${item#"$kept"}
        if [[ $item == *[!A-Za-z0-9_.,:=+/@%{}-]* ]]; then printf -v item %q "$item"; fi
        COMPREPLY+=("$item")
    done < <(command PROGRAM __complete "${words[@]}" 2>/dev/null)
}
complete -F _PROGRAM COMMANDS
