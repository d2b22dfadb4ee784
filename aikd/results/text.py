"""Labels as a study writes them (`α_CE`, `Top-1 error (%) ↓`) in LaTeX, Markdown, HTML and matplotlib."""

import re
from html import escape

_NAMES = "alpha beta gamma delta epsilon eta theta kappa lambda mu rho sigma tau phi psi omega"
_GREEK = dict(zip(_NAMES.split(), "αβγδεηθκλμρστφψω", strict=True))
_COMMANDS = {symbol: f"\\{name}" for name, symbol in _GREEK.items()}
_SYMBOL = rf"(?P<symbol>[{''.join(_COMMANDS)}])(?:_(?P<index>[A-Za-z0-9]+))?"

_LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",  # after \\ it would open an argument, as * would
    "*": "{*}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "±": r"$\pm$",
    "−": "$-$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\to$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "§": r"\S{}",
    "¶": r"\P{}",
    "‖": r"$\|$",
}
_LATEX_TOKEN = re.compile(f"{_SYMBOL}|(?P<special>[{re.escape(''.join(_LATEX))}])")
_MARKDOWN_TOKEN = re.compile(rf"{_SYMBOL}|(?P<special>[\\`*_<>|\[\]])")
_MATHTEXT_TOKEN = re.compile(rf"{_SYMBOL}|(?P<special>\$)")


def setting_label(name: str) -> str:
    """A setting as the paper writes it: `alpha_ce` is α_CE, `tau_g` is τ_G; others keep their name."""
    head, _, index = name.partition("_")
    return "_".join([_GREEK[head], *([index.upper()] if index else [])]) if head in _GREEK else name


def signed(number: float, decimals: int) -> str:
    """A number with its sign, a proper minus, and no sign where it rounds to zero."""
    text = f"{number:+z.{decimals}f}"
    return text.replace("-", "−") if float(text) else text.removeprefix("+")


def p_value(p: float) -> str:
    """A p to three digits, and never zero."""
    return f"{p:.3f}" if p >= 0.0005 else "<0.001"


def latex(text: str) -> str:
    """The text in LaTeX: specials escaped, Greek letters, arrows and signs in math mode."""

    def token(match: re.Match[str]) -> str:
        return _LATEX[match["special"]] if match["special"] else _math(match)

    return _LATEX_TOKEN.sub(token, text)


def markdown(text: str) -> str:
    """The text in GitHub's Markdown: specials escaped, indices of Greek letters as subscripts."""

    def token(match: re.Match[str]) -> str:
        if match["special"]:
            return "\\" + match["special"]
        return match["symbol"] + (f"<sub>{match['index']}</sub>" if match["index"] else "")

    return _MARKDOWN_TOKEN.sub(token, text)


def html(text: str) -> str:
    """The text in HTML: specials escaped, indices of Greek letters as subscripts."""

    def token(match: re.Match[str]) -> str:
        return match["symbol"] + (f"<sub>{match['index']}</sub>" if match["index"] else "")

    return re.sub(_SYMBOL, token, escape(text))


def mathtext(text: str) -> str:
    """The text for matplotlib: Greek letters with their indices in math mode."""

    def token(match: re.Match[str]) -> str:
        return r"\$" if match["special"] else _math(match)

    return _MATHTEXT_TOKEN.sub(token, text)


def _math(match: re.Match[str]) -> str:
    index = rf"_{{\mathrm{{{match['index']}}}}}" if match["index"] else ""
    return f"${_COMMANDS[match['symbol']]}{index}$"
