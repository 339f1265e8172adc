//! Tests of every kind of package and of the requests and installations it takes.

use std::fs;

use crate::builder::package::tests::{BACKEND, BUILD_SYSTEM, BuilderFixture, EDITABLE, request, shown, with_static};
use crate::builder::package::{BuildRequest, describe_wheel};
use crate::env_error::EnvError;
use crate::event::Level;
use crate::model::PackageKind;
use crate::package::archive::tests::write_source_archive;
use crate::package::{BuiltPackage, PackageFile};

#[test]
fn an_sdist_is_built_once_and_every_environment_gets_its_own_copy() {
    let fixture = BuilderFixture::new(&with_static(), BACKEND);
    let builder = fixture.builder(&[("a", PackageKind::Sdist), ("b", PackageKind::Sdist)]);
    let packages: Vec<BuiltPackage> = std::thread::scope(|scope| {
        let builds: Vec<_> =
            (0..4).map(|_| scope.spawn(|| builder.build(request(PackageKind::Sdist, &[])).unwrap())).collect();
        builds.into_iter().flat_map(|build| build.join().unwrap()).collect()
    });
    assert_eq!(fixture.hooks(), ["_optional_hooks", "build_sdist"]);
    assert_eq!(*fixture.installed.lock(), ["prepare", "requires:", "deps:", "requires_for_build_sdist:"]);
    let mut paths: Vec<_> = packages.iter().map(|package| package.path.clone()).collect();
    paths.sort();
    let staging = fixture.root().join("work/.tmp/package");
    let expected: Vec<_> = (1..5).map(|number| staging.join(number.to_string()).join("demo-1.0.tar.gz")).collect();
    assert_eq!(paths, expected);
    assert_eq!(packages[0].requirements, ["six"]);
    assert_eq!(packages[0].file, PackageFile::Sdist { config_settings: Vec::new() });
    builder.finish();
    assert_eq!(fixture.hooks(), ["_optional_hooks", "build_sdist", "_exit"]);
    assert!(paths.iter().all(|path| !path.exists()));
    assert!(fixture.root().join("work/.pkg/dist/demo-1.0.tar.gz").exists());
    assert!(fixture.root().join("work/.pkg/log/2-build_sdist.log").exists());
}

#[test]
fn metadata_that_is_not_static_is_taken_from_the_wheel_when_the_backend_cannot_prepare_it() {
    let fixture = BuilderFixture::new(BUILD_SYSTEM, BACKEND);
    let builder = fixture.builder(&[("a", PackageKind::Sdist)]);
    let package = builder.build(request(PackageKind::Sdist, &["X".to_owned()])).unwrap().remove(0);
    assert_eq!(package.requirements, ["six", "A"]);
    assert_eq!(fixture.hooks(), ["_optional_hooks", "build_wheel", "build_sdist"]);
    let error = builder.build(request(PackageKind::Sdist, &["typo".to_owned()])).expect_err("no such extra");
    assert_eq!(error.to_string(), "extras not found for package demo: typo (available: x)");
}

#[test]
fn metadata_is_prepared_when_no_wheel_is_built_anyway() {
    let prepare = r#"
def get_requires_for_build_sdist(config_settings=None):
    return ["One >= 1"]
def get_requires_for_build_wheel(config_settings=None):
    return []
def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    os.mkdir(os.path.join(metadata_directory, "demo-1.0.dist-info"))
    with io.open(os.path.join(metadata_directory, "demo-1.0.dist-info", "METADATA"), "w") as file:
        file.write(METADATA)
    return "demo-1.0.dist-info"
"#;
    let fixture = BuilderFixture::new(BUILD_SYSTEM, &format!("{BACKEND}{prepare}"));
    let meta = fixture.root().join("work/.pkg/.meta");
    fs::create_dir_all(&meta).unwrap();
    fs::write(meta.join("stale"), "").unwrap();
    assert_eq!(fixture.build(PackageKind::Sdist).unwrap()[0].requirements, ["six"]);
    let hooks = ["_optional_hooks", "get_requires_for_build_sdist", "get_requires_for_build_wheel"];
    assert_eq!(fixture.hooks()[..3], hooks);
    assert_eq!(fixture.hooks()[3..], ["prepare_metadata_for_build_wheel", "build_sdist"]);
    assert!(fixture.installed.lock().contains(&"requires_for_build_sdist: One>=1".to_owned()));
    assert!(!meta.join("stale").exists());
}

#[test]
fn a_backend_without_editable_wheels_falls_back_to_the_old_kind() {
    for (pyproject, hooks) in
        [(BUILD_SYSTEM.to_owned(), vec!["_optional_hooks", "build_wheel"]), (with_static(), vec!["_optional_hooks"])]
    {
        let fixture = BuilderFixture::new(&pyproject, BACKEND);
        let builder = fixture.builder(&[("b", PackageKind::Editable), ("a", PackageKind::Editable)]);
        for _ in 0..2 {
            let package = builder.build(request(PackageKind::Editable, &[])).unwrap().remove(0);
            assert_eq!(package.file, PackageFile::EditableLegacy);
            assert_eq!(package.path, fixture.root().join("project"));
            assert_eq!(package.requirements, ["six"]);
        }
        assert_eq!(fixture.hooks(), hooks);
        assert_eq!(
            fixture.messages(Level::Error),
            ["package config for a, b is editable, however the build backend backend does not support PEP-660, \
              falling back to editable-legacy - change your configuration to it"]
        );
    }
}

#[test]
fn editable_and_ordinary_wheels_are_built_apart() {
    let fixture = BuilderFixture::new(BUILD_SYSTEM, &format!("{BACKEND}{EDITABLE}"));
    let builder = fixture.builder(&[("a", PackageKind::Editable), ("b", PackageKind::Wheel)]);
    for _ in 0..2 {
        for (kind, file) in [(PackageKind::Editable, PackageFile::Editable), (PackageKind::Wheel, PackageFile::Wheel)] {
            assert_eq!(builder.build(request(kind, &[])).unwrap()[0].file, file);
        }
    }
    assert_eq!(fixture.hooks(), ["_optional_hooks", "build_editable", "build_wheel"]);
}

#[test]
fn a_wheel_can_come_from_the_source_archive() {
    let backend = BACKEND.replace(
        "    print(\"wheel with\", config_settings)",
        "    assert 'sdist-extract' in os.getcwd(), os.getcwd()",
    );
    let fixture = BuilderFixture::new(&with_static(), &backend);
    let builder = fixture.builder(&[("a", PackageKind::SdistWheel)]);
    for _ in 0..2 {
        let package = builder.build(request(PackageKind::SdistWheel, &[])).unwrap().remove(0);
        assert_eq!(package.file, PackageFile::Wheel);
        assert!(package.path.ends_with("demo-1.0-py3-none-any.whl"));
    }
    assert_eq!(fixture.hooks(), ["_optional_hooks", "build_sdist", "_optional_hooks", "build_wheel"]);
    assert_eq!(fixture.messages(Level::Info), ["built sdist demo-1.0.tar.gz, now building wheel from it"]);
}

#[test]
fn wheels_are_built_where_another_interpreter_needs_them() {
    let fixture = BuilderFixture::new(&with_static(), BACKEND);
    let parent = fixture.builder(&[("a", PackageKind::Wheel)]);
    let child = fixture.builder(&[("a", PackageKind::Wheel)]);
    let wanted = BuildRequest { wheel_builder: Some(&child), ..request(PackageKind::Wheel, &[]) };
    assert_eq!(parent.build(wanted).unwrap()[0].file, PackageFile::Wheel);
    assert_eq!(fixture.installed.lock().iter().filter(|step| *step == "prepare").count(), 1);
}

#[test]
fn config_settings_reach_their_hooks_and_the_installer() {
    let mut fixture = BuilderFixture::new(
        &with_static(),
        &format!(
            "{BACKEND}\ndef get_requires_for_build_wheel(config_settings=None):\n    return list(config_settings)\n"
        ),
    );
    fixture.settings = vec![
        ("get_requires_for_build_wheel".to_owned(), vec![("needs-this".to_owned(), "1".into())]),
        ("build_wheel".to_owned(), vec![("X".to_owned(), "y".into()), ("Z".to_owned(), "w".into())]),
    ];
    fixture.session.verbosity = 4;
    let builder = fixture.builder(&[("a", PackageKind::Wheel), ("b", PackageKind::Sdist)]);
    builder.build(request(PackageKind::Wheel, &[])).unwrap();
    let sdist = builder.build(request(PackageKind::Sdist, &[])).unwrap().remove(0);
    assert!(fixture.installed.lock().contains(&"requires_for_build_wheel: needs-this".to_owned()));
    let settings = [("X", "y"), ("Z", "w")].map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    assert_eq!(sdist.file, PackageFile::Sdist { config_settings: settings });
    assert!(shown(&fixture).contains("wheel with {'X': 'y', 'Z': 'w'}\n"));
}

#[test]
fn an_environment_that_must_be_made_anew_is_and_the_build_goes_on() {
    let fixture = BuilderFixture::new(&with_static(), BACKEND);
    *fixture.stale.lock() = 1;
    fixture.build(PackageKind::Sdist).unwrap();
    let steps = ["prepare", "requires:", "recreate because dependencies removed: old", "prepare", "requires:"];
    assert_eq!(fixture.installed.lock()[..5], steps);
    *fixture.stale.lock() = 100;
    let error = fixture.build(PackageKind::Sdist).expect_err("it never fits");
    assert!(matches!(error.downcast_ref::<EnvError>(), Some(EnvError::Recreate(_))));
}

#[test]
fn deps_are_only_for_the_old_kind_of_build() {
    for (kind, accepted) in [
        (PackageKind::Sdist, false),
        (PackageKind::SdistWheel, false),
        (PackageKind::Wheel, false),
        (PackageKind::Editable, false),
        (PackageKind::EditableLegacy, true),
    ] {
        let mut fixture = BuilderFixture::new(&with_static(), &format!("{BACKEND}{EDITABLE}"));
        fixture.deps = "# for the build\nA >= 1\n".to_owned();
        match fixture.build(kind) {
            Ok(_) => {
                assert!(accepted, "{kind:?}");
                assert!(fixture.installed.lock().contains(&"deps: A>=1".to_owned()));
            }
            Err(error) => {
                assert!(!accepted, "{kind:?}: {error:#}");
                let expected = "PEP-517 packaging environment '.pkg' does not support the deps configuration. ";
                assert!(error.to_string().starts_with(expected), "{error:#}");
                assert!(fixture.installed.lock().is_empty());
            }
        }
    }
}

#[test]
fn a_metadata_folder_that_is_a_link_is_refused_and_what_it_leads_to_stays() {
    let fixture = BuilderFixture::new(BUILD_SYSTEM, BACKEND);
    let outside = fixture.root().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("keep"), "keep").unwrap();
    fs::create_dir_all(fixture.root().join("work/.pkg")).unwrap();
    std::os::unix::fs::symlink(&outside, fixture.root().join("work/.pkg/.meta")).unwrap();
    let expected = "ROOT/work/.pkg/.meta is a link where the package metadata should live; delete it";
    assert_eq!(fixture.failure(PackageKind::Wheel), expected);
    assert!(outside.join("keep").exists());
}

#[test]
fn metadata_and_sources_may_not_share_a_folder() {
    let fixture = BuilderFixture::new(
        BUILD_SYSTEM,
        &format!("{BACKEND}\ndef prepare_metadata_for_build_wheel(*a, **k):\n    return 'x'\n"),
    );
    for (folder, expected) in [
        ("project", "the project root and the metadata directory can't be the same ROOT/project"),
        ("", "the metadata directory can't contain the project root ROOT/project"),
    ] {
        let mut builder = fixture.builder(&[("a", PackageKind::Sdist)]);
        builder.spec_mut().build.meta_dir = fixture.root().join(folder).components().collect();
        let error = builder.build(request(PackageKind::Sdist, &[])).expect_err(folder);
        assert_eq!(format!("{error:#}").replace(&fixture.root().display().to_string(), "ROOT"), expected);
        assert!(fixture.root().join("project/backend.py").exists());
    }
}

#[test]
fn packages_that_were_built_elsewhere_say_what_they_require() {
    let fixture = BuilderFixture::new(BUILD_SYSTEM, BACKEND);
    let sdist = fixture.build(PackageKind::Sdist).unwrap().remove(0).path;
    let external = fixture.builder(&[("a", PackageKind::External)]);
    let unpack_in = fixture.root().join("work/.pkg/tmp/sdist-extract");
    let extras = ["x".to_owned()];
    let package = external.describe_sdist(&sdist, &unpack_in, &extras).unwrap();
    assert_eq!((&package.path, package.requirements), (&sdist, vec!["six".to_owned(), "A".to_owned()]));
    external.finish();
    assert!(sdist.exists());
    let wheel = fixture.build(PackageKind::Wheel).unwrap().remove(0).path;
    assert_eq!(describe_wheel(&wheel, &[]).unwrap().requirements, ["six"]);

    let empty = fixture.root().join("empty-1.0.tar.gz");
    write_source_archive(&empty, &[]);
    let again = fixture.builder(&[("a", PackageKind::External)]);
    let nothing = fixture.root().join("work/.pkg/tmp/nothing");
    let error = again.describe_sdist(&empty, &nothing, &[]).expect_err("an empty archive");
    assert_eq!(error.to_string(), format!("no files inside {}", empty.display()));
}
