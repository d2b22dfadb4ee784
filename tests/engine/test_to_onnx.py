"""ONNX says what PyTorch says, for batches of every size, and a file that says something else is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax

from aikd.cli import main
from aikd.engine import to_onnx
from aikd.engine.exported import Exported, Facts, Sight, Temperature, load
from aikd.engine.to_onnx import Portable, compare, write_onnx
from aikd.errors import UserError
from aikd.models import build
from tests.engine.exports import trained

SIGHT = Sight(
    cut_bottom=0,
    short_side=None,
    resize=16,
    rounded=False,
    size=16,
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.3, 0.4),
)


@pytest.fixture(autouse=True)
def _on_the_cpu(on_the_cpu: None) -> None:
    pass


@pytest.fixture
def onnxruntime() -> object:
    for name in to_onnx.LIBRARIES:
        pytest.importorskip(name)
    return pytest.importorskip("onnxruntime")


def exported(architecture: str, **settings: object) -> Exported:
    """A student of random weights and BatchNorm statistics that are not those of the start."""
    torch.manual_seed(0)
    model = {"architecture": architecture, **settings}
    network = build(model, 3)
    network.train()(torch.rand(8, 3, 16, 16))
    facts = Facts(
        format=1, run="a/b/baseline/seed0", model=model, weights="0", class_names=["a", "b", "ç"], transform=SIGHT,
        temperature=Temperature(value=2.5, scheme="oracle"), precision="bf16", channels_last=True,
        metrics={}, provenance={},
    )  # fmt: skip
    return Exported(facts, network, torch.device("cpu"))


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("preact_resnet18", {"width": 4, "blocks": [1, 1, 1, 1]}),
        ("resnet18", {"width": 4, "blocks": [1, 1, 1, 1]}),
        ("densenet121_3x3", {"growth": 4, "blocks": [1, 1, 1, 1]}),
    ],
)
def test_onnx_is_the_network_with_its_normalisation_and_temperature(
    onnxruntime: object, tmp_path: Path, architecture: str, settings: dict[str, object]
) -> None:
    import onnx
    import onnxruntime as ort

    model = exported(architecture, **settings)
    assert write_onnx(model, tmp_path / "model.onnx") < 1e-4
    session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for n in (1, 3, 5):
        images = np.random.default_rng(n).integers(0, 256, (n, 3, 16, 16)).astype(np.float32)
        network = build(model.facts.model, 3)
        network.load_state_dict(model.network.state_dict())
        moments = (np.array(moment, np.float32).reshape(1, 3, 1, 1) for moment in (SIGHT.mean, SIGHT.std))
        mean, std = moments
        with torch.inference_mode():
            wanted = network.eval()(torch.from_numpy((images / 255 - mean) / std)).numpy()
        logits, probabilities = session.run(["logits", "probabilities"], {"images": images})
        np.testing.assert_allclose(logits, wanted, atol=1e-4)
        np.testing.assert_allclose(probabilities, softmax(wanted / 2.5, axis=1), atol=1e-4)
    properties = {p.key: p.value for p in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert json.loads(properties["class_names"]) == ["a", "b", "ç"]
    assert (properties["run"], properties["temperature"]) == ("a/b/baseline/seed0", "2.5")


def test_a_file_that_says_something_else_is_refused(onnxruntime: object, tmp_path: Path) -> None:
    model = exported("resnet18", width=4, blocks=[1, 1, 1, 1])
    write_onnx(model, tmp_path / "model.onnx")
    other = build(model.facts.model, 3)
    with pytest.raises(UserError, match="onnxruntime differs from PyTorch"):
        compare(Portable(model, other).eval(), tmp_path / "model.onnx")


def test_without_the_libraries_the_extra_is_named_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_onnx, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(UserError, match=r"onnxruntime not installed; `pip install '\.\[onnx\]'`"):
        to_onnx.require()


def test_export_with_onnx_says_how_far_it_is_from_pytorch(
    onnxruntime: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnxruntime as ort

    made = trained(tmp_path / "made", "digits")
    study = tmp_path / "study.yaml"
    study.write_text(json.dumps(made.study.model_dump(mode="json", exclude_defaults=True)))
    monkeypatch.chdir(made.root)
    where = ["--study", str(study), "--results", "results", "--to", str(tmp_path / "digits")]
    assert main(["export", made.run, *where, "--onnx"]) == 0
    assert "model.onnx: onnxruntime and PyTorch differ by at most" in capsys.readouterr().err
    assert "model.onnx" in (tmp_path / "digits" / "README.md").read_text()
    session = ort.InferenceSession(tmp_path / "digits" / "model.onnx", providers=["CPUExecutionProvider"])
    model = load(tmp_path / "digits")
    images = torch.stack([model.read(file) for file in made.files[:9]]).numpy()
    (logits,) = session.run(["logits"], {"images": images})
    np.testing.assert_allclose(logits, made.logits()[:9], atol=1e-4)
