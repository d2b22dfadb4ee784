"""Writes the generated parts of docs/*.md, and pictures of terminals, anew. usage: python -m docs.tools

They stand between two comments, such as `<!-- code: aikd.methods.losses:soften -->` and
`<!-- end of code: aikd.methods.losses:soften -->`: so that they can be read on GitHub, and a test compares them.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from docs.tools import commands, evidence, excerpts, ledger, reference, terminal

PAGES = Path(__file__).parents[1]
KINDS: dict[str, Callable[[str], str]] = {
    "code": excerpts.excerpt,
    "reference": reference.part,
    "commands": commands.part,
    "evidence": evidence.part,
    "ledger": ledger.part,
}
"""What a part is made by, given what follows the colon."""

PART = re.compile(r"<!-- (\w+): (\S+) -->\n.*?<!-- end of \1: \2 -->", re.DOTALL)


def filled(page: str) -> str:
    """The page with its generated parts as they should be."""

    def part(match: re.Match[str]) -> str:
        kind, what = match.groups()
        return f"<!-- {kind}: {what} -->\n\n{KINDS[kind](what).strip()}\n\n<!-- end of {kind}: {what} -->"

    return PART.sub(part, page)


def main() -> None:
    """Fill every page, draw every picture."""
    for path in sorted(PAGES.glob("*.md")):
        _write(path, filled(path.read_text(encoding="utf-8")))
    for path, drawn in terminal.pictures().items():
        _write(path, drawn)


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        print(f"docs: {path.name} is written anew", file=sys.stderr)


if __name__ == "__main__":
    main()
