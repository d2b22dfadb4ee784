"""The data file of archives."""

import json
import re
from pathlib import Path

import pytest

from aikd.cli import main
from aikd.engine.archives import find_archive, load_sources
from aikd.errors import UserError
from aikd.study.catalogue import DATA_SETS
from tests.conftest import ROOT


def test_every_published_data_set_has_its_archives() -> None:
    sources = load_sources()
    assert sources.keys() == DATA_SETS.keys() - {"digits"}
    assert {name: len(source.archives) for name, source in sources.items() if len(source.archives) > 1} == {
        "stanford_dogs": 2,
        "mit67": 3,
    }
    names = [name for source in sources.values() for name in source.archives]
    assert len(names) == len(set(names)) == 9


def test_addresses_and_terms_are_web_addresses_and_tars_end_on_a_record() -> None:
    for source in load_sources().values():
        archives = source.archives.values()
        for url in [source.page, source.terms_from, *(url for a in archives for url in a.urls)]:
            assert re.match(r"https?://[\w.-]+/", url), url
        for wanted in archives:
            if wanted.name.endswith(".tar"):
                assert wanted.size is not None
                assert wanted.size % 10_240 == 0, wanted.name


def test_the_docs_name_the_first_address_of_every_archive() -> None:
    page = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    for source in load_sources().values():
        for wanted in source.archives.values():
            assert f"| `{wanted.name}` | <{wanted.urls[0]}> |\n" in page


def test_checksum_of_cifar100_is_the_one_torchvision_verifies() -> None:
    from torchvision.datasets import CIFAR100

    wanted = find_archive(CIFAR100.filename)
    assert wanted.checksum == f"md5:{CIFAR100.tgz_md5}"
    assert wanted.urls[0] == CIFAR100.url


def test_unknown_archive_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"did you mean 'CUB_200_2011\.tgz'"):
        find_archive("CUB_200_2011.zip")


def test_the_command_line_takes_an_archive_placed_by_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    placed = tmp_path / "downloads" / "TestImages.txt"
    placed.parent.mkdir()
    placed.write_text("not the published list\n")
    command = ["download", "TestImages.txt", "--data", str(tmp_path), "--mirror", str(tmp_path)]
    assert main(command) == 1
    assert str(placed) in capsys.readouterr().err
    assert main([*command, "--accept-other"]) == 0
    assert json.loads(placed.with_name("TestImages.txt.json").read_text())["verified"] is False


def test_an_unknown_archive_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "CUB_200_2010.tgz"]) == 1
    assert "CUB_200_2011.tgz" in capsys.readouterr().err
