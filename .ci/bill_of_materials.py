"""Prints the bill of materials of the program in CycloneDX's JSON format: the crates that it is compiled from, with their
licences, checksums and dependencies, for the targets that are given. The same commit gives the same text.

https://cyclonedx.org/docs/1.5/json/
"""

import datetime
import json
import os
import re
import subprocess
import sys
import uuid


def metadata(targets):
    filters = [word for target in targets for word in ("--filter-platform", target)]
    command = ["cargo", "metadata", "--locked", "--format-version", "1", *filters]
    return json.loads(subprocess.check_output(command))


def compiled(resolve):
    """The packages that end up in the program, or compile what does, with those each of them needs: not those of tests."""
    nodes = {node["id"]: node for node in resolve["nodes"]}
    found, waiting = {}, [resolve["root"]]
    while waiting:
        package = waiting.pop()
        if package not in found:
            needed = nodes[package]["deps"]
            found[package] = [one["pkg"] for one in needed if any(kind["kind"] != "dev" for kind in one["dep_kinds"])]
            waiting += found[package]
    return found


def checksums():
    with open("Cargo.lock", encoding="utf-8") as file:
        entries = file.read().split("[[package]]")[1:]
    fields = [dict(re.findall(r'^(name|version|checksum) = "(.*)"$', entry, re.MULTILINE)) for entry in entries]
    return {(entry["name"], entry["version"]): entry.get("checksum") for entry in fields}


def component(package, checksum):
    purl = f"pkg:cargo/{package['name']}@{package['version']}"
    result = {"type": "library", "bom-ref": purl, "name": package["name"], "version": package["version"], "purl": purl}
    if package["license"]:
        # Old crates write `MIT/Apache-2.0`, which means `or`.
        result["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum:
        result["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        result["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return result


def main(targets):
    project = metadata(targets)
    packages = {package["id"]: package for package in project["packages"]}
    sums = checksums()
    needs = compiled(project["resolve"])
    components = {
        name: component(packages[name], sums[packages[name]["name"], packages[name]["version"]]) for name in needs
    }
    reference = {name: one["bom-ref"] for name, one in components.items()}
    own = components.pop(project["resolve"]["root"])
    own["type"] = "application"
    time = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    result = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": own},
        "components": sorted(components.values(), key=lambda one: one["bom-ref"]),
        "dependencies": sorted(
            ({"ref": reference[name], "dependsOn": sorted({reference[one] for one in needed})} for name, needed in needs.items()),
            key=lambda one: one["ref"],
        ),
    }
    result["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(result, sort_keys=True)).urn
    print(json.dumps(result, indent=2, sort_keys=True))


main(sys.argv[1:])
