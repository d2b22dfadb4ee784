"""The pages that are made of the project itself: nothing is missing, nothing is stale, and the site is whole."""

import ast
import contextlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from aikd.cli import main
from aikd.study.catalogue import DATA_SETS, PAPER
from aikd.study.costs.data import prepared_bytes
from aikd.study.methods import METHODS
from aikd.study.schema import Study
from docs.tools import terminal
from docs.tools.__main__ import PART, filled
from docs.tools.excerpts import excerpt
from docs.tools.site import equation
from tests.conftest import ROOT
from tests.docs.blocks import PAGES, blocks

DOCS = ROOT / "docs"
STUDY = (DOCS / "study.md").read_text(encoding="utf-8")
COMMANDS = (DOCS / "commands.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_generated_parts_are_what_would_be_generated_now(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "run: make docs"


def test_a_dry_run_is_shown_so_that_it_counts_its_jobs() -> None:
    """Snakemake's bare `--quiet` prints nothing at all."""
    quiet = [
        line
        for block in (block for page in PAGES for block in blocks(page))
        for line in block.text.splitlines()
        if "snakemake" in line and "--quiet" in line
    ]
    assert len(quiet) > 5
    assert [line for line in quiet if "--quiet rules " not in line] == []


@pytest.mark.parametrize("picture", sorted(terminal.pictures()), ids=lambda picture: picture.name)
def test_pictures_of_terminals_show_what_the_page_has(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    assert text == terminal.pictures()[picture], "run: make docs"
    shown = [
        "".join(line.itertext()).replace("\xa0", " ")
        for line in ElementTree.fromstring(text).findall(".//{*}text")
    ]
    assert shown[0].startswith("$ aikd ")
    page = (DOCS / terminal.DRAWN[f"images/{picture.name}"][0]).read_text(encoding="utf-8")
    assert "\n".join(shown[1:]) in re.sub(r"\n\n+", "\n", page)


def test_sizes_of_prepared_data_are_those_that_plans_reckon_with() -> None:
    rows = re.findall(
        r"^\| ([\w-]+(?: \w+)?) \| (?:up to )?([\d.]+) ([MG])B \|",
        (DOCS / "data.md").read_text(),
        re.MULTILINE,
    )
    names = {"FGVC-Aircraft": "fgvc_aircraft"} | {DATA_SETS[name].label: name for name in PAPER}
    assert len(rows) == len(PAPER)
    for label, size, unit in rows:
        planned = prepared_bytes(names[label], DATA_SETS[names[label]]) / {"M": 1e6, "G": 1e9}[unit]
        assert float(size) == pytest.approx(planned, rel=0.04), label


def test_the_first_page_leads_to_every_other() -> None:
    first = (DOCS / "README.md").read_text(encoding="utf-8")
    missing = [
        page.name for page in DOCS.glob("*.md") if page.name != "README.md" and f"({page.name})" not in first
    ]
    assert missing == []


# study.md, against the schema in its JSON form


def sections(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    yield from schema["$defs"].values()


def plain(text: str) -> str:
    return " ".join(text.split()).replace("\\|", "|").replace("&lt;", "<")


def test_the_reference_has_every_key_with_its_meaning_and_default() -> None:
    rows = [plain(line) for line in STUDY.splitlines() if line.startswith("| `")]
    keys = [(k, v, s) for s in sections(Study.model_json_schema()) for k, v in s["properties"].items()]
    assert len(keys) > 80
    for key, schema, section in keys:
        default = schema.get("default")
        shown = "**required**" if key in section.get("required", []) else json.dumps(default).strip('"')
        found = [
            r
            for r in rows
            if r.startswith(f"| `{key}` |") and r.endswith(f"| {plain(schema['description'])} |")
        ]
        assert found, f"{section['title']}.{key}: missing, or without its meaning"
        if shown == "**required**" or (isinstance(default, int | float | str) and default != ""):
            assert any(f"| {shown} |" in row or f"| `{shown}` |" in row for row in found), (
                f"{section['title']}.{key}"
            )


def test_the_reference_has_a_heading_for_every_section() -> None:
    headings = re.findall(r"^## (.+)$", STUDY, re.MULTILINE)
    assert len(headings) == len(set(headings))
    described = [plain(section["description"]) for section in sections(Study.model_json_schema())]
    assert [text for text in described if text not in plain(STUDY)] == []


def test_the_reference_has_every_setting_of_every_method() -> None:
    parts = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|^<!--)", STUDY, re.MULTILINE | re.DOTALL))
    assert list(parts) == list(METHODS)
    for name, spec in METHODS.items():
        defaults = json.loads(spec.settings.model_construct().model_dump_json())
        nested = {f"critic.{k}": v for k, v in defaults.pop("critic", {}).items()}
        rows = dict(re.findall(r"^\| `([\w.]+)` \|[^|]*\| (.+?) \|", parts[name], re.MULTILINE))
        shown = {key: "none" if v is None else f"`{v if isinstance(v, str) else json.dumps(v)}`" for key, v in
                 (defaults | nested).items()}  # fmt: skip
        assert rows == shown


# commands.md, against what `--help` prints


def names() -> list[str]:
    return re.findall(r"^## aikd (\S+)$", COMMANDS, re.MULTILINE)


def helped(*arguments: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*arguments, "--help"])
    return printed.getvalue()


def test_every_command_has_a_section() -> None:
    listed = re.findall(r"^ {4}([a-z_]+)(?: |$)", helped(), re.MULTILINE)
    assert len(listed) > 10
    assert listed == names()


@pytest.mark.parametrize("name", names())
def test_a_command_s_section_says_all_that_its_help_says(name: str) -> None:
    section = re.search(rf"^## aikd {name}\n(.*?)(?=^## |^<!--)", COMMANDS, re.MULTILINE | re.DOTALL)
    assert section is not None
    usage = plain(section[1]).split("```")[1]
    words = helped(name)
    # Between backticks stand calls of other commands.
    options = set(re.findall(r"--[a-z][\w-]+", re.sub("`[^`]*`", "", words))) - {"--help"}
    assert options == set(re.findall(r"--[a-z][\w-]+", usage))
    assert options == set(re.findall(r"^\| `(--[a-z][\w-]+)`", section[1], re.MULTILINE))
    # All words of the help, wherever its lines break; what argparse says of its own is not the command's.
    own = {
        "h",
        "help",
        "show",
        "this",
        "message",
        "and",
        "exit",
        "options",
        "positional",
        "arguments",
        "usage",
    }
    missing = {w.lower() for w in re.findall(r"\w+", words)} - {
        w.lower() for w in re.findall(r"\w+", section[0])
    }
    assert missing - own == set()


def test_usage_says_what_is_required_and_what_excludes_what() -> None:
    usages = {
        line for block in re.findall(r"```text\n(.*?)```", COMMANDS, re.DOTALL) for line in [plain(block)]
    }
    assert "aikd check [STUDY | --study STUDY]" in usages
    assert "aikd settings RUN_OR_DATASET [--study STUDY]" in usages
    [predict] = [usage for usage in usages if usage.startswith("aikd predict")]
    assert predict.startswith("aikd predict RUN [--")
    [table] = [usage for usage in usages if usage.startswith("aikd table")]
    assert " --spec SPEC" in table
    assert "[--spec" not in table
    [prepare] = [usage for usage in usages if usage.startswith("aikd prepare")]
    assert prepare.startswith("aikd prepare (DATASET | --settings SETTINGS) [--")
    [train] = [usage for usage in usages if usage.startswith("aikd train")]
    assert train.startswith("aikd train (RUN | --settings SETTINGS) [--")


# paper.md


def test_the_paper_shows_the_code_of_each_of_its_equations() -> None:
    page = (DOCS / "paper.md").read_text(encoding="utf-8")
    shown = [match[2] for match in PART.finditer(page)]
    assert len(shown) >= 8
    for name in shown:
        lines = excerpt(name).splitlines()[1:-1]
        ast.parse("\n".join(lines))
        module, _, path = name.partition(":")
        text = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
        assert path.rpartition(".")[2] in lines[0]
        assert all(line.strip() in text for line in lines)


@pytest.mark.parametrize(
    "name", ["aikd.methods.aikd:AIKD.stop", "aikd.methods.aikd:step", "aikd.methods.losses:KL"]
)
def test_an_excerpt_of_what_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(LookupError, match=name):
        excerpt(name)


def test_an_excerpt_leaves_the_docstring_out_and_nothing_else() -> None:
    assert excerpt("aikd.methods.losses:soften") == (
        '```python title="aikd/methods/losses.py"\ndef soften(logits: Tensor, tau: float = 1.0) -> Tensor:\n'
        "    return F.log_softmax(logits / tau, dim=1)\n```"
    )


# The site


class Fetched(HTMLParser):
    """Whatever a browser would fetch by itself to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video") or (
            tag == "link" and given.get("rel") != "canonical"
        ):
            self.found += [given[key] or "" for key in ("src", "href") if key in given]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_has_every_page_and_needs_no_network(site: Path) -> None:
    pages = {path.stem.replace("README", "index") for path in DOCS.glob("*.md")}
    assert pages <= {path.stem for path in site.glob("*.html")}
    for page in site.glob("*.html"):
        fetched = Fetched()
        fetched.feed(page.read_text(encoding="utf-8"))
        assert len(fetched.found) > 3
        assert [address for address in fetched.found if re.match(r"(https?:)?//", address)] == []


def test_equations_are_mathml(site: Path) -> None:
    page = (site / "paper.html").read_text(encoding="utf-8")
    source = (DOCS / "paper.md").read_text(encoding="utf-8")
    assert page.count('display="block"') == source.count("```math") > 5
    assert page.count('display="inline"') == len(re.findall(r"\$`[^`]+`\$", source)) > 10
    assert "$<code>" not in page


def test_an_equation_keeps_what_it_says() -> None:
    made = equation(r"\frac{a}{b}")
    assert "<mfrac><mrow><mi>a</mi></mrow><mrow><mi>b</mi></mrow></mfrac>" in made
    assert "<script" not in made


def test_a_link_that_leads_nowhere_and_a_page_that_nobody_lists_break_the_build(tmp_path: Path) -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {"README.md": "# A\n[b](b.md)\n", "b.md": "# B\n"}
    mistakes = [{}, {"README.md": "# A\n[b](c.md)\n"}, {"README.md": "# A\n[b](b.md#c)\n"}, {"c.md": "# C\n"}]
    for number, mistake in enumerate(mistakes):
        folder = tmp_path / str(number)
        (folder / "docs/tools").mkdir(parents=True)
        (folder / "docs/tools/site.py").write_bytes((DOCS / "tools/site.py").read_bytes())
        (folder / "docs/style.css").touch()
        for name, text in (pages | mistake).items():
            (folder / "docs" / name).write_text(text, encoding="utf-8")
        nav = "nav: [README.md, b.md]\n"
        (folder / "mkdocs.yml").write_text(
            settings.partition("nav:\n  - Overview")[0] + nav, encoding="utf-8"
        )
        command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is not bool(mistake), done.stderr


def test_linting_builds_the_site() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "$(BUILD_SITE)" in makefile.partition("\nlint:")[2].partition("\n\n")[0]
    assert re.search(r"^BUILD_SITE := .*mkdocs build --strict", makefile, re.MULTILINE)
