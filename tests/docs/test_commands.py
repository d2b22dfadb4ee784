"""Every command that a page shows is run, in a copy of the project, or is on a short list that says why not."""

import fcntl
import re
import shlex
from pathlib import Path

import pytest

from aikd.cli import parser
from aikd.study import beside, queries
from aikd.study.schema import Study
from tests.conftest import ROOT
from tests.docs.blocks import LANGUAGES, PAGES, Block, blocks, files, inline
from tests.docs.room import CommandError, Room, matches

pytestmark = pytest.mark.workflow

FIRST = ROOT / "docs/quickstart.md"
"""The page after which results are there."""

AFTERWARDS = {"faq.md", "status.md", "report.md", "share.md", "claims.md"}
"""Pages whose commands need these results."""

RUN = {page: [block for block in blocks(page) if block.language in ("sh", "console")] for page in PAGES}


@pytest.fixture(scope="session")
def after_quickstart(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Room:
    """The room in which the quickstart has run; one for all processes that test."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "after_quickstart"
    with (folder.parent / "after_quickstart.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            room = Room.furnished(folder)
            for block in RUN[FIRST]:
                room.run(block)
            (folder / "done").touch()
    return Room(folder)


@pytest.mark.parametrize(
    "page", [p for p in PAGES if RUN[p]], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_commands_do_what_the_page_says(page: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if page == FIRST:
        request.getfixturevalue("after_quickstart")
        return
    if page.name in AFTERWARDS:
        room = request.getfixturevalue("after_quickstart").copied(tmp_path)
    else:
        room = Room.furnished(tmp_path)
    for name, text in files(page).items():
        (room.project / name).write_text(text, encoding="utf-8")
    for block in RUN[page]:
        room.run(block)


def test_commands_stand_in_blocks_that_are_run() -> None:
    """In a block of another language they would be run by nobody."""
    found = [block for page in PAGES for block in blocks(page)]
    assert len([block for block in found if block.language == "sh"]) > 10
    assert [block.place for block in found if block.language not in LANGUAGES] == []
    usage = "docs/commands.md:"
    others = [b for b in found if b.language not in ("sh", "console") and not b.place.startswith(usage)]
    command = re.compile(r"^(\$|(aikd|snakemake|make|python3?|pip|git)(?= [\w-])(?!.*:)) ?", re.MULTILINE)
    assert [block.place for block in others if command.search(block.text)] == []


# Commands within sentences: parsed by the real parsers


def refusal(command: str, targets: set[str]) -> str | None:
    """Why a command cannot be; words in capitals and `…` stand for something else."""
    program, *words = shlex.split(command.replace("…", ""))
    try:
        if program == "aikd":
            if len(words) == 1:  # a command's name
                words.append("--help")
            if not re.fullmatch("[A-Z_]+", words[0]):
                parser().parse_args(words)
        else:
            from snakemake.cli import get_argument_parser

            options = get_argument_parser().parse_args(words)
            asked = [target for target in options.targets if not re.search(r"[A-Z]|/", target)]
            if unknown := set(asked) - targets:
                return f"no such target: {', '.join(sorted(unknown))}"
    except SystemExit as end:
        return None if end.code == 0 else "its own parser refuses it"
    return None


@pytest.fixture(scope="session")
def targets(paper: Study, demo: Study) -> set[str]:
    """What Snakemake can be asked for by name."""
    names = {name for study in (paper, demo) for name in queries.targets(study)}
    data = {f"prepare_{name}" for study in (paper, demo) for name in study.data}
    learning = {name for study in (paper, demo) for name in beside.learning_curves(study)}
    return {"all", "claims", "learning_curves", *names, *data, *learning}


def test_commands_within_sentences_can_be_given(targets: set[str]) -> None:
    found = [
        (place, code)
        for page in PAGES
        for place, code in inline(page)
        if re.match(r"(aikd|snakemake) \S", code)
    ]
    assert len(found) > 20
    refused = [f"{place}: {code}: {why}" for place, code in found if (why := refusal(code, targets))]
    assert refused == []


@pytest.mark.parametrize(
    "command",
    [
        "aikd chek",
        "aikd plan --devicse 2",
        "aikd predict --results results",
        "aikd download A --mirror ftp://there",
        "snakemake --core 8 --no-such",
        "snakemake table_9 --cores 8",
    ],
)
def test_a_command_within_a_sentence_that_cannot_be_is_found(command: str, targets: set[str]) -> None:
    assert refusal(command, targets) is not None


# The harness itself: what no longer works has to fail


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return Room.furnished(tmp_path_factory.mktemp("room"))


@pytest.mark.parametrize(
    "script",
    [
        "aikd chek",
        "aikd check no-such.yaml",
        "aikd plan table_5 --devicse 2",
        "aikd download CUB_200_2011.tgz --mirorr /scratch",
        "aikd settings digits/preact_resnet18/akd/seed0 --study workflow/studies/demo.yaml",
        "snakemake table_9 --cores 8 --configfile workflow/studies/demo.yaml",
        "snakemake --cores 8 --configfile workflow/studies/dmeo.yaml",
        "snakemake --cores 8 --no-such-option",
        "make dmeo",
        "python tests/torture.py --kils 50",
        "python -m benchmark steps",
        "nano profiles/slrum/config.yaml",
        "some-program-that-nobody-has",
        "aikd check | grep no-such-word",
    ],
)
def test_a_command_that_no_longer_works_fails(room: Room, script: str) -> None:
    with pytest.raises(CommandError, match=r"page\.md:1: exit code"):
        room.run(Block("page.md:1", "sh", f"aikd schema > schema.json\n{script}\ntrue\n"))


def test_output_that_is_shown_has_to_come(room: Room) -> None:
    shown = "$ aikd check\nconfig.yaml: study 'paper' is valid; …\n…\nall … 104 distinct runs\n…\n"
    room.run(Block("page.md:1", "console", shown))
    with pytest.raises(CommandError, match="and not"):
        room.run(Block("page.md:1", "console", shown.replace("104", "105")))


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("a\n", "a", True),
        ("a\n", "a\nb", False),
        ("a\n…\n", "a\nb\nc", True),
        ("took … s\n", "took 3.1 s", True),
        ("took … s\n", "took 3.1 min", False),
        ("a.c\n", "abc", False),
    ],
)
def test_dots_stand_for_what_may_differ(shown: str, printed: str, expected: bool) -> None:
    assert matches(shown, printed) is expected
