# Source this file from csh or tcsh: `source bin/activate.csh`. `deactivate` undoes it.

# Another environment may be active.
if ($?_OLD_VIRTUAL_PATH) source @ENV_DIR@/bin/deactivate.csh

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
# A variable of its own, since quotes cannot be nested in an alias.
set _virtualenv_deactivate=@ENV_DIR@/bin/deactivate.csh
alias deactivate 'source "$_virtualenv_deactivate:q"'

rehash
