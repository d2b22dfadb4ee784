import pytest

from aikd.results.text import latex, markdown, mathtext, setting_label


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("alpha_ce", "α_CE"),
        ("tau_g", "τ_G"),
        ("omega", "ω"),
        ("critic.fc1", "critic.fc1"),
        ("weight", "weight"),
    ],
)
def test_settings_are_called_as_in_the_paper(name, label):
    assert setting_label(name) == label


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("α_CE", r"$\alpha_{\mathrm{CE}}$"),
        ("ω", r"$\omega$"),
        ("my_set 5 % & #1", r"my\_set 5 \% \& \#1"),
        ("Top-1 error (%) ↓", r"Top-1 error (\%) $\downarrow$"),
        ("→ 0", r"$\to$ 0"),
        ("1–3", "1--3"),
        (r"a\b", r"a\textbackslash{}b"),
        ("−0.5 ± 0.1", r"$-$0.5 $\pm$ 0.1"),
        ("*[x]", "{*}{[}x]"),
        ("†‡§¶‖", r"$\dagger$$\ddagger$\S{}\P{}$\|$"),
        ("H₂O, 10⁻³", r"H\textsubscript{2}O, 10\textsuperscript{$-$}\textsuperscript{3}"),
        ("ECE ≈ 5 ‰, Δ", r"ECE $\approx$ 5 ‰, $\Delta$"),
        ("漢字 x 漢", r"\texttt{[U+6F22 5B57]} x \texttt{[U+6F22]}"),
        ("字₂", r"\texttt{[U+5B57]}\textsubscript{2}"),
        ("cafe\u0301 ﬁ", "café {fi}"),
        ("two\n\nlines", "two  lines"),
        ("\a", r"\texttt{[U+0007]}"),
    ],
)
def test_latex(text, tex):
    assert latex(text) == tex


@pytest.mark.parametrize(
    ("text", "md"),
    [("α_CE", "α<sub>CE</sub>"), ("a|b_c*<d>", r"a\|b\_c\*\<d\>"), ("23.97 ± 0.29", "23.97 ± 0.29")],
)
def test_markdown(text, md):
    assert markdown(text) == md


def test_mathtext_leaves_plain_text_alone():
    assert mathtext("τ_G of my_set, 5 $") == r"$\tau_{\mathrm{G}}$ of my_set, 5 \$"
