"""Files of one's own: what they add, what of them is refused, and which edit of them makes which run another one."""

import copy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aikd.cli import main
from aikd.errors import UserError
from aikd.study import extensions, queries
from aikd.study.costs.memory import memory
from aikd.study.costs.networks import count
from aikd.study.costs.work import work
from aikd.study.identity import identity
from aikd.study.load import load_study
from aikd.study.resolve import prepared_folder, resolve, resolve_data
from aikd.study.run import Run
from aikd.study.schema import Study
from aikd.study.why import otherwise
from tests.conftest import DEMO, changed, parsed

METHOD = '''
from aikd.extend import Fraction, Method, MethodSettings, method

class Settings(MethodSettings):
    epsilon: Fraction = 0.1
    """Share."""
    alpha_ce: Fraction = 0.5

@method("mine", label="Mine", settings=Settings)
class Mine(Method):
    def step(self, student, batch): ...
'''
MODEL = """
from aikd.extend import Count, Section, model

class Settings(Section):
    width: Count = 4

@model("net", settings=Settings, like={"architecture": "resnet18", "width": 8})
def net(classes, channels, settings): ...

@model("other")
def other(classes, channels, settings): ...
"""
AUGMENTATION = """
from aikd.extend import Fraction, Section, augmentation

class Settings(Section):
    name: Fraction = 0.5

@augmentation("fog", settings=Settings)
def fog(images, rng, settings): ...
"""
DATA = """
from aikd.extend import DataSet, Transform, data_set

@data_set("dots", DataSet(
    label="Dots", category="coarse", classes=3, train=30, test=9, transform=Transform(size=8, padding=1)))
def dots(): ...
"""
FILES = {"method.py": METHOD, "net.py": MODEL, "fog.py": AUGMENTATION, "dots.py": DATA}

OWN = {
    "extensions": list(FILES),
    "data/digits/models": ["preact_resnet18", "densenet121_3x3", "small"],
    "data/dots": {"models": ["small"]},
    "models/small": {"label": "Small", "architecture": "net", "settings": {"width": 6}},
    "methods/mine": {},
    "augmentations": {"fog": {"name": 0.25}},
}

Read = Callable[[dict[str, Any]], Study]


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    yield
    extensions.activate([])


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Reads the demo with changes, in a folder that holds the files above."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text, encoding="utf-8")

    def study(changes: dict[str, Any]) -> Study:
        Path("own.yaml").write_text(
            yaml.safe_dump(changed(parsed(DEMO), copy.deepcopy(changes))), encoding="utf-8"
        )
        return load_study(Path("own.yaml"))

    return study


def message(read: Read, changes: dict[str, Any]) -> str:
    with pytest.raises(UserError) as error:
        read(changes)
    text = str(error.value)
    assert len(text.splitlines()) == 1
    return text.removeprefix("own.yaml: ")


# What they add


def test_what_a_file_adds_stands_wherever_something_built_in_stands(read: Read) -> None:
    row = {"method": "mine", "label": "Mine in fog", "settings": {"epsilon": 0.5}, "augmentation": "fog"}
    study = read(OWN | {"tables/table_4/rows": [{"method": "mine"}, row]})
    comparison = queries.table(study, "table_2").runs
    assert "dots/small/mine/seed2" in comparison
    assert "digits/preact_resnet18/mine/seed0" in comparison
    labels = {row.header[2] for row in queries.table(study, "table_2").rows}  # type: ignore[union-attr]
    assert labels == {"Baseline", "CS-KD", "TF-KD", "PS-KD", "AI-KD", "Mine"}
    ablation = queries.table(study, "table_4").runs
    assert ablation[3:] == [f"digits/preact_resnet18/mine/epsilon=0.5/fog/seed{seed}" for seed in range(3)]
    assert Run.from_path(ablation[3]).path == ablation[3]
    assert (study.dataset("dots").classes, study.dataset("dots").label) == (3, "Dots")


def test_when_holds_for_a_method_of_ones_own(read: Read) -> None:
    when = [{"data": ["dots"], "settings": {"epsilon": 0.3}}]
    study = read(OWN | {"methods/mine": {"settings": {"epsilon": 0.2}, "when": when}})
    paths = [queries.run_for(study, data, "small", "mine", 0).path for data in ("digits", "dots")]
    assert paths == ["digits/small/mine/epsilon=0.2/seed0", "dots/small/mine/epsilon=0.3/seed0"]


def test_a_setting_that_is_called_like_a_derived_one_of_aikd_names_runs(read: Read) -> None:
    read(OWN)
    assert Run("digits", "small", "mine", {"alpha_ce": 0.25}).path == "digits/small/mine/alpha_ce=0.25/seed0"


def test_only_runs_that_use_an_extension_say_so(read: Read) -> None:
    plain = {run.path: resolve(read({}), run) for run in queries.runs_of(read({}))}
    study = read(OWN)
    code = {name: identity(text) for name, text in FILES.items()}
    for path, settings in plain.items():
        assert resolve(study, Run.from_path(path)) == settings
        assert "extension" not in str(settings)
    own = resolve(study, Run("dots", "small", "mine", {}, "fog", 1))
    assert own["extension"] == {"file": "method.py", "code": code["method.py"]}
    assert own["model"]["settings"] == {"width": 6}
    assert own["model"]["extension"] == {"file": "net.py", "code": code["net.py"]}
    extension = {"file": "fog.py", "code": code["fog.py"]}
    assert own["augmentation"] == {"name": "fog", "settings": {"name": 0.25}, "extension": extension}
    assert resolve_data(study, "dots")["source"] == {
        "extension": {"file": "dots.py", "code": code["dots.py"]}
    }


def test_an_edit_changes_just_the_runs_that_use_the_file(read: Read) -> None:
    runs = [
        ("digits", "preact_resnet18", "baseline", "standard"),
        ("digits", "preact_resnet18", "mine", "standard"),
        ("digits", "small", "baseline", "standard"),
        ("digits", "preact_resnet18", "baseline", "fog"),
        ("dots", "small", "baseline", "standard"),
    ]

    def settings() -> list[dict[str, Any]]:
        study = read(OWN)
        return [resolve(study, Run(*names, (), augmentation)) for *names, augmentation in runs]

    before = settings()
    touched = {"method.py": [1], "net.py": [2, 4], "fog.py": [3], "dots.py": [4]}
    for name, expected in touched.items():
        text = Path(name).read_text()
        Path(name).write_text(f"# Why?\n{text}")
        assert settings() == before
        Path(name).write_text(f"{text}\nlater = 1\n")
        assert [i for i, found in enumerate(settings()) if found != before[i]] == expected
        Path(name).write_text(text)


def test_a_run_of_other_code_is_not_as_the_study_says(read: Read) -> None:
    study = read(OWN)
    run = Run("digits", "preact_resnet18", "mine")
    trained = resolve(study, run)
    assert otherwise(read(OWN), run, trained) is None
    Path("method.py").write_text(f"{METHOD}\nlater = 1\n")
    codes = [identity(text) for text in (METHOD, Path("method.py").read_text())]
    words = "not trained as the study says: extension.code was {!r}, now it is {!r}".format(*codes)
    assert otherwise(read(OWN), run, trained) == words


def test_names_hold_until_the_next_study_is_read(read: Read) -> None:
    read(OWN)
    read({})
    with pytest.raises(UserError, match='method: found "mine"'):
        Run("digits", "small", "mine")


def test_results_are_read_without_the_file(read: Read) -> None:
    read({})
    run = Run.from_path("digits/small/mine/beta=high,epsilon=0.5/fog/seed1", written=True)
    assert (run.method, run.augmentation, run.seed) == ("mine", "fog", 1)
    assert run.settings == (("beta", "high"), ("epsilon", 0.5))
    assert run.path == "digits/small/mine/beta=high,epsilon=0.5/fog/seed1"
    for wrong in ("digits/small/../seed0", "digits/small/mine/Fog/seed0", "digits/small/mine/b=1,a=2/seed0"):
        with pytest.raises(UserError):
            Run.from_path(wrong, written=True)
    with pytest.raises(UserError, match="omga"):
        Run.from_path("digits/small/aikd/omga=1/seed0", written=True)


# Costs


def test_costs_of_a_network_are_those_of_the_one_it_is_like(read: Read) -> None:
    study = read(OWN | {"models/plain": {"label": "Plain", "architecture": "other"}})
    dataset = study.dataset("dots")
    own = resolve(study, Run("dots", "small", "baseline"))
    like = own | {"model": {"architecture": "resnet18", "width": 8, "growth": None, "blocks": None}}
    assert work(own, dataset, 1) == work(like, dataset, 1)
    assert memory(own, dataset) == memory(like, dataset)
    plain = resolve(study, Run("dots", "plain", "baseline"))
    assert work(plain, dataset, 1).network == count({"architecture": "preact_resnet18"}, 8, 3)
    large = plain | {"data": plain["data"] | {"transform": plain["data"]["transform"] | {"size": 224}}}
    assert work(large, dataset, 1).network == count({"architecture": "resnet18"}, 224, 3)


def test_the_plan_says_what_stands_for_a_network(read: Read, capsys: pytest.CaptureFixture[str]) -> None:
    read(OWN)
    assert main(["plan", "table_2", "--study", "own.yaml"]) == 0
    assert "net is an extension's network: operations, time, disk and memory are those of resnet18" in (
        capsys.readouterr().out
    )


# Without torch


@pytest.mark.parametrize("top", ["", "import torch\n"])
def test_reading_a_study_loads_torch_only_where_a_file_does(read: Read, top: str) -> None:
    read(OWN)
    Path("net.py").write_text(top + MODEL)
    code = "import sys; from aikd.cli import main; main(['check', 'own.yaml']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[-1] == str(bool(top))
    assert "extension method.py: method mine" in lines
    [net] = [
        line for line in lines if line.startswith("extension net.py: architecture net, architecture other")
    ]
    assert ("imports torch" in net) == bool(top)


# What is refused

BROKEN = {
    "def f(:\n": "extensions.0: method.py:1: invalid syntax",
    "\n\nx = y\n": "extensions.0: method.py:3: NameError: name 'y' is not defined",
    "import no_such_module\n": "extensions.0: method.py:1: ModuleNotFoundError: No module named 'no_such_module'",
    "\nraise SystemExit(3)\n": "extensions.0: method.py:2: SystemExit: 3",
    "def f():\n    raise ValueError('a\\nb')\nf()\n": "extensions.0: method.py:2: ValueError: a b",
    "\nreturn\n": "extensions.0: method.py:2: 'return' outside function",
    "x = 1\n": "extensions.0: method.py: adds nothing; it should use one of the decorators of `aikd.extend`",
    METHOD.replace('"mine"', '"aikd"'): "extensions.0: method.py:9: aikd: there is a method of this name already;",
    METHOD.replace('"mine"', '"My own"'): "extensions.0: method.py:9: found the name 'My own'; allowed are lower-",
    METHOD.replace("Fraction = 0.1", "Fraction"): (
        "extensions.0: method.py:9: mine: the defaults of Settings.epsilon: missing, and required"
    ),
    METHOD.replace("Fraction = 0.1", "list = [1]"): (
        "extensions.0: method.py:9: mine: the default of epsilon is [1]; allowed: a number, text, true, false or none"
    ),
    METHOD.replace("settings=Settings", "settings=dict"): (
        "extensions.0: method.py:9: mine: settings must be a subclass of MethodSettings, found <class 'dict'>"
    ),
    MODEL.replace("resnet18", "vgg"): "extensions.0: method.py:7: net: like: found {'architecture': 'vgg', 'width': 8}",
    METHOD.replace('@method("mine", label="Mine", settings=Settings)', "@method"): (
        'extensions.0: method.py:9: found @method without a name; it is written @method("mine")'
    ),
    MODEL.replace('@model("net", settings=Settings, like={"architecture": "resnet18", "width": 8})', "@model"): (
        'extensions.0: method.py:7: found @model without a name; it is written @model("net")'
    ),
    AUGMENTATION.replace('@augmentation("fog", settings=Settings)', "@augmentation"): (
        'extensions.0: method.py:7: found @augmentation without a name; it is written @augmentation("fog")'
    ),
    DATA.replace("train=30", "train=0"): "extensions.0: method.py:4: ValidationError: 1 validation error for DataSet",
    DATA.replace("test=9", "test=9, stored_side=9"): "extensions.0: method.py:4: dots: stored_side has no meaning here",
}  # fmt: skip


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_a_file_that_cannot_be_used_is_one_line_with_its_place(read: Read, text: str) -> None:
    Path("method.py").write_text(text)
    assert message(read, {"extensions": ["method.py"]}).startswith(BROKEN[text])


def test_files_that_are_not_there_or_no_text(read: Read) -> None:
    assert message(read, {"extensions": ["no.py"]}).startswith(
        "extensions.0: no.py: cannot be read (No such file"
    )
    Path("no.py").write_bytes(b"\xff")
    assert "cannot be read (not Python in UTF-8)" in message(read, {"extensions": ["method.py", "no.py"]})


def test_two_files_cannot_add_the_same(read: Read) -> None:
    Path("again.py").write_text(METHOD)
    text = message(read, {"extensions": ["method.py", "again.py"]})
    assert text == "extensions.1: again.py: method mine is in method.py already"
    assert "there is a method of this name already" in message(
        read, {"extensions": ["twice.py"]} if Path("twice.py").write_text(METHOD + METHOD) else {}
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"methods/mine": {"settings": {"epsilom": 1}}}, "methods.mine.settings.epsilom: unknown key (did you mean"),
        ({"methods/mine": {"settings": {"epsilon": 2}}}, "methods.mine.settings.epsilon: found 2, but it should be"),
        ({"methods/mime": {}}, "methods.mime: found \"mime\" (did you mean 'mine'?); allowed: baseline, cskd"),
        ({"augmentations/fog": {"x": 1}}, "augmentations.fog.x: unknown key; allowed: name"),
        ({"augmentations/frog": {}}, "augmentations.frog: unknown key (did you mean 'fog'?); allowed: cutmix"),
        ({"models/small/settings": {"widht": 1}}, "models.small.settings.widht: unknown key (did you mean 'width'?)"),
        ({"models/small/width": 8}, "models.small.width: net has none; it is scaled by its `settings`"),
        ({"models/small/blocks": [1, 1, 1, 1]}, "models.small.blocks: net has none; it is scaled by its"),
        ({"data/dots/counts": {"classes": 3, "train": 3, "test": 3}}, "data.dots.counts: has no meaning for a"),
        ({"data/dots/stored_side": 8}, "data.dots.stored_side: has no meaning for a data set of one's own"),
        ({"data/dots/folder": "x"}, "data.dots.folder: dots is an extension's data set; give your own another name"),
        ({"data/dots/images_per_class": 11}, "data.dots: images_per_class and holdout_per_class need 11 training"),
        ({"tables/dots": {"kind": "datasets"}}, "data.dots: a target of the workflow has this name"),
    ],
)  # fmt: skip
def test_mistakes_in_the_study_get_the_messages_of_built_in_ones(
    read: Read, changes: dict[str, Any], expected: str
) -> None:
    assert message(read, OWN | changes).startswith(expected)


# Which edits count


def test_a_declared_version_is_all_that_counts(read: Read) -> None:
    def source(text: str) -> dict[str, str]:
        Path("method.py").write_text(text)
        found: dict[str, str] = resolve(read(OWN), Run("digits", "small", "mine"))["extension"]
        return found

    assert source("VERSION = 1\n" + METHOD) == {"file": "method.py", "code": "version 1"}
    assert source("VERSION = 1\n" + METHOD.replace("0.1", "0.2"))["code"] == "version 1"
    assert source("VERSION = 2\n" + METHOD)["code"] == "version 2"


def test_data_of_another_code_lie_elsewhere(read: Read) -> None:
    before = prepared_folder(resolve_data(read(OWN), "dots"))
    Path("dots.py").write_text(DATA + "x = 1\n")
    assert prepared_folder(resolve_data(read(OWN), "dots")) != before


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("results/demo/runs/a/history.csv", r"must end in \.py"),
        ("history", r"must end in \.py"),
        ("results/demo/fog.py", "lies below results/"),
        ("data/fog.py", "lies below data/"),
        ("own/../data/sub/fog.py", "lies below data/"),
        ("{here}/results/fog.py", "lies below results/"),
        ("link.py", "lies below results/"),
        ("linked/fog.py", "lies below data/"),
    ],
)
def test_what_was_made_or_received_is_never_run(read: Read, tmp_path: Path, file: str, words: str) -> None:
    file, ran = file.format(here=tmp_path), tmp_path / "ran"
    for folder in ("own", "data", "results/demo"):
        Path(folder).mkdir(parents=True)
    Path("linked").symlink_to("data")
    Path("link.py").symlink_to("results/demo/fog.py")
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(f"open({str(ran)!r}, 'w').close()\n" + AUGMENTATION)
    Path("first.py").write_text(f"open({str(ran)!r}, 'w').close()\n" + DATA)
    with pytest.raises(UserError, match=rf"^own\.yaml: extensions\.1: [^\n]*{words}[^\n]*$"):
        read({"extensions": ["first.py", file]})
    with pytest.raises(UserError, match=words):
        extensions.use({"extension": {"file": file, "code": "0" * 12}})
    assert not ran.exists()


def test_names_that_merely_begin_like_those_folders_are_allowed(read: Read) -> None:
    Path("results_.py").write_text(DATA)
    read({"extensions": ["results_.py"]})
