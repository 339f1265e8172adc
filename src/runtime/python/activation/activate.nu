# Use this file from Nushell: `overlay use bin/activate.nu`. `deactivate` undoes it.

export-env {
    let virtual_env = @ENV_DIR@
    let prompt = @PROMPT@
    let path_name = if 'Path' in $env { 'Path' } else { 'PATH' }
    let path = ($env | get $path_name | prepend ([$virtual_env 'bin'] | path join))
    let package_config = ([$virtual_env 'lib' 'pkgconfig'] | path join)
    let package_config = if 'PKG_CONFIG_PATH' in $env and ($env.PKG_CONFIG_PATH | is-not-empty) {
        $"($package_config)(char esep)($env.PKG_CONFIG_PATH)"
    } else {
        $package_config
    }
    load-env {
        $path_name: $path
        VIRTUAL_ENV: $virtual_env
        VIRTUAL_ENV_PROMPT: $prompt
        PKG_CONFIG_PATH: $package_config
    }
    hide-env --ignore-errors PYTHONHOME
    let hidden = 'VIRTUAL_ENV_DISABLE_PROMPT' in $env and ($env.VIRTUAL_ENV_DISABLE_PROMPT | into string | is-not-empty)
    if not $hidden {
        let own = if 'PROMPT_COMMAND' in $env { $env.PROMPT_COMMAND } else { '' }
        let prefix = $"(char lparen)($prompt)(char rparen) "
        $env.PROMPT_COMMAND = if ($own | describe) == 'closure' {
            {|| $"($prefix)(do $own)" }
        } else {
            {|| $"($prefix)($own)" }
        }
    }
}

export alias pydoc = python -m pydoc
export alias deactivate = overlay hide activate
