# Source this file from xonsh: `source bin/activate.xsh`. `deactivate` undoes it.

from xonsh.built_ins import XSH as _virtual_session


def _virtual_deactivate(args=None):
    variables = _virtual_session.env
    saved = _virtual_session.ctx.pop("_virtual_saved", None)
    if saved is None:
        return
    for name, value in saved.items():
        if value is None:
            variables.pop(name, None)
        else:
            variables[name] = value
    for alias in ("pydoc", "deactivate"):
        _virtual_session.aliases.pop(alias, None)


def _virtual_activate():
    import os

    variables = _virtual_session.env
    # Another environment may be active.
    _virtual_deactivate()
    names = ("PATH", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "PYTHONHOME", "PKG_CONFIG_PATH")
    saved = {name: variables.get(name) for name in names}
    saved["PATH"] = list(variables["PATH"])
    _virtual_session.ctx["_virtual_saved"] = saved
    folder = @ENV_DIR@
    variables["VIRTUAL_ENV"] = folder
    variables["VIRTUAL_ENV_PROMPT"] = @PROMPT@
    variables["PATH"] = [os.path.join(folder, "bin")] + saved["PATH"]
    variables["PKG_CONFIG_PATH"] = [os.path.join(folder, "lib", "pkgconfig")] + list(saved["PKG_CONFIG_PATH"] or [])
    variables.pop("PYTHONHOME", None)
    _virtual_session.aliases["pydoc"] = ["python", "-m", "pydoc"]
    _virtual_session.aliases["deactivate"] = _virtual_deactivate


_virtual_activate()
del _virtual_activate
