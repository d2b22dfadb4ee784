"""A hook of MkDocs: equations become MathML when the site is built, so that pages need no script and no network.

They are written as LaTeX, in fences called `math` or in a line as $`x`$, which GitHub shows as equations, too.
"""

import html
import re
from typing import Any

from latex2mathml.converter import convert


def equation(source: str, *_: Any, **__: Any) -> str:
    """HTML of the equation in a fence."""
    return f'<div class="math">{convert(" ".join(source.split()), display="block")}</div>'


def on_config(config: Any) -> Any:
    """Tell the fences' extension about `math`. A module in a hook has no name that mkdocs.yml could give."""
    fences = config["mdx_configs"].setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "math", "class": "math", "format": equation})
    return config


def on_page_content(content: str, **_: Any) -> str:
    """Equations in a line, of which Markdown made code between dollars."""
    return re.sub(r"\$<code>(.+?)</code>\$", lambda found: convert(html.unescape(found[1])), content)
