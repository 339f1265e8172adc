//! Tests with widely used backends from the package index.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::builder::package::BuildSystem;
use crate::builder::package::tests::{BuilderFixture, host_path, request};
use crate::execute::process::capture;
use crate::model::PackageKind;
use crate::package::PackageFile;

#[test]
fn the_backends_people_use_build_real_projects() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let venv = root.join("venv");
    let mut variables = crate::execute::environment::host();
    variables.remove("PYTHONPATH");
    let run = |program: &Path, arguments: &[&str]| {
        let arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
        let output = capture(program, &arguments, &variables).unwrap();
        assert!(output.code == 0, "{}", String::from_utf8_lossy(&output.error));
    };
    run(&which::which("python3").unwrap(), &["-m", "venv", &venv.display().to_string()]);
    let backends = ["setuptools", "wheel", "hatchling", "flit_core", "poetry-core", "pdm-backend", "editables"];
    run(&venv.join("bin/python"), &[&["-m", "pip", "install", "--quiet"][..], &backends[..]].concat());

    let project = "[project]\nname = 'demo'\nversion = '1.0'\ndescription = 'a demö'\ndynamic = ['dependencies']\n";
    let fixed = "[project]\nname = 'demo'\nversion = '1.0'\ndescription = 'a demö'\ndependencies = ['six']\n";
    let setup = "import setuptools\nprint('noise')\nsetuptools.setup(name='demo', version='1.0', py_modules=['demo'], install_requires=['six'])\n";
    let cfg = "[metadata]\nname = demo\nversion = 1.0\n[options]\npy_modules = demo\ninstall_requires = six\n";
    let system = |backend: &str| format!("[build-system]\nrequires = []\nbuild-backend = '{backend}'\n");
    let setuptools = system("setuptools.build_meta");
    let cases: Vec<(&str, Vec<(&str, String)>)> = vec![
        ("setup.py alone", vec![("setup.py", setup.to_owned())]),
        ("setup.cfg", vec![("setup.cfg", cfg.to_owned()), ("pyproject.toml", setuptools.clone())]),
        (
            "setuptools",
            vec![(
                "pyproject.toml",
                format!(
                    "{setuptools}{project}[tool.setuptools]\npy-modules = ['demo']\n[tool.setuptools.dynamic]\ndependencies = {{file = 'deps.txt'}}\n"
                ),
            )],
        ),
        (
            "hatchling",
            vec![(
                "pyproject.toml",
                format!("{}{fixed}[tool.hatch.build]\ninclude = ['demo.py']\n", system("hatchling.build")),
            )],
        ),
        ("flit", vec![("pyproject.toml", format!("{}{fixed}", system("flit_core.buildapi")))]),
        (
            "poetry",
            vec![(
                "pyproject.toml",
                format!(
                    "{}[tool.poetry]\nname = 'demo'\nversion = '1.0'\ndescription = ''\nauthors = []\n[tool.poetry.dependencies]\nsix = '*'\n",
                    system("poetry.core.masonry.api")
                ),
            )],
        ),
        ("pdm", vec![("pyproject.toml", format!("{}{fixed}", system("pdm.backend")))]),
    ];
    for (name, files) in cases {
        let mut fixture = BuilderFixture::new("", "");
        let source = fixture.root().join("project");
        fs::remove_file(source.join("pyproject.toml")).unwrap();
        fs::remove_file(source.join("backend.py")).unwrap();
        fs::write(source.join("demo.py"), "x = 1\n").unwrap();
        fs::write(source.join("deps.txt"), "six\n").unwrap();
        for (file, content) in files {
            fs::write(source.join(file), content).unwrap();
        }
        fixture.fresh = BuildSystem::read(&source).unwrap().needs_fresh_process();
        let path = format!("{}:{}", venv.join("bin").display(), host_path());
        fixture.session.variables.set("PATH", path);
        fixture.session.paths = vec![venv.join("bin")];
        let kinds = [PackageKind::Sdist, PackageKind::Wheel, PackageKind::Editable];
        let builder = fixture.builder(&kinds.map(|kind| ("a", kind)));
        for kind in kinds {
            let package =
                builder.build(request(kind, &[])).unwrap_or_else(|error| panic!("{name} {kind:?}: {error:#}"));
            let requirements = package[0].requirements.join(" ");
            assert!(requirements.starts_with("six"), "{name} {kind:?}: {requirements}");
            assert!(package[0].path.metadata().unwrap().len() > 100, "{name} {kind:?}");
            let sdist = matches!(package[0].file, PackageFile::Sdist { .. });
            assert_eq!(sdist, kind == PackageKind::Sdist, "{name} {kind:?}");
        }
        builder.finish();
        let metadata = fixture.builder(&[("a", PackageKind::Sdist)]);
        let requirements = metadata.dependencies(request(PackageKind::DepsOnly, &[])).unwrap();
        assert!(requirements.join(" ").starts_with("six"), "{name}: {requirements:?}");
        metadata.finish();
    }
}
