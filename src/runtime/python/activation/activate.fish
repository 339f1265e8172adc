# Source this file from fish: `source bin/activate.fish`. `deactivate` undoes it.

function deactivate -d 'Leave the virtual environment'
    if set -q _OLD_VIRTUAL_PATH
        set -gx PATH $_OLD_VIRTUAL_PATH
        set -e _OLD_VIRTUAL_PATH
    end
    if set -q _OLD_VIRTUAL_PYTHONHOME
        set -gx PYTHONHOME "$_OLD_VIRTUAL_PYTHONHOME"
        set -e _OLD_VIRTUAL_PYTHONHOME
    end
    if set -q _OLD_PKG_CONFIG_PATH
        if test -n "$_OLD_PKG_CONFIG_PATH"
            set -gx PKG_CONFIG_PATH "$_OLD_PKG_CONFIG_PATH"
        else
            set -e PKG_CONFIG_PATH
        end
        set -e _OLD_PKG_CONFIG_PATH
    end
    if test -n "$_OLD_FISH_PROMPT_OVERRIDE"; and builtin functions -q _old_fish_prompt
        # Without an autoload path, erasing the function cannot load another one in its place.
        set -l fish_function_path
        builtin functions -e fish_prompt
        builtin functions -c _old_fish_prompt fish_prompt
        builtin functions -e _old_fish_prompt
        set -e _OLD_FISH_PROMPT_OVERRIDE
    end
    set -e VIRTUAL_ENV
    set -e VIRTUAL_ENV_PROMPT
    if test "$argv[1]" != nondestructive
        builtin functions -e pydoc
        builtin functions -e deactivate
    end
end

# Another environment may be active.
deactivate nondestructive

set -gx VIRTUAL_ENV @ENV_DIR@
set -gx VIRTUAL_ENV_PROMPT @PROMPT@

set -g _OLD_VIRTUAL_PATH $PATH
set -gx PATH "$VIRTUAL_ENV/bin" $PATH

set -g _OLD_PKG_CONFIG_PATH "$PKG_CONFIG_PATH"
if test -n "$PKG_CONFIG_PATH"
    set -gx PKG_CONFIG_PATH "$VIRTUAL_ENV/lib/pkgconfig:$PKG_CONFIG_PATH"
else
    set -gx PKG_CONFIG_PATH "$VIRTUAL_ENV/lib/pkgconfig"
end

if set -q PYTHONHOME
    set -g _OLD_VIRTUAL_PYTHONHOME "$PYTHONHOME"
    set -e PYTHONHOME
end

function pydoc
    python -m pydoc $argv
end

if test -z "$VIRTUAL_ENV_DISABLE_PROMPT"
    builtin functions -c fish_prompt _old_fish_prompt
    function fish_prompt
        set -l last_status $status
        # The own prompt runs first, as it may look at the status; its lines are joined again afterwards.
        set -l lines (_old_fish_prompt)
        builtin printf '(%s) ' "$VIRTUAL_ENV_PROMPT"
        builtin string join -- \n $lines
        # Restores the status that the prompt was shown for.
        builtin echo "exit $last_status" | builtin source
    end
    set -g _OLD_FISH_PROMPT_OVERRIDE "$VIRTUAL_ENV"
end
