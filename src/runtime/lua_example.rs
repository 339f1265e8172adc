//! Lua: rocks in the environment's folder, installed by LuaRocks. An example for the documentation.

use crate::runtime::manifest::{FolderDependencies, dependency_inputs, local_path, step};
use crate::runtime::ruby::dotted;
use crate::runtime::{Runtime, RuntimeContents, RuntimeInstallRequest, RuntimeLocation, RuntimeVariables};

pub struct LuaRuntime;

impl Runtime for LuaRuntime {
    fn name(&self) -> &'static str {
        "lua"
    }

    fn program(&self) -> Option<&'static str> {
        Some("lua")
    }

    fn version_arguments(&self) -> &'static [&'static str] {
        &["-v"]
    }

    fn locations(&self) -> &'static [&'static str] {
        &["~/.asdf/installs/lua/*/bin", "~/.local/share/mise/installs/lua/*/bin"]
    }

    fn companions(&self) -> &'static [&'static str] {
        &["luac", "luarocks"]
    }

    fn remedy(&self) -> &'static str {
        "install Lua and LuaRocks (your system's `lua5.4`, `liblua5.4-dev` and `luarocks`)"
    }

    /// `54` is 5.4.
    fn factor_version(&self, digits: &str) -> String {
        dotted(digits)
    }

    fn runtime_variables(&self, location: &RuntimeLocation<'_>) -> RuntimeVariables {
        // Each version of Lua has its own folder; `;;` keeps Lua's default path.
        let version = language_version(location);
        let (shared, native) =
            (location.folder.join("share/lua").join(&version), location.folder.join("lib/lua").join(&version));
        let (shared, native) = (shared.display(), native.display());
        let variables = vec![
            ("LUA_PATH".to_owned(), format!("{shared}/?.lua;{shared}/?/init.lua;;")),
            ("LUA_CPATH".to_owned(), format!("{native}/?.so;;")),
        ];
        RuntimeVariables { paths: vec![location.folder.join("bin")], variables }
    }

    fn contents(&self, request: &RuntimeInstallRequest<'_>) -> Result<RuntimeContents, String> {
        let location = &request.location;
        let (version, tree) = (language_version(location), location.folder.display().to_string());
        let mut contents = RuntimeContents::default();
        for dependency in request.dependencies {
            let rock = local_path(dependency, location.root).map(|path| path.display().to_string());
            let (name, wanted) = dependency.split_once(char::is_whitespace).unwrap_or((dependency, ""));
            let name = rock.as_deref().unwrap_or(name);
            // LuaRocks itself may run on another Lua.
            let words = ["luarocks", "--lua-version", &version, "install", "--tree", &tree, name];
            let mut step = step(words, location.project, "lua_deps");
            if !wanted.trim().is_empty() {
                step.argv.push(wanted.trim().to_owned());
            }
            contents.steps.push(step);
        }
        contents.inputs = dependency_inputs(request.dependencies, location.root, FolderDependencies::Copied);
        Ok(contents)
    }
}

/// `5.4` of 5.4.6.
fn language_version(location: &RuntimeLocation<'_>) -> String {
    let version = location.version.map(|version| version.to_string()).unwrap_or_default();
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}
