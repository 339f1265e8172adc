//! Lua: rocks in the environment's folder, by LuaRocks.

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

    fn surroundings(&self, place: &RuntimeLocation<'_>) -> RuntimeVariables {
        // Each version of Lua has a folder of its own; two semicolons stand for where Lua looks by itself.
        let version = language_version(place);
        let (shared, native) =
            (place.folder.join("share/lua").join(&version), place.folder.join("lib/lua").join(&version));
        let (shared, native) = (shared.display(), native.display());
        let variables = vec![
            ("LUA_PATH".to_owned(), format!("{shared}/?.lua;{shared}/?/init.lua;;")),
            ("LUA_CPATH".to_owned(), format!("{native}/?.so;;")),
        ];
        RuntimeVariables { paths: vec![place.folder.join("bin")], variables }
    }

    fn contents(&self, request: &RuntimeInstallRequest<'_>) -> Result<RuntimeContents, String> {
        let place = &request.place;
        let (version, tree) = (language_version(place), place.folder.display().to_string());
        let mut contents = RuntimeContents::default();
        for dependency in request.dependencies {
            let rock = local_path(dependency, place.root).map(|path| path.display().to_string());
            let (name, wanted) = dependency.split_once(char::is_whitespace).unwrap_or((dependency, ""));
            let name = rock.as_deref().unwrap_or(name);
            // LuaRocks may itself run by another Lua.
            let words = ["luarocks", "--lua-version", &version, "install", "--tree", &tree, name];
            let mut step = step(words, place.project, "lua_deps");
            if !wanted.trim().is_empty() {
                step.argv.push(wanted.trim().to_owned());
            }
            contents.steps.push(step);
        }
        contents.inputs = dependency_inputs(request.dependencies, place.root, FolderDependencies::Copied);
        Ok(contents)
    }
}

/// `5.4` of 5.4.6.
fn language_version(place: &RuntimeLocation<'_>) -> String {
    let version = place.version.map(|version| version.to_string()).unwrap_or_default();
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}
