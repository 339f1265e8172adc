#!/bin/sh
# Installs envo for the steps of a job: from the package index, or from the folder of a release if SETUP_URL names one.
# SETUP_CHECKSUM is the SHA-256 that the download must have.
set -eu

fail() {
    echo "::error title=setup-envo::$1"
    exit 1
}

folder=${RUNNER_TEMP:?}/setup-envo
here=$(cd "$(dirname "$0")" && pwd)
version=${SETUP_VERSION:-latest}
checksum=${SETUP_CHECKSUM:-}
rm -rf "$folder"
mkdir -p "$folder/bin"

# A virtual environment of its own, of which only the program gets into PATH: the job's Python stays the one it was.
from_index() {
    requirement=envo-run
    [ "$version" = latest ] || requirement="envo-run==$version"
    if [ -n "$checksum" ]; then
        [ "$version" != latest ] || fail "checksum needs a version: every version has other checksums"
        requirement="$requirement --hash=sha256:$checksum"
    fi
    echo "$requirement" >"$folder/requirements.txt"
    python3 -m venv "$folder/venv" || fail "envo is installed with pip: run actions/setup-python first, or give url"
    "$folder/venv/bin/python" -m pip install --quiet --no-deps --only-binary :all: -r "$folder/requirements.txt" ||
        fail "pip could not install $requirement"
    ln -s "$folder/venv/bin/envo" "$folder/bin/envo"
}

# The installer checks the archive against SHA256SUMS; with a checksum, only the archive that has it is left there.
from_release() {
    url=${SETUP_URL%/}
    if [ -n "$checksum" ]; then
        mkdir "$folder/release"
        curl -fsSL -o "$folder/SHA256SUMS" "$url/SHA256SUMS" || fail "could not download $url/SHA256SUMS"
        grep -i "^$checksum " "$folder/SHA256SUMS" >"$folder/release/SHA256SUMS" ||
            fail "no file of the release has the checksum $checksum"
        archive=$(sed 's/^[0-9a-fA-F]* [ *]//' "$folder/release/SHA256SUMS")
        curl -fsSL -o "$folder/release/$archive" "$url/$archive" || fail "could not download $url/$archive"
        url="file://$folder/release"
    fi
    ENVO_INSTALL_URL=$url ENVO_INSTALL_DIR="$folder/bin" sh "$here/../../../docs/install.sh" ||
        fail "envo was not installed from $SETUP_URL"
}

if [ -n "${SETUP_URL:-}" ]; then from_release; else from_index; fi
installed=$("$folder/bin/envo" --version | sed -n '1s/^envo \([^ ]*\) .*/\1/p')
[ -n "$installed" ] || fail "the installed program does not run"
[ "$version" = latest ] || [ "$installed" = "$version" ] || fail "installed envo $installed instead of $version"
echo "$folder/bin" >>"$GITHUB_PATH"
{
    echo "version=$installed"
    echo "path=$folder/bin/envo"
} >>"$GITHUB_OUTPUT"
[ "${SETUP_PROBLEMS:-true}" != true ] || echo "::add-matcher::$here/problems.json"
echo "installed envo $installed"
