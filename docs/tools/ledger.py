"""What the paper's own numbers say of its claims, as `aikd claims --published` prints it."""

from aikd.results.claims.pages import published_text


def part(_: str) -> str:
    """All that stands before the list of all claims, without its title, under headings of a section."""
    text = published_text().split("\n## All claims")[0].split("\n", 1)[1]
    return text.replace("\n## ", "\n### ").strip()
