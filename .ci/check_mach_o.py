"""Checks a program for macOS that cannot run here: its processor, the oldest system, the libraries that it needs, and that its
ad-hoc signature has the hashes of its pages. Without a valid one, macOS on Apple's processors ends it at once.

https://github.com/apple-oss-distributions/xnu/blob/main/osfmk/kern/cs_blobs.h
"""

import hashlib
import struct
import sys

PROCESSORS = {"x86_64": 0x01000007, "aarch64": 0x0100000C}
OLDEST_MACOS = {"x86_64": (10, 13), "aarch64": (11, 0)}
LOAD_LIBRARY, BUILD_VERSION, OLDEST_VERSION, SIGNATURE = 0xC, 0x32, 0x24, 0x1D


def commands(data):
    count = struct.unpack_from("<I", data, 16)[0]
    offset = 32
    for _ in range(count):
        kind, size = struct.unpack_from("<II", data, offset)
        yield kind & 0x7FFFFFFF, data[offset : offset + size]
        offset += size


def check_signature(data, offset):
    magic, _, count = struct.unpack_from(">III", data, offset)
    assert magic == 0xFADE0CC0, "there is no signature"
    blobs = [struct.unpack_from(">II", data, offset + 12 + 8 * at) for at in range(count)]
    directory = offset + next(start for kind, start in blobs if kind == 0)
    fields = struct.unpack_from(">IIIIIIIIIBBBB", data, directory)
    magic, _, _, flags, hashes, _, _, pages, limit, size, kind, _, page = fields
    assert magic == 0xFADE0C02 and flags & 2, "it is not signed ad hoc"
    assert (size, kind) == (32, 2), "the hashes are not SHA-256"
    length = 1 << page
    for number in range(pages):
        expected = data[directory + hashes + size * number :][:size]
        found = hashlib.sha256(data[number * length : min((number + 1) * length, limit)]).digest()
        assert expected == found, f"the hash of page {number} is wrong"
    assert limit == offset, "a part of the program is not signed"


def main(path, processor):
    with open(path, "rb") as file:
        data = file.read()
    assert struct.unpack_from("<II", data) == (0xFEEDFACF, PROCESSORS[processor]), "it is not for this processor"
    signed = False
    for kind, command in commands(data):
        if kind == LOAD_LIBRARY:
            library = command[struct.unpack_from("<I", command, 8)[0] :].split(b"\0")[0].decode()
            assert library.startswith(("/usr/lib/", "/System/")), f"it needs {library}"
            print(f"  needs {library}")
        elif kind in (BUILD_VERSION, OLDEST_VERSION):
            version = struct.unpack_from("<I", command, 12 if kind == BUILD_VERSION else 8)[0]
            version = version >> 16, version >> 8 & 255
            assert version <= OLDEST_MACOS[processor], f"it needs macOS {version}"
            print(f"  runs on macOS {version[0]}.{version[1]} and later")
        elif kind == SIGNATURE:
            check_signature(data, struct.unpack_from("<I", command, 8)[0])
            signed = True
    assert signed or processor == "x86_64", "it is not signed"
    print(f"  {'signed ad hoc' if signed else 'not signed'}")


main(*sys.argv[1:])
