"""Methods of one's own that cannot be trained with: each is one line that names file and class."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aikd.cli import main
from aikd.engine.measuring import measure
from aikd.engine.training import Trainer
from aikd.errors import UserError
from aikd.study import extensions
from aikd.study.costs.work import work
from aikd.study.load import check_study
from aikd.study.resolve import resolve
from aikd.study.run import Run
from tests.engine.resuming import RECIPE, trainer
from tests.engine.test_extensions import SIZES

METHOD = """
from aikd.extend import Fraction, Method, MethodSettings, Step, method

class Settings(MethodSettings):
    epsilon: Fraction = 0.1

@method("mine", settings=Settings)
class Mine(Method):
    def step(self, student, batch):
        logits = student(batch.images)
        loss = logits.square().mean()
        return Step(loss, logits, {"square": loss})
"""
STUDY = {
    "name": "test",
    "extensions": ["mine.py"],
    "recipe": RECIPE,
    "data": {"digits": {"models": ["plain"]}},
    "models": {"plain": {"label": "Plain", "architecture": "preact_resnet18"} | SIZES},
    "methods": {"baseline": {}, "mine": {}},
}


@pytest.fixture(autouse=True)
def none_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    extensions.activate([])


def written(*changes: tuple[str, str]) -> None:
    text = METHOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    Path("mine.py").write_text(text)


# Seen when the file is read


STEP = "    def step("
SIGNATURE = "step(self, student, batch)"
DEFAULTS = "mine: the defaults of Settings.epsilon: found"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (SIGNATURE, "stepp(self, student, batch)", f"Mine must have {SIGNATURE}; it has stepp"),
        ("class Mine(Method)", "class Mine", "Mine must be a subclass of aikd.extend.Method"),
        ("class Mine(Method):", "def mine(setup):", "mine must be a subclass of aikd.extend.Method"),
        (SIGNATURE, "step(self, batch)", "Mine.step must take (self, student, batch), found (self, batch)"),
        (SIGNATURE, "step(self, student, batch, x)", "Mine.step must take (self, student, batch), found (self, st"),
        (STEP, f"    @staticmethod\n{STEP}", "Mine.step must take (student, batch), found (self, student, batch)"),
        (STEP, f"    end_epoch = 3\n{STEP}", "Mine.end_epoch must be a function of (self, student), found int"),
        (STEP, f"    def begin_epoch(self): ...\n{STEP}", "Mine.begin_epoch must take (self, epoch), found (self)"),
        (STEP, f"    def __init__(self): ...\n{STEP}", "Mine.__init__ must take (self, setup), found (self)"),
        ("= 0.1", "= 7.0", f"{DEFAULTS} 7.0, but it should be less than or equal to 1"),
        ("= 0.1", "= 'low'", f'{DEFAULTS} "low", but it should be a number'),
    ],
)  # fmt: skip
def test_what_training_could_not_call_is_refused_by_check(
    capsys: pytest.CaptureFixture[str], old: str, new: str, expected: str
) -> None:
    written((old, new))
    Path("own.yaml").write_text(str(STUDY).replace("'", '"'))
    assert main(["check", "own.yaml"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.match(r"aikd check: own.yaml: extensions.0: mine.py:7: ", said), said
    assert expected in said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("step(self, student, batch)", "step(self, student, batch, scale=1)"),
        ("step(self, student, batch)", "step(self, network, images)"),
        ("step(self, student, batch):", "step(*given):\n        self, student, batch = given"),
    ],
)
def test_other_names_and_further_defaults_are_allowed(old: str, new: str) -> None:
    written((old, new))
    check_study(STUDY)


def test_functions_of_other_kinds_are_looked_at_too() -> None:
    Path("mine.py").write_text(
        "from aikd.extend import model\n@model('net')\ndef net(classes, settings): ...\n"
    )
    with pytest.raises(UserError) as error:
        extensions.activate(["mine.py"])
    assert str(error.value) == (
        "extensions.0: mine.py:2: net must take (classes, channels, settings), found (classes, settings)"
    )


# Seen in the first step


LOGITS = "logits = student(batch.images)"
RETURN = 'return Step(loss, logits, {"square": loss})'


def own(data: Path) -> Trainer:
    settings = resolve(check_study(STUDY), Run("digits", "plain", "mine"))
    return trainer(settings, data)


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ("loss, logits, {}", "must return Step(loss, logits, terms), returned tuple"),
        ("None", "must return Step(loss, logits, terms), returned NoneType"),
        ("Step(loss.item(), logits, {})", "loss must be a scalar tensor, found float"),
        ("Step(logits.mean(1), logits, {})", "loss must be a scalar tensor, found a tensor of shape [8]"),
        ("Step(loss.detach(), logits, {})", "loss has no gradient; it must follow from what"),
        ("Step(loss, logits[:, 1:], {})", "logits must be a tensor of shape [8, 10], found a tensor of shape [8, 9]"),
        ("Step(loss, logits, [loss])", "terms must be a dict of scalar tensors, found list"),
        ("Step(loss, logits, {'a': 1.0})", "terms['a'] must be a scalar tensor by its name, found float"),
    ],
)  # fmt: skip
def test_what_is_no_step_is_refused_in_the_first_one(tiny: Path, returned: str, expected: str) -> None:
    written((RETURN, f"return {returned}"))
    with pytest.raises(UserError) as error:
        own(tiny).run(lambda row: None)
    between = " " if expected.startswith("must return") else ": "
    assert str(error.value).startswith(f"mine.py: Mine.step{between}{expected}")


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("list(student.parameters())", "mine.py: Mine.step: student.parameters: in step the student is a function of"),
        ("self.setup.superior(batch.images)", "mine.py: Mine.step: setup.superior is None, as needs_superior of Sett"),
        ("self.setup.freeze(student)", "setup.freeze takes a torch module, found function; in step the student is a"),
    ],
)  # fmt: skip
def test_what_a_step_is_not_given_is_one_line(tiny: Path, line: str, expected: str) -> None:
    written((LOGITS, f"{line}\n        {LOGITS}"))
    with pytest.raises(UserError) as error:
        own(tiny).run(lambda row: None)
    assert str(error.value).startswith(expected)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize("line", ["self.settings.parameters()", "x = None; x(batch.images)"])
def test_other_errors_of_a_step_stay_what_they_are(tiny: Path, line: str) -> None:
    written((LOGITS, f"{line}\n        {LOGITS}"))
    with pytest.raises((AttributeError, TypeError)):
        own(tiny).run(lambda row: None)


COUNTED = f"""self.steps = getattr(self, "steps", 0) + 1
        terms = {{"square": loss, "extra": loss + 1}}
        CHANGE
        {RETURN.replace('{"square": loss}', "terms")}"""


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ('if self.steps == 3: terms["new"] = loss', "logs the term 'new' in epoch 1, step 3"),
        ('if self.steps == 3: del terms["extra"]', "does not log the term 'extra' in epoch 1, step 3"),
        ('if self.steps > 5: terms["new"] = loss', "logs the term 'new' in epoch 2, step 1"),
    ],
)
def test_terms_that_change_name_method_term_and_step(tiny: Path, change: str, expected: str) -> None:
    """41 images in batches of 8 are 5 steps an epoch, of which the last has one image more."""
    written((RETURN, COUNTED.replace("CHANGE", change)))
    with pytest.raises(UserError) as error:
        own(tiny).run(lambda row: None)
    assert str(error.value).startswith(
        f"digits/plain/mine/seed0: Mine.step {expected}, unlike before; terms are"
    )
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("on_the_cpu")
def test_terms_in_another_order_keep_their_columns(tiny: Path) -> None:
    change = "if self.steps % 2: terms = dict(reversed(terms.items()))"
    written((RETURN, COUNTED.replace("CHANGE", change)))
    row = own(tiny).epoch(0)
    assert row["square"] == pytest.approx(row["loss"])
    assert row["extra"] == pytest.approx(row["loss"] + 1)


@pytest.mark.usefixtures("on_the_cpu")
def test_later_steps_are_called_as_they_are(tiny: Path) -> None:
    written()
    made = own(tiny)
    step: Any = made.method.step
    assert step.__name__ == "first"
    made.epoch(0)
    assert made.method.step.__func__ is type(made.method).step  # type: ignore[attr-defined]


# Measuring its losses

HUNGRY = METHOD.replace(
    "    def step",
    """    def end_epoch(self, student):
        self.weights = student.fc.weight

    def step""",
)
MEAN = METHOD.replace(
    "    def step",
    """    def end_epoch(self, student):
        self.previous = student

    def step""",
).replace("loss = logits", "loss = (logits - self.previous(batch.images)).square().mean() + logits")


@pytest.mark.parametrize(
    ("text", "said"), [(HUNGRY, "no attribute 'fc'), and count as the Baseline's"), (MEAN, "")]
)
def test_what_a_method_of_ones_own_adds_is_measured_where_it_needs_no_more_than_logits(
    text: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIKD_DEVICE", "cpu")
    Path("mine.py").write_text(text)
    study = check_study(STUDY)
    settings = resolve(study, Run("digits", "plain", "mine"))
    planned = work(settings, study.dataset("digits"), 1)
    speeds, _ = measure([(settings, planned)], threads=1, seconds=0.2)
    assert speeds(settings, planned).training(planned) > 0
    err = capsys.readouterr().err
    assert said in err if said else not err
