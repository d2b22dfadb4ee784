"""Which edits of a file of one's own make its code another."""

from aikd.study.identity import identity
from tests.study.test_extensions import METHOD

SAME = [
    METHOD.replace("\n\n", "\n\n\n# A comment\n\n"),
    METHOD.replace("    ", "  "),
    METHOD.replace('"""Share."""', '"""Another\n    docstring."""'),
    METHOD.replace('    """Share."""\n', ""),
    '"""A module."""\n' + METHOD,
    METHOD.replace("step(self, student, batch): ...", "step(self, student, batch): ...  # nothing"),
    METHOD.replace("settings=Settings)", "\n    settings=Settings\n)"),
]
OTHER = [
    METHOD.replace("0.1", "0.2"),
    METHOD.replace("Mine", "Ours"),
    METHOD + "x = 1\n",
    METHOD.replace("    alpha_ce: Fraction = 0.5\n", ""),
    METHOD.replace('label="Mine"', 'label="Mi ne"'),
]


def test_comments_docstrings_and_layout_do_not_count_and_all_else_does() -> None:
    assert {identity(text) for text in SAME} == {identity(METHOD)}
    assert len({identity(text) for text in [METHOD, *OTHER]}) == len(OTHER) + 1


def test_strings_that_are_no_docstrings_count() -> None:
    texts = ['"""a\n\nb"""', '"""a\nb"""', 'f"{y} # z"', 'f"{y} # w"', '"ü" "é"', "'ü'"]
    texts = [f"x = {text}\n" for text in texts]
    assert len({identity(text) for text in texts}) == len(texts)
    nested = 'x = f"{f(1)}" f"{y!r:>{width}}"  # z\n'
    assert identity(nested) == identity(nested.replace("  # z", ""))
    assert identity(nested) != identity(nested.replace("width", "w"))
