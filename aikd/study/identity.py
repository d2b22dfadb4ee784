"""What tells one state of a Python file from another, where only what it computes counts."""

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterator

DIGITS = 12
"""Of the hexadecimal digest."""

Place = tuple[int, int]
"""Line, from 1, and character in it, from 0."""


def identity(text: str) -> str:
    """What changes when the code of a file does: by this, runs are trained again. The file is not run.

    The version that it declares with `VERSION = …`; or else a part of the SHA-256 of its tokens, without comments,
    docstrings, blank lines and the width of indentation, whatever version of Python reads it.

    Raises:
        SyntaxError, ValueError: it is no Python.
    """
    tree = ast.parse(text)
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="VERSION")], value=ast.Constant(value=version)):
                return f"version {version!r}"
    digest = hashlib.sha256()
    for token in _tokens(text, tree):
        digest.update(f"{token}\0".encode())
    return digest.hexdigest()[:DIGITS]


def _tokens(text: str, tree: ast.Module) -> Iterator[str]:
    spans = _spans(text, tree)
    until, empty = (0, 0), True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.start < until or token.type in (tokenize.COMMENT, tokenize.NL):
            continue
        if token.type in (tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE):
            if token.type != tokenize.NEWLINE or not empty:
                yield tokenize.tok_name[token.type]
            empty = True
            continue
        until, string = spans.get(token.start, (until, token.string))
        if string:
            yield string
            empty = False


def _spans(text: str, tree: ast.Module) -> dict[Place, tuple[Place, str]]:
    """Where strings that need care begin and end, and what counts of them.

    Of docstrings, of functions as of attributes, nothing does; f-strings are one token in some versions of Python only.
    """
    lines = io.StringIO(text).readlines()

    def place(line: int, column: int) -> Place:
        return line, len(lines[line - 1].encode()[:column].decode())

    spans = {}
    for node in _strings(tree):
        end = place(node.end_lineno or 1, node.end_col_offset or 0)
        counts = ast.get_source_segment(text, node) if isinstance(node, ast.JoinedStr) else None
        spans[place(node.lineno, node.col_offset)] = end, counts or ""
    return spans


def _strings(node: ast.AST) -> Iterator[ast.Expr | ast.JoinedStr]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.JoinedStr() | ast.Expr(value=ast.Constant(value=str())):
                yield child
            case _:
                yield from _strings(child)
