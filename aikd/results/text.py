"""Labels as a study writes them (`α_CE`, `Top-1 error (%) ↓`) in LaTeX, Markdown, HTML and matplotlib."""

import re
import unicodedata
from html import escape
from itertools import groupby

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
    "≈": r"$\approx$",
    "≠": r"$\neq$",
    "≡": r"$\equiv$",
    "∼": r"$\sim$",
    "∝": r"$\propto$",
    "≪": r"$\ll$",
    "≫": r"$\gg$",
    "∞": r"$\infty$",
    "√": r"$\surd$",
    "∑": r"$\sum$",
    "∏": r"$\prod$",
    "∂": r"$\partial$",
    "∇": r"$\nabla$",
    "∈": r"$\in$",
    "∉": r"$\notin$",
    "∅": r"$\emptyset$",
    "∪": r"$\cup$",
    "∩": r"$\cap$",
    "⊂": r"$\subset$",
    "⊆": r"$\subseteq$",
    "∧": r"$\wedge$",
    "∨": r"$\vee$",
    "∥": r"$\|$",
    "⋅": r"$\cdot$",
    "∙": r"$\cdot$",
    "∘": r"$\circ$",
    "⊕": r"$\oplus$",
    "⊗": r"$\otimes$",
    "ℓ": r"$\ell$",
    "←": r"$\leftarrow$",
    "↔": r"$\leftrightarrow$",
    "⇐": r"$\Leftarrow$",
    "⇒": r"$\Rightarrow$",
    "⇔": r"$\Leftrightarrow$",
    "′": r"$'$",
    "″": r"$''$",
    "ζ": r"$\zeta$",
    "ι": r"$\iota$",
    "ν": r"$\nu$",
    "ξ": r"$\xi$",
    "ο": "$o$",
    "π": r"$\pi$",
    "ς": r"$\varsigma$",
    "υ": r"$\upsilon$",
    "χ": r"$\chi$",
    "Γ": r"$\Gamma$",
    "Δ": r"$\Delta$",
    "∆": r"$\Delta$",
    "Θ": r"$\Theta$",
    "Λ": r"$\Lambda$",
    "Ξ": r"$\Xi$",
    "Π": r"$\Pi$",
    "Σ": r"$\Sigma$",
    "Φ": r"$\Phi$",
    "Ψ": r"$\Psi$",
    "Ω": r"$\Omega$",
    "\u2009": r"\,",  # thin spaces, the second unbreakable
    "\u202f": r"\,",
    "\n": " ",  # an empty line would end a caption
    "\t": " ",
}
_SET = (
    "\u00a0-\u00b1\u00b4-\u00b8\u00ba-\u0125\u0128-\u0131\u0134-\u0137\u0139-\u013e\u0141-\u0148\u014a-\u0165\u0168-\u017e"
    "ȘșȚț‐‘’‚“”„•‰‹›€№"
)
"""Characters beyond ASCII that pdflatex sets as they are, in its encodings T1 and TS1."""
_ALIKE = {
    "<sub>": r"\textsubscript{",
    "<super>": r"\textsuperscript{",
    **dict.fromkeys(("<compat>", "<font>", "<narrow>", "<noBreak>", "<wide>"), "{"),
}
"""What a character is to the others that Unicode says it is made of, in LaTeX."""
NUMBERED = r"\texttt{[U+"
"""What characters that pdflatex cannot set begin with, in place of which their Unicode numbers stand."""
_KNOWN = re.escape("".join(_LATEX))
_LATEX_TOKEN = re.compile(
    rf"{_SYMBOL}|(?P<special>[{_KNOWN}])|(?P<others>[^\x20-\x7e{_SET}{_KNOWN}{''.join(_COMMANDS)}]+)"
)
_MARKDOWN_TOKEN = re.compile(rf"{_SYMBOL}|(?P<special>[\\`*_<>|\[\]])")
_MATHTEXT_TOKEN = re.compile(rf"{_SYMBOL}|(?P<special>\$)")


def setting_label(name: str) -> str:
    """A setting as the paper writes it: `alpha_ce` is α_CE, `tau_g` is τ_G; others keep their name."""
    head, _, index = name.partition("_")
    return "_".join([_GREEK[head], *([index.upper()] if index else [])]) if head in _GREEK else name


def rounded(number: float, decimals: int) -> str:
    """A number with a proper minus, and none where it rounds to zero."""
    return f"{number:z.{decimals}f}".replace("-", "−")


def signed(number: float, decimals: int) -> str:
    """A number with its sign, a proper minus, and no sign where it rounds to zero."""
    text = f"{number:+z.{decimals}f}"
    return text.replace("-", "−") if float(text) else text.removeprefix("+")


def p_value(p: float) -> str:
    """A p to three digits, and never zero."""
    return f"{p:.3f}" if p >= 0.0005 else "<0.001"


def latex(text: str) -> str:
    """The text in LaTeX: specials escaped, Greek letters, arrows and signs in math mode.

    pdflatex can set whatever it is, in the encoding T1: other scripts stand as the numbers of their characters, as in
    `[U+6F22 5B57]`. No character is lost, and texts that differ still do.
    """

    def token(match: re.Match[str]) -> str:
        if match["others"]:
            return _others(match["others"])
        return _LATEX[match["special"]] if match["special"] else _math(match)

    return _LATEX_TOKEN.sub(token, unicodedata.normalize("NFC", text))


def _others(run: str) -> str:
    """Characters that LaTeX does not know, as those that they are made of or, side by side, as their numbers."""
    parts: list[str] = []
    for alike, group in groupby(
        ((character, _alike(character)) for character in run), lambda pair: bool(pair[1])
    ):
        if alike:
            parts += [made for _, made in group]
        else:
            parts.append(f"{NUMBERED}{' '.join(f'{ord(character):04X}' for character, _ in group)}]}}")
    return "".join(parts)


def _alike(character: str) -> str:
    """A character in LaTeX, as those that it is made of; empty if they cannot be set either."""
    kind, *codes = unicodedata.decomposition(character).split() or [""]
    made = latex("".join(chr(int(code, 16)) for code in codes)) if kind in _ALIKE else NUMBERED
    return "" if NUMBERED in made else f"{_ALIKE[kind]}{made}}}"


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
