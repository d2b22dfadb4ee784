"""Figures as the page holds them."""

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

COLOURS = 128
"""Of a palette: figures have few, and so take a third of the room."""


@dataclass(frozen=True)
class Picture:
    """A figure, or its place where it is not drawn yet."""

    name: str
    title: str
    caption: str
    source: str | None
    """A data URL; None where there is no such file."""
    width: int = 0
    height: int = 0
    link: str = ""
    """Its files as seen from the page, but for `.png` and `.pdf`."""


def picture(results: Path, name: str, title: str, caption: str) -> Picture:
    """The figure `figures/<name>.png`, embedded; deterministic."""
    path = results / "figures" / f"{name}.png"
    if not path.exists():
        return Picture(name, title, caption, None)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        buffer = BytesIO()
        small.save(buffer, "PNG", optimize=True)
        width, height = image.size
    source = "data:image/png;base64," + b64encode(buffer.getvalue()).decode()
    return Picture(name, title, caption, source, width, height, f"figures/{name}")
