import subprocess
import sys
from math import sqrt

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from aikd.errors import UserError
from aikd.models import build, classifier, logits_and_features
from aikd.models.folding import folded

# Name → settings of a small version, image size that it must accept, and features before its last layer.
SMALL = {
    "preact_resnet18": ({"width": 4}, 8, 32),
    "resnet18": ({"width": 4}, 64, 32),
    "densenet121": ({"growth": 4, "blocks": [1, 2, 2, 1]}, 64, 11),
    "densenet121_3x3": ({"growth": 4, "blocks": [1, 2, 2, 1]}, 8, 11),
}
TORCHVISION = {"resnet18": torchvision.models.resnet18, "densenet121": torchvision.models.densenet121}
State = dict[str, Tensor]


def small(name: str, classes: int = 5, channels: int = 3) -> tuple[nn.Module, Tensor]:
    settings, size, _ = SMALL[name]
    torch.manual_seed(0)
    model = build({"architecture": name} | settings, classes, channels)
    return model, torch.randn(4, channels, size, size)


def randomise_batch_norms(model: nn.Module) -> None:
    """Fresh BatchNorms in eval mode are the identity and would hide one that is misplaced."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 2)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_()


def shapes(state: State) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


@pytest.mark.parametrize(
    ("architecture", "classes", "expected"),
    [
        ("preact_resnet18", 100, 11_217_444),
        ("preact_resnet18", 200, 11_268_744),
        ("densenet121_3x3", 100, 7_048_548),
        ("densenet121_3x3", 200, 7_151_048),
        ("resnet18", 100, 11_227_812),
        ("resnet18", 200, 11_279_112),
        ("resnet18", 120, 11_238_072),
        ("resnet18", 67, 11_210_883),
        ("densenet121", 100, 7_056_356),
        ("densenet121", 200, 7_158_856),
        ("densenet121", 120, 7_076_856),
        ("densenet121", 67, 7_022_531),
    ],
)
def test_full_size_has_the_exact_number_of_trainable_parameters(architecture, classes, expected):
    settings = {"architecture": architecture, "width": None, "growth": None, "blocks": None}
    with torch.device("meta"):
        model = build(settings, classes)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == expected


@pytest.mark.parametrize("name", TORCHVISION)
def test_full_size_seven_by_seven_models_are_those_of_torchvision(name):
    torch.manual_seed(0)
    ours = build({"architecture": name}, 10)
    torch.manual_seed(0)
    theirs = TORCHVISION[name](weights=None, num_classes=10)
    # Same seed, same draws: keys, shapes and initial values must all agree.
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)
    images = torch.randn(2, 3, 64, 64)
    randomise_batch_norms(theirs)
    ours.load_state_dict(theirs.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


def test_explicit_full_size_is_the_default():
    with torch.device("meta"):
        for name, scale, blocks in [
            ("preact_resnet18", {"width": 64}, [2, 2, 2, 2]),
            ("resnet18", {"width": 64}, [2, 2, 2, 2]),
            ("densenet121", {"growth": 32}, [6, 12, 24, 16]),
            ("densenet121_3x3", {"growth": 32}, [6, 12, 24, 16]),
        ]:
            explicit = build({"architecture": name, "blocks": blocks} | scale, 3)
            assert shapes(explicit.state_dict()) == shapes(build({"architecture": name}, 3).state_dict())


def preact_logits(state: State, images: Tensor) -> Tensor:
    """PreAct ResNet in eval mode from its weights alone, every stride and shortcut written out."""

    def bn_relu(name: str, x: Tensor) -> Tensor:
        weight, bias, mean, var = (
            state[f"{name}.{key}"].view(1, -1, 1, 1)
            for key in ("weight", "bias", "running_mean", "running_var")
        )
        return ((x - mean) / (var + 1e-5).sqrt() * weight + bias).clamp(min=0)

    x = bn_relu("bn1", F.conv2d(images, state["conv1.weight"], padding=1))
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            active = bn_relu(f"{name}.bn1", x)
            x = F.conv2d(active, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            x = F.conv2d(bn_relu(f"{name}.bn2", x), state[f"{name}.conv2.weight"], padding=1)
            if stride == 2:
                active = F.conv2d(active, state[f"{name}.shortcut.weight"], stride=2)
            x = x + active
    return x.mean(dim=(2, 3)) @ state["fc.weight"].T + state["fc.bias"]


@pytest.mark.parametrize("size", [8, 32])
def test_preact_resnet_computes_the_published_block(size):
    model = build({"architecture": "preact_resnet18", "width": 4}, 5).double().eval()
    randomise_batch_norms(model)
    images = torch.randn(3, 3, size, size, dtype=torch.float64)
    torch.testing.assert_close(model(images), preact_logits(model.state_dict(), images))


def test_densenet_3x3_is_a_bare_stride_one_stem_before_torchvisions_dense_blocks():
    model, images = small("densenet121_3x3")
    model.eval()
    randomise_batch_norms(model)
    reference = torchvision.models.DenseNet(4, (1, 2, 2, 1), 8, num_classes=5).eval()
    missing = reference.load_state_dict(
        {key: value for key, value in model.state_dict().items() if "conv0" not in key}, strict=False
    )
    assert not missing.unexpected_keys
    assert {key.split(".")[1] for key in missing.missing_keys} == {"conv0", "norm0"}
    x = F.conv2d(images, model.state_dict()["features.conv0.weight"], stride=1, padding=1)
    for name, layer in reference.features.named_children():
        if name not in {"conv0", "norm0", "relu0", "pool0"}:
            x = layer(x)
    expected = reference.classifier(x.relu().mean(dim=(2, 3)))
    torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)


def test_a_narrow_resnet_divides_every_channel_of_torchvisions():
    full = shapes(torchvision.models.resnet18(num_classes=5).state_dict())
    narrow = shapes(build({"architecture": "resnet18", "width": 4}, 5).state_dict())

    def divided(key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        fixed = {"conv1.weight": {1}, "fc.weight": {0}, "fc.bias": {0}}.get(key, set())
        return tuple(n if i in fixed or i > 1 else n // 16 for i, n in enumerate(shape))

    assert narrow == {key: divided(key, shape) for key, shape in full.items()}


def test_a_narrow_resnet_strides_like_torchvisions():
    model, images = small("resnet18")
    sizes = {}
    for name in ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        layer = model.get_submodule(name)
        layer.register_forward_hook(lambda _m, _x, out, name=name: sizes.update({name: out.shape[1:]}))
    model(images)
    assert {name: tuple(shape) for name, shape in sizes.items()} == {
        "conv1": (4, 32, 32),
        "maxpool": (4, 16, 16),
        "layer1": (4, 16, 16),
        "layer2": (8, 8, 8),
        "layer3": (16, 4, 4),
        "layer4": (32, 2, 2),
    }


@pytest.mark.parametrize("width", [2, 64])
@pytest.mark.parametrize("name", ["preact_resnet18", "resnet18"])
def test_blocks_sets_the_depth_of_each_resnet_stage(name, width):
    with torch.device("meta"):
        model = build({"architecture": name, "width": width, "blocks": [1, 3, 2, 1]}, 5)
    assert [len(model.get_submodule(f"layer{stage}")) for stage in (1, 2, 3, 4)] == [1, 3, 2, 1]


@pytest.mark.parametrize("name", ["densenet121", "densenet121_3x3"])
def test_a_small_densenet_grows_as_its_settings_say(name):
    state = shapes(small(name)[0].state_dict())
    kernel = 3 if name.endswith("3x3") else 7
    assert state["features.conv0.weight"] == (8, 3, kernel, kernel)
    assert state["features.denseblock1.denselayer1.conv2.weight"] == (4, 16, 3, 3)
    # Growth 4 on blocks 1, 2, 2, 1, halved between them: 8+4=12 → 6+8=14 → 7+8=15 → 7+4=11.
    assert state["features.transition1.conv.weight"] == (6, 12, 1, 1)
    assert state["features.transition2.conv.weight"] == (7, 14, 1, 1)
    assert state["features.transition3.conv.weight"] == (7, 15, 1, 1)
    assert state["classifier.weight"] == (5, 11)


def weights_std(model: nn.Module, key: str) -> float:
    return model.state_dict()[key].std().item()


def test_initial_weights_have_the_spread_of_their_scheme():
    torch.manual_seed(0)
    preact = build({"architecture": "preact_resnet18", "width": 16}, 100)
    # torch's default is uniform with variance 1 / (3 fan_in); torchvision's are normal with 2 / fan.
    assert weights_std(preact, "layer2.1.conv1.weight") == pytest.approx(1 / sqrt(3 * 32 * 9), rel=0.05)
    assert weights_std(preact, "fc.weight") == pytest.approx(1 / sqrt(3 * 128), rel=0.05)
    resnet = build({"architecture": "resnet18", "width": 16}, 100)
    assert weights_std(resnet, "conv1.weight") == pytest.approx(sqrt(2 / (16 * 49)), rel=0.08)
    assert weights_std(resnet, "layer2.0.conv1.weight") == pytest.approx(sqrt(2 / (32 * 9)), rel=0.05)
    dense = build({"architecture": "densenet121_3x3", "growth": 32, "blocks": [1, 1, 1, 1]}, 10)
    assert weights_std(dense, "features.conv0.weight") == pytest.approx(sqrt(2 / (3 * 9)), rel=0.08)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_small_images_of_any_channels_give_logits_and_a_gradient_everywhere(name, channels):
    model, images = small(name, channels=channels)
    logits = model(images)
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    assert logits.shape == (4, 5)
    sizes = [p.grad.abs().sum() for p in model.parameters()]
    assert all(size.isfinite() and size > 0 for size in sizes)


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_autocast_in_channels_last_stays_close_to_float32(name):
    model, images = small(name)
    expected = model(images)
    model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), expected, rtol=0, atol=0.15)
    logits.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_channels_last_gives_the_same_logits(name):
    model, images = small(name)
    model.double().eval()
    expected = model(images.double())
    model.to(memory_format=torch.channels_last)
    logits = model(images.double().to(memory_format=torch.channels_last))
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("name", SMALL)
def test_full_size_models_run_on_a_gpu_they_never_saw(name):
    size = SMALL[name][1]
    with FakeTensorMode():
        with torch.device("cuda"):
            model = build({"architecture": name}, 100)
        logits, features = logits_and_features(model, torch.empty(2, 3, size, size, device="cuda"))
    assert logits.device.type == features.device.type == "cuda"
    assert logits.shape == (2, 100)
    assert features.shape == (2, 512 if "resnet" in name else 1024)


@pytest.mark.parametrize("name", SMALL)
def test_features_through_the_last_layer_are_the_logits(name):
    model, images = small(name)
    logits, features = logits_and_features(model.eval(), images)
    last = classifier(model)
    assert features.shape == (4, SMALL[name][2])
    torch.testing.assert_close(features @ last.weight.T + last.bias, logits)
    torch.testing.assert_close(logits, model(images))


def test_the_classifier_is_the_last_linear_layer_of_any_name():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 4)), nn.Identity())
    assert classifier(model) is model[1][1]
    with pytest.raises(ValueError, match="Identity has no linear layer"):
        classifier(nn.Identity())


def test_no_hook_is_left_behind():
    model, images = small("preact_resnet18")
    logits_and_features(model, images)
    assert not classifier(model)._forward_pre_hooks
    with pytest.raises(RuntimeError):
        logits_and_features(model, images[:, :2])
    assert not classifier(model)._forward_pre_hooks


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"architecture": "vgg16"}, ["architecture", "vgg16", "preact_resnet18", "densenet121_3x3"]),
        ({}, ["architecture", "None", "resnet18"]),
        ({"architecture": "densenet121", "width": 16}, ["width", "16", "densenet121", "growth"]),
        ({"architecture": "resnet18", "growth": 12}, ["growth", "12", "resnet18", "width"]),
        ({"architecture": "preact_resnet18", "width": 0}, ["width", "0", "at least 1"]),
        ({"architecture": "preact_resnet18", "width": 2.5}, ["width", "2.5", "at least 1"]),
        ({"architecture": "preact_resnet18", "width": True}, ["width", "True", "at least 1"]),
        ({"architecture": "densenet121_3x3", "growth": -4}, ["growth", "-4", "at least 1"]),
        ({"architecture": "resnet18", "blocks": [2, 2, 0, 2]}, ["blocks", "[2, 2, 0, 2]", "four"]),
        ({"architecture": "resnet18", "blocks": [2, 2, 2]}, ["blocks", "[2, 2, 2]", "four"]),
        ({"architecture": "densenet121", "blocks": 6}, ["blocks", "6", "four"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_found_and_what_is_allowed(settings, words):
    with pytest.raises(UserError) as error:
        build(settings, 10)
    assert all(word in str(error.value) for word in words)


def test_building_the_preact_resnet_never_imports_torchvision():
    code = (
        "import sys; from aikd.models import build;"
        "build({'architecture': 'preact_resnet18', 'width': 2}, 3); sys.exit('torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# BatchNorm folded into convolutions

FOLDED = {"preact_resnet18": 9, "resnet18": 20, "densenet121": 7, "densenet121_3x3": 6}
"""BatchNorms behind a convolution of the small versions: stem, and those between two convolutions."""


@pytest.mark.parametrize("name", SMALL)
def test_a_folded_network_says_what_the_network_says_in_eval_mode(name):
    model, images = small(name)
    randomise_batch_norms(model)
    frozen = folded(model.train())
    before, after = (sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in (model, frozen))
    assert before - after == FOLDED[name]
    found = frozen(images)
    assert model.training
    expected = model.eval()(images)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.1


def test_a_convolution_that_others_read_keeps_its_batch_norm():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y) + y

    model, images = Net(), torch.randn(2, 3, 4, 4)
    randomise_batch_norms(model)
    torch.testing.assert_close(folded(model)(images), model.eval()(images))
