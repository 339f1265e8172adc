//! Compiled modules of a release. They name no folder, are trusted without a look at their sources, and are the same
//! wherever they were compiled. Each is compiled once and kept by its content.
//! <https://peps.python.org/pep-0552/>

use std::io::Write as _;
use std::path::Path;

use rayon::prelude::*;

use crate::digest::sha256;
use crate::execute::interrupt::Interrupt;
use crate::execute::process::{ChildInput, Spawn, finish_or_kill};
use crate::model::{EnvVariables, Interpreter};
use crate::scratch::Scratch;
use crate::ship::piece::{Origin, Piece};
use crate::ship::refusal::Refusal;

const PROGRAM: &str = include_str!("compile.py");
/// The length of the digest behind a kept module.
const DIGEST: usize = 64;

/// Compiles modules with one interpreter.
#[derive(Debug, Clone, Copy)]
pub struct Compiler<'a> {
    pub interpreter: &'a Interpreter,
    /// The folder for compiled modules, by the digests of what they were compiled from.
    pub cache: &'a Path,
    pub interrupt: &'a Interrupt,
}

/// A module and what it was compiled to; empty if it cannot be compiled.
struct Module<'a> {
    piece: &'a Piece,
    key: String,
    compiled: Option<Vec<u8>>,
}

impl Compiler<'_> {
    /// The compiled modules of the pieces that are modules.
    pub fn compiled(&self, pieces: &[Piece]) -> Result<Vec<Piece>, Refusal> {
        let pieces: Vec<&Piece> = pieces.iter().filter(|piece| is_module(piece)).collect();
        let modules: Result<Vec<Module<'_>>, Refusal> =
            pieces.into_par_iter().map(|piece| self.module(piece)).collect();
        let mut modules = modules?;
        let mut missing: Vec<&mut Module<'_>> = modules.iter_mut().filter(|module| module.compiled.is_none()).collect();
        if !missing.is_empty() {
            let failed = |error: std::io::Error| Refusal::new(format!("could not compile modules: {error}"));
            // Without a cache they are compiled every time.
            let in_cache =
                std::fs::create_dir_all(self.cache).and_then(|()| Scratch::new_in(self.cache, ".compiling-"));
            let scratch = in_cache.or_else(|_| Scratch::temporary("envo-compiling-")).map_err(failed)?;
            let share = missing.len().div_ceil(rayon::current_num_threads());
            missing.par_chunks_mut(share).try_for_each(|share| self.compile(share, scratch.path()))?;
        }
        let compiled = modules.into_iter().filter_map(|module| {
            let compiled = module.compiled.filter(|compiled| !compiled.is_empty())?;
            let path = compiled_path(&module.piece.path, &self.tag())?;
            Some(Piece::new(path, Origin::Bytes(compiled), module.piece.part))
        });
        Ok(compiled.collect())
    }

    /// `cpython-311`.
    fn tag(&self) -> String {
        let version = &self.interpreter.version;
        format!("cpython-{}{}", version.major, version.minor)
    }

    fn module<'p>(&self, piece: &'p Piece) -> Result<Module<'p>, Refusal> {
        let source = sha256(piece.read()?);
        let key = sha256(format!("{}\0{}\0{PROGRAM}\0{source}", self.interpreter.version_text, piece.path));
        Ok(Module { piece, compiled: self.kept(&key), key })
    }

    /// A module that was compiled before; `None` also if its file was altered.
    fn kept(&self, key: &str) -> Option<Vec<u8>> {
        let mut content = std::fs::read(self.cache.join(key)).ok()?;
        let digest = content.split_off(content.len().checked_sub(DIGEST)?);
        (sha256(&content).as_bytes() == digest).then_some(content)
    }

    /// Compiles modules in a folder of their own, and keeps them.
    fn compile(&self, modules: &mut [&mut Module<'_>], folder: &Path) -> Result<(), Refusal> {
        let failed = |reason: &dyn std::fmt::Display| Refusal::new(format!("could not compile modules: {reason}"));
        let mut input = tempfile::tempfile().map_err(|error| failed(&error))?;
        for module in modules.iter() {
            let (source, compiled) = (folder.join(format!("{}.py", module.key)), folder.join(&module.key));
            std::fs::write(&source, module.piece.read()?).map_err(|error| failed(&error))?;
            writeln!(input, "{}\t{}\t{}", source.display(), module.piece.path, compiled.display())
                .map_err(|error| failed(&error))?;
        }
        std::io::Seek::rewind(&mut input).map_err(|error| failed(&error))?;
        let mut variables = EnvVariables::default();
        variables.set("PYTHONHASHSEED", "0");
        let mut spawn = Spawn::new(&self.interpreter.system_executable, ["-s", "-S", "-B", "-c", PROGRAM], variables);
        spawn.stdin = ChildInput::From(input.into());
        let (code, _, error) = finish_or_kill(spawn, self.interrupt).map_err(|error| failed(&error))?;
        if code != 0 {
            return Err(failed(&String::from_utf8_lossy(&error).trim()));
        }
        for module in modules {
            let compiled = std::fs::read(folder.join(&module.key)).map_err(|error| failed(&error))?;
            let kept = [compiled.as_slice(), sha256(&compiled).as_bytes()].concat();
            // One that cannot be kept is compiled again.
            let _ = crate::runtime::cache::write_atomically(&self.cache.join(&module.key), &kept);
            module.compiled = Some(compiled);
        }
        Ok(())
    }
}

fn is_module(piece: &Piece) -> bool {
    // A tab or line break separates the input of the compiler, and scripts are not imported.
    let is_script = piece.path.starts_with("env/bin/");
    piece.path.ends_with(".py") && !piece.path.contains(['\t', '\n']) && !is_script
}

/// `a/__pycache__/b.cpython-311.pyc` for `a/b.py`.
fn compiled_path(path: &str, tag: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once('/')?;
    Some(format!("{folder}/__pycache__/{}.{tag}.pyc", name.strip_suffix(".py")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_modules_are_next_to_their_sources() {
        let path = compiled_path("env/a/b.py", "cpython-311");
        assert_eq!(path.as_deref(), Some("env/a/__pycache__/b.cpython-311.pyc"));
    }
}
