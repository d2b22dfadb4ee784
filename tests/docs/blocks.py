"""What the pages show: blocks of code with the place where they stand, and commands within sentences."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "results/README.md", *sorted((ROOT / "docs").glob("*.md"))]

LANGUAGES = {"sh", "console", "yaml", "python", "text", "math", "json", ""}
"""`sh` is a script, `console` are commands after `$ ` with what they print, `text` and none are no commands at all."""

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\s`]*)(?P<rest>[^`]*)$")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    place: str
    """Page and line, as an editor opens it."""
    language: str
    text: str

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Of a `console` block: each command, and what it is shown to print."""
        assert self.text.startswith("$ "), f"{self.place}: a console block begins with `$ `"
        parts = [part.partition("\n") for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]]
        return [(command, output) for command, _, output in parts]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, from top to bottom."""
    opened: re.Match[str] | None = None
    start, lines = 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if opened is None and fence:
            opened, start, lines = fence, number, []
        elif opened is not None and line.strip() == "```":
            text = "".join(f"{line}\n" for line in lines)
            yield Block(f"{page.relative_to(ROOT)}:{start}", opened["language"], text)
            opened = None
        elif opened is not None:
            lines.append(line.removeprefix(opened["indent"]))
    assert opened is None, f"{page}:{start}: a block that is not closed"


def files(page: Path) -> dict[str, str]:
    """Blocks that the page shows as files, with `title="NAME"` after the language: name and content."""
    text = page.read_text(encoding="utf-8")
    return dict(re.findall(r'^```\w+ title="(.+?)"\n(.+?)^```$', text, re.DOTALL | re.MULTILINE))


def inline(page: Path) -> Iterator[tuple[str, str]]:
    """The code within a page's sentences, with its place; line breaks are spaces there."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(
        r"^ *```.*?^ *```$", lambda m: "\n" * m[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL
    )
    for code in re.finditer(r"`([^`]+)`", text):
        line = text.count("\n", 0, code.start()) + 1
        yield f"{page.relative_to(ROOT)}:{line}", " ".join(code[1].split())
