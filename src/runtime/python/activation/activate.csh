# Source this file from csh or tcsh: `source bin/activate.csh`. `deactivate` undoes it.

alias deactivate 'test $?_OLD_VIRTUAL_PATH != 0 && setenv PATH "$_OLD_VIRTUAL_PATH:q" && unset _OLD_VIRTUAL_PATH; rehash; test $?_OLD_VIRTUAL_PROMPT != 0 && set prompt="$_OLD_VIRTUAL_PROMPT:q" && unset _OLD_VIRTUAL_PROMPT; test $?_OLD_VIRTUAL_PYTHONHOME != 0 && setenv PYTHONHOME "$_OLD_VIRTUAL_PYTHONHOME:q" && unset _OLD_VIRTUAL_PYTHONHOME; unsetenv VIRTUAL_ENV; unsetenv VIRTUAL_ENV_PROMPT; test "\!:*" != "nondestructive" && unalias deactivate && unalias pydoc'

# Another environment may be active.
deactivate nondestructive

setenv VIRTUAL_ENV @ENV_DIR@
setenv VIRTUAL_ENV_PROMPT @PROMPT@

set _OLD_VIRTUAL_PATH="$PATH:q"
setenv PATH "$VIRTUAL_ENV:q/bin:$PATH:q"

if ($?PYTHONHOME) then
    set _OLD_VIRTUAL_PYTHONHOME="$PYTHONHOME:q"
    unsetenv PYTHONHOME
endif

# A shell that is not interactive has no prompt.
if (! $?VIRTUAL_ENV_DISABLE_PROMPT && $?prompt) then
    set _OLD_VIRTUAL_PROMPT="$prompt:q"
    set prompt="($VIRTUAL_ENV_PROMPT:q) $prompt:q"
endif

alias pydoc python -m pydoc

rehash
