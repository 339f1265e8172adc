"""Validates configurations with a JSON schema: validate.py SCHEMA FILE ...

A TOML file is validated as it is (of pyproject.toml, `[tool.tox]`). Of an INI file, the keys and values of the sections that tox
reads are validated in the form in which the schema accepts them, so that unknown keys and values that no form fits are errors.
Prints one line for each error.
"""

import configparser
import json
import shlex
import sys
from pathlib import Path

import tomli
from jsonschema import Draft7Validator


def forms(schema, root):
    """The alternatives of a property's schema."""
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].lstrip("#/").split("/"):
            target = target[part]
        return forms(target, root)
    several = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    return [form for one in several for form in forms(one, root)] if several else [schema]


def value_of(text, schema, root):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for form in forms(schema, root):
        kind = form.get("type")
        if kind == "string":
            return text
        if kind == "boolean" and text.lower() in ("true", "false", "1", "0"):
            return text.lower() in ("true", "1")
        if kind in ("integer", "number"):
            return float(text) if "." in text else int(text)
        if kind == "object":
            inner = form.get("additionalProperties")
            inner = inner if isinstance(inner, dict) else {"type": "string"}
            pairs = (line.partition("=") for line in lines)
            return {name.strip(): value_of(value.strip(), inner, root) for name, _, value in pairs}
        if kind == "array" and any(inner.get("type") == "array" for inner in forms(form.get("items", {}), root)):
            return [shlex.split(line, posix=False) for line in lines]
        if kind == "array":
            return lines
    return text


def from_ini(path, schema):
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(path.read_text())
    result = {"env": {}}
    environment = schema["definitions"]["environment"]["properties"]
    for section in parser.sections():
        if section == "tox":
            target, keys = result, schema["properties"]
        elif section == "testenv":
            target, keys = result.setdefault("env_run_base", {}), environment
        elif section.startswith("testenv:"):
            target, keys = result["env"].setdefault(section.partition(":")[2], {}), environment
        else:
            continue
        for key, text in parser[section].items():
            target[key] = value_of(text, keys.get(key, {"type": "string"}), schema)
    return result


schema = json.loads(Path(sys.argv[1]).read_text())
Draft7Validator.check_schema(schema)
validator = Draft7Validator(schema)
for name in sys.argv[2:]:
    path = Path(name)
    if path.suffix == ".toml":
        document = tomli.loads(path.read_text())
        if path.name == "pyproject.toml":
            document = document.get("tool", {}).get("tox", {})
    else:
        document = from_ini(path, schema)
    for error in validator.iter_errors(document):
        print(f"{name}: {'.'.join(map(str, error.absolute_path))}: {error.message[:200]}")
