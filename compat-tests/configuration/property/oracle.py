"""Answers what Python and tox make of a text: one question a line on standard input, one answer a line back, as JSON."""

import io
import json
import sys
import sysconfig
from configparser import ConfigParser
from configparser import Error as ConfigParserError


def ini(text):
    parser = ConfigParser(interpolation=None)
    try:
        # As from a file: tox reads it as text in UTF-8, a byte order mark left out.
        parser.read_string(io.StringIO(text.removeprefix("\ufeff"), newline=None).read(), "tox.ini")
    except ConfigParserError as error:
        return {"error": type(error).__name__, "message": str(error)}
    sections = [[name, list(map(list, values.items()))] for name, values in parser._sections.items()]
    return {"sections": sections, "defaults": list(map(list, parser._defaults.items()))}


def words(text):
    from tox.config.loader.str_convert import StrConvert

    try:
        command = StrConvert.to_command(text)
    except ValueError:
        return []
    return ["-"] * command.ignore_exit_code + ["!"] * command.invert_exit_code + command.args


def ranges(text):
    from tox.config.loader.ini.factor import expand_ranges

    return expand_ranges(text)


def environments(text):
    from tox.config.loader.ini.factor import extend_factors

    try:
        return list(extend_factors(text))
    except ValueError as error:
        return {"error": str(error)}


def conditions(question):
    from tox.config.loader.ini.factor import filter_for_env

    return filter_for_env(question["value"], question["name"])


def mentioned(text):
    from tox.config.loader.ini.factor import find_envs

    return list(find_envs(text))


def expressions(text):
    from tox.config.loader.replacer import find_replace_expr

    def plain(parts):
        return [part if isinstance(part, str) else [plain(argument) for argument in part.expr] for part in parts]

    return plain(find_replace_expr(text))


def main():
    sys.stdin.reconfigure(encoding="utf-8", newline="\n")
    machine = sysconfig.get_platform().rsplit("-", 1)[-1]
    print(json.dumps({"version": sys.version_info[:2], "platform": sys.platform, "machine": machine}), flush=True)
    answers = {
        answer.__name__: answer for answer in (ini, words, ranges, environments, conditions, mentioned, expressions)
    }
    for line in sys.stdin:
        (kind, question), = json.loads(line).items()
        print(json.dumps(answers[kind](question)), flush=True)


main()
