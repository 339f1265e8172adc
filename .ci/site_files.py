"""A hook of mkdocs: pages link to files of the repository outside of docs, such as ../fixtures/demo/tox.ini; the site gets copies."""

import re
from pathlib import Path

from mkdocs.structure.files import File

LINK = re.compile(r"\]\(\.\./([^)#\s]+)(#[^)]*)?\)")
ROOT = Path(__file__).resolve().parent.parent


def linked(path):
    """The files behind a link: the file, or of a folder a list of its files."""
    return path if (ROOT / path).is_file() else f"{path.rstrip('/')}/index.txt"


def on_files(files, config):
    for page in Path(config.docs_dir).glob("*.md"):
        for path, _ in LINK.findall(page.read_text()):
            source = ROOT / path
            name = f"source/{linked(path)}"
            if files.get_file_from_path(name):
                continue
            if source.is_file():
                files.append(File.generated(config, name, content=source.read_bytes()))
            else:
                names = sorted(str(one.relative_to(ROOT)) for one in source.rglob("*") if one.is_file() and ".tox" not in one.parts)
                files.append(File.generated(config, name, content="\n".join(names) + "\n"))
    return files


def on_page_markdown(markdown, page, config, files):
    return LINK.sub(lambda found: f"](source/{linked(found[1])})", markdown)
