//! Loads the text of a requirement file.

use std::ffi::OsString;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::bounded;
use crate::os_text;
use crate::requirements::encoding;

const MOST_BYTES: u64 = 10 * 1024 * 1024;

/// Whether a file's name begins with a scheme that tox treats as a URL.
pub(super) fn has_scheme(name: &str) -> bool {
    ["http:", "https:", "file:"].iter().any(|scheme| starts_with_scheme(name, scheme))
}

/// Whether the file has to be downloaded.
pub(super) fn is_remote(name: &str) -> bool {
    ["http:", "https:"].iter().any(|scheme| starts_with_scheme(name, scheme))
}

fn starts_with_scheme(name: &str, scheme: &str) -> bool {
    name.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// The URL of `name` inside the file at the URL `base`.
pub(super) fn url_join(base: &str, name: &str) -> String {
    if has_scheme(name) {
        return name.to_owned();
    }
    let root = base.find("//").map_or(0, |at| at + 2);
    let path = base[root..].find('/').map_or(base.len(), |at| root + at);
    if name.starts_with('/') {
        return format!("{}{name}", &base[..path]);
    }
    let folder = base.rfind('/').filter(|at| *at >= path).map_or(base.len(), |at| at + 1);
    format!("{}{name}", &base[..folder])
}

/// The identity of a file, regardless of links to it.
pub(super) fn identity(name: &str) -> OsString {
    let path = path_of(name).unwrap_or_else(|_| name.to_owned());
    let path = os_text::encode(&path);
    std::fs::canonicalize(&path).map_or_else(|_| path, PathBuf::into_os_string)
}

fn path_of(name: &str) -> Result<String, String> {
    if starts_with_scheme(name, "file:") { url_path(name) } else { Ok(name.to_owned()) }
}

/// Reads a file by its path or `file:` URL.
pub(super) fn read(name: &str) -> Result<String, String> {
    let path = path_of(name)?;
    let could_not = |error: std::io::Error| {
        let message = error.to_string();
        let reason = message.split(" (os error").next().unwrap_or_default();
        let number = error.raw_os_error().map_or_else(String::new, |number| format!("[Errno {number}] "));
        format!("Could not open requirements file {path}: {number}{reason}: {}", crate::python_text::python_repr(&path))
    };
    let bytes =
        bounded::read_up_to(os_text::encode(&path).as_ref(), MOST_BYTES).map_err(|error| match error.kind() {
            std::io::ErrorKind::FileTooLarge => format!("requirements file {path} exceeds the {MOST_BYTES} byte limit"),
            _ => could_not(error),
        })?;
    encoding::decode(bytes, &path)
}

fn url_path(url: &str) -> Result<String, String> {
    let rest = &url["file:".len()..];
    let (host, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    if !matches!(host, "" | "localhost") {
        let url = crate::python_text::python_repr(url);
        return Err(format!("non-local file URIs are not supported on this platform: {url}"));
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    Ok(percent_decode_str(path).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_url_are_relative_to_it() {
        for (name, expected) in
            [("b.txt", "https://h/x/b.txt"), ("/b.txt", "https://h/b.txt"), ("http://o/b.txt", "http://o/b.txt")]
        {
            assert_eq!(url_join("https://h/x/a.txt", name), expected);
        }
        assert_eq!(url_join("https://h", "/b"), "https://h/b");
    }

    #[test]
    fn file_urls_name_local_files_only() {
        assert_eq!(url_path("file:///a%20b/c%"), Ok("/a b/c%".to_owned()));
        assert_eq!(url_path("FILE://localhost/a"), Ok("/a".to_owned()));
        let message = "non-local file URIs are not supported on this platform: 'file://magic.com/a'";
        assert_eq!(url_path("file://magic.com/a"), Err(message.to_owned()));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_never_ends_is_refused() {
        let message = "requirements file /dev/zero exceeds the 10485760 byte limit";
        assert_eq!(read("/dev/zero"), Err(message.to_owned()));
    }

    #[test]
    fn a_missing_file_is_named_in_the_words_of_python() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("one.txt").display().to_string();
        let message = format!("Could not open requirements file {path}: [Errno 2] No such file or directory: '{path}'");
        assert_eq!(read(&path), Err(message));
        Ok(())
    }
}
