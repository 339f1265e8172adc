//! Tests `docs/install.sh` with releases on a local web server: what it installs, and that it refuses everything else
//! without leaving anything behind.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::project::Outcome;
use crate::support::web::Web;

/// What the script calls, apart from what downloads and what computes checksums.
const TOOLS: [&str; 14] =
    ["sh", "uname", "grep", "mktemp", "tar", "gzip", "cut", "tr", "head", "mkdir", "cp", "chmod", "mv", "rm"];

/// A program that is quicker to pack than envo.
const SMALL: &str = "#!/bin/sh\necho envo 1.2.3 from $0\n";

/// A release on a web server, and an empty home to install it into.
struct Release {
    folder: TempDir,
    web: Web,
    path: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Release {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("envo-test-").tempdir().expect("a folder can be made");
        for name in ["home", "tmp", "bin"] {
            fs::create_dir(folder.path().join(name)).expect("a folder can be made");
        }
        let web = Web::new(folder.path().join("web"), "pass", None);
        let path = folder.path().join("bin");
        let release = Self { folder, web, path, variables: Vec::new() };
        TOOLS.into_iter().chain(["curl", "sha256sum"]).for_each(|tool| release.link(tool));
        release
    }

    /// With an archive whose program is `program`.
    fn with(self, target: &str, program: &[u8]) -> Self {
        let name = format!("envo-1.2.3-{target}");
        let packed = self.folder.path().join("packed").join(&name);
        fs::create_dir_all(&packed).expect("a folder can be made");
        fs::write(packed.join("envo"), program).expect("a file can be written");
        let archive = self.web.folder.join(format!("{name}.tar.gz"));
        let mut tar = Command::new("tar");
        tar.args(["--use-compress-program", "gzip -1", "-cf"])
            .arg(&archive)
            .arg("-C")
            .arg(self.folder.path().join("packed"));
        assert!(tar.arg(name).status().expect("tar starts").success());
        self.sum();
        self
    }

    /// Writes the checksums of all archives.
    fn sum(&self) {
        let mut command = Command::new("sh");
        command.args(["-c", "sha256sum *.gz >SHA256SUMS"]).current_dir(&self.web.folder);
        assert!(command.status().expect("sh starts").success());
    }

    /// Makes a program of this machine visible to the script.
    fn link(&self, tool: &str) {
        let found = ["/usr/local/bin", "/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
        let found = found.into_iter().find(|path| path.exists()).unwrap_or_else(|| panic!("this test needs `{tool}`"));
        symlink(found, self.path.join(tool)).expect("a link can be made");
    }

    /// Replaces a program that the script calls by a shell script, or removes it.
    fn replace(&self, tool: &str, script: Option<&str>) -> &Self {
        let path = self.path.join(tool);
        let _ = fs::remove_file(&path);
        if let Some(script) = script {
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file can be written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is this test's own");
        }
        self
    }

    fn variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn program(&self) -> PathBuf {
        self.home().join(".local/bin/envo")
    }

    fn archive(&self) -> PathBuf {
        self.web.folder.join(format!("envo-1.2.3-{}.tar.gz", target()))
    }

    fn install(&self) -> Outcome {
        self.run(&script())
    }

    /// Runs a script as `curl … | sh` does.
    fn run(&self, script: &str) -> Outcome {
        let mut command = Command::new(self.path.join("sh"));
        command
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", self.home())
            .env("TMPDIR", self.folder.path().join("tmp"));
        command.env("ENVO_INSTALL_URL", format!("http://{}/", self.web.address));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell can be started");
        // A shell that has ended does not read the rest.
        let _ = child.stdin.take().expect("it is piped").write_all(script.as_bytes());
        let output = child.wait_with_output().expect("its output can be read");
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The script must refuse with these words, name what to do, and leave nothing behind.
    #[track_caller]
    fn refuses(&self, words: &str) {
        let outcome = self.install().ends_with(1);
        assert_eq!(outcome.stdout, "");
        assert!(outcome.stderr.contains(words), "no `{words}` in:\n{}", outcome.stderr);
        assert!(outcome.stderr.contains("\nhelp: "), "{}", outcome.stderr);
        self.is_untouched();
    }

    #[track_caller]
    fn is_untouched(&self) {
        let mut left = Vec::new();
        let mut open = vec![self.home(), self.folder.path().join("tmp")];
        while let Some(folder) = open.pop() {
            for entry in folder.read_dir().expect("it is a folder").flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => open.push(entry.path()),
                    _ => left.push(entry.path()),
                }
            }
        }
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(fs::read_dir(self.folder.path().join("tmp")).expect("it is a folder").count(), 0);
    }
}

fn script() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/install.sh")).expect("it is there")
}

/// The archive for the machine that runs the tests.
fn target() -> String {
    let system = if cfg!(target_os = "macos") { "apple-darwin" } else { "unknown-linux-musl" };
    format!("{}-{system}", std::env::consts::ARCH)
}

#[test]
fn the_program_is_installed_and_removed_as_the_script_says() {
    let program = fs::read(env!("CARGO_BIN_EXE_envo")).expect("it can be read");
    let release = Release::new().with(&target(), &program).with("aarch64-other", b"");
    let outcome = release.install();
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    let installed = release.program();
    let folder = installed.parent().expect("it lies in a folder").display();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        outcome.stdout,
        format!(
            "installed {0} (envo {version})\n\
             add it to PATH in the start-up file of your shell:  export PATH=\"{folder}:$PATH\"\n\
             to undo this:  rm '{0}'\n",
            installed.display()
        )
    );
    let printed = Command::new(&installed).arg("--version").output().expect("it starts");
    assert!(String::from_utf8_lossy(&printed.stdout).starts_with(&format!("envo {version}")), "{printed:?}");
    let undo =
        outcome.stdout.lines().last().and_then(|line| line.strip_prefix("to undo this:  ")).expect("it is shown");
    release.run(undo).ends_with(0);
    release.is_untouched();
}

#[test]
fn a_published_script_knows_its_address() {
    let release = Release::new().with(&target(), SMALL.as_bytes()).variable("ENVO_INSTALL_URL", "");
    // As `.ci/release` does it.
    let published =
        script().replace("\nrelease_url=\"\"\n", &format!("\nrelease_url=\"http://{}\"\n", release.web.address));
    release.run(&published).ends_with(0);
    assert!(release.program().exists());
}

#[test]
fn an_older_program_is_replaced_only_by_one_that_runs() {
    let release = Release::new().with(&target(), SMALL.as_bytes());
    fs::create_dir_all(release.program().parent().expect("it has one")).expect("a folder can be made");
    fs::write(release.program(), "\u{7f}ELF of yesterday").expect("a file can be written");
    let unfit = Release::new().with(&target(), b"#!/bin/sh\necho no such instruction >&2; exit 3\n");
    let outcome = unfit.variable("HOME", release.home().display().to_string()).install().ends_with(1);
    assert!(outcome.stderr.contains("does not run on this machine: no such instruction"), "{}", outcome.stderr);
    assert_eq!(fs::read(release.program()).expect("it is there"), b"\x7fELF of yesterday");
    release.install().ends_with(0);
    assert_eq!(fs::read(release.program()).expect("it is there"), SMALL.as_bytes());
    assert_eq!(release.program().parent().expect("it has one").read_dir().expect("it is a folder").count(), 1);
}

#[test]
fn another_command_of_the_name_is_neither_overwritten_nor_kept_silent() {
    let release = Release::new().with(&target(), SMALL.as_bytes());
    release.replace("envo", Some("echo another"));
    let folder = release.path.display().to_string();
    let release = release.variable("ENVO_INSTALL_DIR", folder.clone());
    release.refuses(&format!("error: `{folder}/envo` belongs to another program\n"));
    let elsewhere = release.home().join("own");
    let path = format!("{folder}:{}", elsewhere.display());
    let release = release.variable("ENVO_INSTALL_DIR", elsewhere.display().to_string()).variable("PATH", path);
    let outcome = release.install();
    let note = format!("note: the command `envo` is still `{folder}/envo`, which is earlier in PATH\n");
    assert!(outcome.stdout.contains(&note), "{}{}", outcome.stdout, outcome.stderr);
}

#[test]
fn damaged_downloads_are_refused() {
    let release = Release::new().with(&target(), SMALL.as_bytes());
    let whole = fs::read(release.archive()).expect("it is there");
    fs::write(release.archive(), &whole[..whole.len() / 2]).expect("a file can be written");
    release.refuses("is wrong: expected ");
    let mut changed = whole.clone();
    changed[20] ^= 1;
    fs::write(release.archive(), &changed).expect("a file can be written");
    release.refuses("the download is damaged or was changed");
    fs::write(release.archive(), "").expect("a file can be written");
    release.refuses("is wrong: expected ");
    fs::remove_file(release.archive()).expect("it is there");
    release.refuses("could not download `http://");
}

#[test]
fn releases_that_are_wrong_themselves_are_refused() {
    let release = Release::new().with(&target(), SMALL.as_bytes());
    for content in [&b"not an archive"[..], &fs::read(release.archive()).expect("it is there")[..60]] {
        fs::write(release.archive(), content).expect("a file can be written");
        release.sum();
        release.refuses("could not unpack `envo-1.2.3-");
    }
    Release::new().with(&target(), b"\x7fELF of another machine").refuses("does not run on this machine");
    let sums = release.web.folder.join("SHA256SUMS");
    let twice = fs::read_to_string(&sums).expect("it is there").repeat(2);
    let sum = "0".repeat(64);
    for content in [
        "",
        "<html>sign in</html>\n",
        &twice,
        &twice[..70],
        &format!("{sum}  ../envo-1.2.3-{}.tar.gz\n", target()),
        &format!("{sum}  envo-1.2.3-{}.tar.gz.old\n", target()),
    ] {
        fs::write(&sums, content).expect("a file can be written");
        release.refuses("does not list one archive for");
    }
    fs::remove_file(sums).expect("it is there");
    release.refuses("/SHA256SUMS`\n");
}

#[test]
fn a_connection_that_breaks_is_refused() {
    let release = Release::new().with(&target(), SMALL.as_bytes());
    let door = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = door.local_addr().expect("it is bound");
    let sums = fs::read_to_string(release.web.folder.join("SHA256SUMS")).expect("it is there");
    std::thread::spawn(move || {
        for mut visitor in door.incoming().flatten() {
            let mut request = String::new();
            let _ = BufReader::new(&visitor).read_line(&mut request);
            let (length, body) = if request.contains("SHA256SUMS") { (sums.len(), &sums[..]) } else { (9000, "half") };
            let _ = write!(visitor, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        }
    });
    release.variable("ENVO_INSTALL_URL", format!("http://{address}")).refuses("could not download");
}

#[test]
fn each_supported_platform_gets_its_archive_and_others_are_refused() {
    let darwin = |machine, translated| {
        let release = Release::new();
        release.replace("sysctl", Some(&format!("echo {translated}")));
        (release, "Darwin", machine)
    };
    for ((release, system, machine), target) in [
        ((Release::new(), "Linux", "x86_64"), "x86_64-unknown-linux-musl"),
        ((Release::new(), "Linux", "aarch64"), "aarch64-unknown-linux-musl"),
        ((Release::new(), "Linux", "arm64"), "aarch64-unknown-linux-musl"),
        (darwin("x86_64", 0), "x86_64-apple-darwin"),
        (darwin("x86_64", 1), "aarch64-apple-darwin"),
        (darwin("arm64", 0), "aarch64-apple-darwin"),
    ] {
        let release = release.with(target, SMALL.as_bytes()).with("x86_64-other", b"");
        release.replace("uname", Some(&format!("[ $1 = -s ] && echo {system} || echo {machine}")));
        let outcome = release.install();
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{system} {machine}");
    }
    for (system, machine) in
        [("FreeBSD", "amd64"), ("Linux", "riscv64"), ("Linux", "armv7l"), ("MINGW64_NT-10.0", "x86_64")]
    {
        let release = Release::new().with(&target(), SMALL.as_bytes());
        release.replace("uname", Some(&format!("[ $1 = -s ] && echo {system} || echo {machine}")));
        release.refuses(&format!(
            "error: there is no binary of envo for {system} on {machine}\nhelp: `pip install envo-run`"
        ));
    }
}

#[test]
fn folders_that_cannot_be_written_are_refused() {
    let release = Release::new().with(&target(), SMALL.as_bytes());
    let file = release.folder.path().join("file");
    fs::write(&file, "").expect("a file can be written");
    let below = file.join("bin").display().to_string();
    let release = release.variable("ENVO_INSTALL_DIR", below.clone());
    release.refuses(&format!("error: could not create the folder `{below}`\nhelp: set ENVO_INSTALL_DIR"));
    if cfg!(target_os = "linux") {
        // Here not even root may create a file.
        let release = release.variable("ENVO_INSTALL_DIR", "/proc");
        release.refuses("error: could not write to the folder `/proc`\nhelp: set ENVO_INSTALL_DIR");
    }
    let taken = tempfile::tempdir().expect("a folder can be made");
    fs::create_dir(taken.path().join("envo")).expect("a folder can be made");
    let release = Release::new().with(&target(), SMALL.as_bytes());
    release.variable("ENVO_INSTALL_DIR", taken.path().display().to_string()).refuses("/envo` is a folder\n");
    let release = Release::new().with(&target(), SMALL.as_bytes());
    release.variable("HOME", "").refuses("error: HOME is not set\n");
    let release = Release::new().with(&target(), SMALL.as_bytes());
    release.variable("ENVO_INSTALL_URL", "").refuses("names no address to download from");
}

#[test]
fn missing_tools_are_replaced_by_others_or_named() {
    let release = Release::new().with(&target(), SMALL.as_bytes());
    release.replace("curl", None).refuses("error: neither curl nor wget is installed\n");
    release.link("wget");
    release.replace("sha256sum", None).refuses("there is no sha256sum, shasum or openssl\n");
    release.replace("openssl", Some("exec /usr/bin/sha256sum \"$4\""));
    release.install().ends_with(0);
}

#[test]
fn wget_may_not_be_led_from_https_to_http() {
    for (scheme, is_refused) in [("https", false), ("http", true)] {
        let release =
            Release::new().with(&target(), SMALL.as_bytes()).variable("ENVO_INSTALL_URL", "https://here.invalid");
        let served = release.web.folder.display();
        let wget = format!("echo '  location: {scheme}://there.invalid/' >&2\nexec cp \"{served}/${{4##*/}}\" \"$3\"");
        release.replace("curl", None).replace("wget", Some(&wget));
        if is_refused {
            release.refuses("error: could not download `https://here.invalid/SHA256SUMS`\n");
        } else {
            release.install().ends_with(0);
        }
    }
}

#[test]
fn a_script_of_which_a_part_is_missing_does_nothing() {
    let release = Release::new().with(&target(), SMALL.as_bytes());
    let whole = script();
    for (end, _) in whole.match_indices('\n').filter(|(end, _)| end + 1 < whole.len()) {
        release.run(&whole[..end]);
        release.is_untouched();
    }
}
