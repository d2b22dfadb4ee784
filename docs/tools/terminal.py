"""Pictures of what commands print, drawn from the blocks in which the pages show it."""

import re
from html import escape
from pathlib import Path

PAGES = Path(__file__).parents[1]
DRAWN = {
    "images/status.svg": (
        "status.md",
        "study demo, ",
        "aikd status table_5 table_7 --study workflow/studies/demo.yaml",
    )
}
"""Picture → the page, how the block in it begins, and the command that printed it."""
BLANK = "\xa0"
"""A blank that is not merged with the next one."""
WIDTH, HEIGHT, EDGE = 7.83, 18, 16
"""Pixels: a letter, a line, what is left free around the text."""
COLOURS = {
    "failed": "#ff8f6b", "interrupted": "#ffc857", "stalled?": "#ffc857", "running": "#6fd3a7", "state": "#8fa3b0",
    "target": "#8fa3b0", "$": "#7ab8ff",
}  # fmt: skip
"""Of lines, by their first word."""


def pictures() -> dict[Path, str]:
    """Every picture as it should be: where it belongs, and its SVG.

    Raises:
        LookupError: a page no longer has the block.
    """
    return {
        PAGES / name: drawn(_block(page, begin), command) for name, (page, begin, command) in DRAWN.items()
    }


def _block(page: str, begin: str) -> str:
    text = (PAGES / page).read_text(encoding="utf-8")
    for block in re.findall(r"^```\w*\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL):
        if block.startswith(begin):
            return str(block)
    raise LookupError(f"{page}: has no block that begins with {begin!r}")


def drawn(text: str, command: str) -> str:
    """Lines of text below the command that printed them, on a dark ground, as SVG."""
    lines = [f"$ {command}", *text.splitlines()]
    width = round(2 * EDGE + WIDTH * max(map(len, lines)))
    height = 2 * EDGE + HEIGHT * len(lines)
    rows = [
        f'<text x="{EDGE}" y="{EDGE + HEIGHT * i + 13}" textLength="{WIDTH * len(line):.1f}" fill="{_colour(line)}">'
        f"{escape(line).replace(' ', BLANK)}</text>"
        for i, line in enumerate(lines)
        if line
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="13">',
            f'<rect width="{width}" height="{height}" rx="8" fill="#16202a"/>',
            *rows,
            "</svg>\n",
        ]
    )


def _colour(line: str) -> str:
    return COLOURS.get(line.split(" ", 1)[0], "#d7e0e6")
