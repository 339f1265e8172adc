# Run this file in PowerShell: `. bin/activate.ps1`. `deactivate` undoes it.

function global:deactivate([switch] $NonDestructive) {
    foreach ($Name in 'PATH', 'PYTHONHOME', 'PKG_CONFIG_PATH') {
        $Saved = Get-Variable -Name "_OLD_VIRTUAL_$Name" -Scope Global -ErrorAction SilentlyContinue
        if ($Saved) {
            if ($null -eq $Saved.Value) {
                Remove-Item "Env:$Name" -ErrorAction SilentlyContinue
            } else {
                Set-Item "Env:$Name" $Saved.Value
            }
            Remove-Variable -Name "_OLD_VIRTUAL_$Name" -Scope Global
        }
    }
    if (Test-Path Function:_old_virtual_prompt) {
        $Function:prompt = $Function:_old_virtual_prompt
        Remove-Item Function:_old_virtual_prompt
    }
    Remove-Item Env:VIRTUAL_ENV, Env:VIRTUAL_ENV_PROMPT -ErrorAction SilentlyContinue
    if (!$NonDestructive) {
        Remove-Item Function:deactivate
        Remove-Item Function:pydoc -ErrorAction SilentlyContinue
    }
}

# Another environment may be active.
deactivate -NonDestructive

foreach ($Name in 'PATH', 'PYTHONHOME', 'PKG_CONFIG_PATH') {
    Set-Variable -Name "_OLD_VIRTUAL_$Name" -Scope Global -Value ([Environment]::GetEnvironmentVariable($Name))
}

$Env:VIRTUAL_ENV = @ENV_DIR@
$Env:VIRTUAL_ENV_PROMPT = @PROMPT@
$Env:PATH = "$Env:VIRTUAL_ENV/bin:$Env:PATH"
$Env:PKG_CONFIG_PATH = "$Env:VIRTUAL_ENV/lib/pkgconfig" + $(if ($Env:PKG_CONFIG_PATH) { ":$Env:PKG_CONFIG_PATH" })
Remove-Item Env:PYTHONHOME -ErrorAction SilentlyContinue

function global:pydoc { & python -m pydoc $args }

if (!$Env:VIRTUAL_ENV_DISABLE_PROMPT) {
    $Function:global:_old_virtual_prompt = $Function:prompt
    function global:prompt {
        Write-Host -NoNewline -ForegroundColor Green "($Env:VIRTUAL_ENV_PROMPT) "
        _old_virtual_prompt
    }
}
