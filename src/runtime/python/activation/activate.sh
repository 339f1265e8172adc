# Source this file from bash, zsh or another POSIX shell: `. bin/activate`. `deactivate` undoes it.

if [ "${BASH_SOURCE-}" = "$0" ]; then
    echo "Source this script instead of running it: . $0" >&2
    exit 33
fi

deactivate () {
    # Each saved value is put back and forgotten; where nothing was saved nothing was changed.
    if [ -n "${_OLD_VIRTUAL_PATH+x}" ]; then
        PATH="$_OLD_VIRTUAL_PATH"
        export PATH
        unset _OLD_VIRTUAL_PATH
    fi
    if [ -n "${_OLD_VIRTUAL_PYTHONHOME+x}" ]; then
        PYTHONHOME="$_OLD_VIRTUAL_PYTHONHOME"
        export PYTHONHOME
        unset _OLD_VIRTUAL_PYTHONHOME
    fi
    if [ -n "${_OLD_PKG_CONFIG_PATH+x}" ]; then
        if [ -n "$_OLD_PKG_CONFIG_PATH" ]; then
            PKG_CONFIG_PATH="$_OLD_PKG_CONFIG_PATH"
            export PKG_CONFIG_PATH
        else
            unset PKG_CONFIG_PATH
        fi
        unset _OLD_PKG_CONFIG_PATH
    fi
    if [ -n "${_OLD_VIRTUAL_PS1+x}" ]; then
        PS1="$_OLD_VIRTUAL_PS1"
        unset _OLD_VIRTUAL_PS1
    fi
    unset -f pydoc 2>/dev/null || true
    unset VIRTUAL_ENV VIRTUAL_ENV_PROMPT
    # The shell may remember where programs were.
    hash -r 2>/dev/null || true
    if [ "${1-}" != "nondestructive" ]; then
        unset -f deactivate
    fi
}

# Another environment may be active.
deactivate nondestructive

VIRTUAL_ENV=@ENV_DIR@
case "$(uname)" in
    CYGWIN*|MSYS*|MINGW*) VIRTUAL_ENV=$(cygpath "$VIRTUAL_ENV") ;;
esac
export VIRTUAL_ENV

VIRTUAL_ENV_PROMPT=@PROMPT@
export VIRTUAL_ENV_PROMPT

_OLD_VIRTUAL_PATH="$PATH"
PATH="$VIRTUAL_ENV/bin:$PATH"
export PATH

_OLD_PKG_CONFIG_PATH="${PKG_CONFIG_PATH-}"
PKG_CONFIG_PATH="$VIRTUAL_ENV/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
export PKG_CONFIG_PATH

if [ -n "${PYTHONHOME+x}" ]; then
    _OLD_VIRTUAL_PYTHONHOME="$PYTHONHOME"
    unset PYTHONHOME
fi

if [ -z "${VIRTUAL_ENV_DISABLE_PROMPT-}" ]; then
    _OLD_VIRTUAL_PS1="${PS1-}"
    # Shells expand their prompt each time they show it, so what is special there is written literally.
    PS1="("@SHELL_PROMPT@") ${PS1-}"
    [ -z "${ZSH_VERSION-}" ] || PS1="("@ZSH_PROMPT@") ${_OLD_VIRTUAL_PS1}"
fi

unalias pydoc 2>/dev/null || true
pydoc () {
    python -m pydoc "$@"
}

hash -r 2>/dev/null || true
