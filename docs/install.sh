#!/bin/sh
# Installs envo: downloads the archive for this machine, checks its SHA-256 and puts the program into ~/.local/bin.
#
#   ENVO_INSTALL_URL   the folder with SHA256SUMS and the archives (https://… or file://…)
#   ENVO_INSTALL_DIR   the folder for the program, instead of ~/.local/bin
#
# Needs a POSIX shell, curl or wget, tar, gzip, and sha256sum, shasum or openssl. Everything is in functions, so that a
# shell that reads only half of this script from a pipe does nothing.
set -eu

# `.ci/release` writes the address of the release here, into the copy that is published.
release_url=""

fail() {
    echo "error: $1" >&2
    echo "help: $2" >&2
    exit 1
}

clean_up() {
    [ -z "$downloads" ] || rm -rf "$downloads"
    [ -z "$unfinished" ] || rm -f "$unfinished"
}

has() {
    command -v "$1" >/dev/null 2>&1
}

other_ways="\`pip install envo-run\` or \`cargo install envo\` compile it there"

# The target triple of this machine's archive.
platform() {
    system=$(uname -s)
    machine=$(uname -m)
    # A shell under Rosetta reports the emulated processor.
    if [ "$system" = Darwin ] && [ "$(sysctl -n sysctl.proc_translated 2>/dev/null || true)" = 1 ]; then
        machine=arm64
    fi
    case "$system $machine" in
        "Linux x86_64" | "Linux amd64") echo x86_64-unknown-linux-musl ;;
        "Linux aarch64" | "Linux arm64") echo aarch64-unknown-linux-musl ;;
        "Darwin x86_64") echo x86_64-apple-darwin ;;
        "Darwin arm64") echo aarch64-apple-darwin ;;
        *) fail "there is no binary of envo for $system on $machine" "$other_ways" ;;
    esac
}

# Downloads $1 to the file $2. A redirect must not lead from https to http.
download() {
    if has curl; then
        case "$1" in
            https://*) curl --proto =https --tlsv1.2 -fsSL --retry 2 -o "$2" "$1" ;;
            *) curl -fsSL --retry 2 -o "$2" "$1" ;;
        esac
    elif has wget; then
        # It has no option for this: what came over http is refused before it is looked at.
        answers=$(wget -S -O "$2" "$1" 2>&1) &&
            case "$1" in
                https://*) ! printf '%s\n' "$answers" | grep -qi '^ *location: *http:' ;;
            esac
    else
        fail "neither curl nor wget is installed" "install one of them, then try again"
    fi || fail "could not download \`$1\`" "check the connection and the address, then try again; nothing was installed"
}

sha256() {
    for tool in sha256sum "shasum -a 256" "openssl dgst -sha256 -r"; do
        if has "${tool%% *}"; then
            $tool "$1" | cut -d ' ' -f 1
            return
        fi
    done
    fail "the download cannot be checked: there is no sha256sum, shasum or openssl" \
        "install one of them, then try again; nothing was installed"
}

# Downloads the archive for the target $1, checks it and unpacks it; prints the path of the program.
fetch() {
    download "$url/SHA256SUMS" "$downloads/SHA256SUMS"
    line=$(grep -E "^[0-9a-f]{64} [ *]envo-[0-9][^ /]*-$1\\.tar\\.gz\$" "$downloads/SHA256SUMS") || line=""
    [ "$(printf '%s\n' "$line" | grep -c .)" = 1 ] ||
        fail "\`$url/SHA256SUMS\` does not list one archive for $1" "check the address; otherwise $other_ways"
    expected=${line%% *}
    archive=${line##*[ *]}
    download "$url/$archive" "$downloads/$archive"
    found=$(sha256 "$downloads/$archive")
    if [ "$found" != "$expected" ]; then
        echo "error: the checksum of \`$archive\` is wrong: expected $expected, got ${found:-nothing}" >&2
        fail "the download is damaged or was changed" \
            "try again, and do not use the file if the error stays; nothing was installed"
    fi
    tar -xzf "$downloads/$archive" -C "$downloads" ||
        fail "could not unpack \`$archive\`" "make room in \`$downloads\`, or set TMPDIR; nothing was installed"
    echo "$downloads/${archive%.tar.gz}/envo"
}

# Puts the program $1 into $folder: first under another name, so that there is a whole program or none.
install_program() {
    program=$folder/envo
    elsewhere="set ENVO_INSTALL_DIR to a folder of your own, then try again; nothing was installed"
    mkdir -p "$folder" 2>/dev/null || fail "could not create the folder \`$folder\`" "$elsewhere"
    [ ! -d "$program" ] || fail "\`$program\` is a folder" "$elsewhere"
    # A script is a command of another package: PyPI has one that is called envo as well.
    [ "$(head -c 2 "$program" 2>/dev/null | tr -d '\0')" != "#!" ] ||
        fail "\`$program\` belongs to another program" "remove it, or $elsewhere"
    unfinished=$folder/.envo-unfinished-$$
    { cp "$1" "$unfinished" && chmod 755 "$unfinished"; } 2>/dev/null ||
        fail "could not write to the folder \`$folder\`" "$elsewhere"
    version=$("$unfinished" --version 2>&1 </dev/null) ||
        fail "the program does not run on this machine: ${version:-no output}" "$other_ways; nothing was installed"
    mv -f "$unfinished" "$program" || fail "could not write \`$program\`" "$elsewhere"
    unfinished=""
}

main() {
    downloads=""
    unfinished=""
    trap clean_up EXIT
    trap 'exit 130' HUP INT TERM
    url=${ENVO_INSTALL_URL:-$release_url}
    url=${url%/}
    [ -n "$url" ] || fail "this copy of the script names no address to download from" "set ENVO_INSTALL_URL"
    folder=${ENVO_INSTALL_DIR:-${HOME:+$HOME/.local/bin}}
    [ -n "$folder" ] || fail "HOME is not set" "set it, or set ENVO_INSTALL_DIR"
    target=$(platform)
    downloads=$(mktemp -d) || fail "there is no folder for temporary files" "set TMPDIR to one, then try again"
    new_program=$(fetch "$target")
    install_program "$new_program"
    echo "installed $program (${version%% from*})"
    case ":$PATH:" in
        *":$folder:"*)
            first=$(command -v envo) || first=$program
            [ "$first" = "$program" ] || echo "note: the command \`envo\` is still \`$first\`, which is earlier in PATH"
            ;;
        *) echo "add it to PATH in the start-up file of your shell:  export PATH=\"$folder:\$PATH\"" ;;
    esac
    echo "to undo this:  rm '$program'"
}

main
