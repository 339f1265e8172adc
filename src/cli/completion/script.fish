# Completion of PROGRAM in fish. The candidates come from PROGRAM itself, which knows the project's configuration.
function __PROGRAM_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (command PROGRAM __complete $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = ":files"
            set -l option (string match -r -- '^--[^=]*=' "$current")
            for path in (__fish_complete_path (string replace -- "$option" '' "$current"))
                echo "$option$path"
            end
        else
            echo $line
        end
    end
end
for name in COMMANDS
    complete -c $name -f -k -a '(__PROGRAM_complete)'
end
