"""Every mistake in a study gets one line: the key with its full path, what was found, what is allowed."""

import json
import re
from typing import Any

import pytest
import yaml

from aikd.engine.sharing.contents import Contents
from aikd.errors import UserError
from aikd.study.explain import IN_WORDS
from aikd.study.load import check_study
from aikd.study.schema import Study
from tests.conftest import GONE, PAPER, changed, parsed

# What is changed in the paper's study (`gone`: the key is taken away), and what the message then is (…: anything).
MISTAKES = """
# Unknown keys, on every level
recpe = {} → recpe: unknown key (did you mean 'recipe'?); allowed: augmentations, calibration, compile, data…
recipe/epoch = 3 → recipe.epoch: unknown key (did you mean 'epochs'?); allowed: batch_size, …, weight_decay
data/mit67/model = [] → data.mit67.model: unknown key (did you mean 'models'?)…images_per_class…
data/mit67/recipe/epoch = 3 → data.mit67.recipe.epoch: unknown key (did you mean 'epochs'?)…
data/mit67/transform/sise = 3 → data.mit67.transform.sise: unknown key (did you mean 'size'?); allowed: crop, flip…
models/resnet18/widht = 8 → models.resnet18.widht: unknown key (did you mean 'width'?)…label, settings, width
methods/cskd/setings = {} → methods.cskd.setings: unknown key (did you mean 'settings'?)…
methods/cskd/when/0/mdels = [] → methods.cskd.when.0.mdels: unknown key (did you mean 'models'?)…
augmentations/cutot = {} → augmentations.cutot: unknown key (did you mean 'cutout'?)…cutmix, cutout, mixup, standard
augmentations/standard/x = 1 → augmentations.standard.x: unknown key; allowed: no key
calibration/bin = 10 → calibration.bin: unknown key (did you mean 'bins'?); allowed: bins, folds, scheme
tables/table_2/metric = [] → tables.table_2.metric: unknown key (did you mean 'metrics'?)…calibrated, caption, data…
tables/table_5/rows/0/setings = {} → tables.table_5.rows.0.setings: unknown key (did you mean 'settings'?)…label…
figures/figure_7a/x/lable = '' → figures.figure_7a.x.lable: unknown key (did you mean 'label'?)…setting, values
figures/figure_7b/axes/1/z = 1 → figures.figure_7b.axes.1.z: unknown key; allowed: label, setting, values

# Unknown settings
methods/aikd/settings = {omga: 1} → methods.aikd.settings.omga: unknown key (did you mean 'omega'?)…tau_g, tau_p
methods/aikd/settings/critic = {nrm: 1} → methods.aikd.settings.critic.nrm: unknown key (did you mean 'norm'?)…
methods/aikd/settings = {critic.nrm: 1} → methods.aikd.settings.critic.nrm: unknown key (did you mean 'norm'?)…
methods/aikd/settings = {1: 1} → methods.aikd.settings.1: found 1, but it should be text
methods/baseline/settings = {omega: 1} → methods.baseline.settings.omega: unknown key; allowed: no key
methods/baseline/settings = {omega: {}} → methods.baseline.settings.omega: unknown key; allowed: no key
methods/cskd/when/0/settings = {wight: 1} → methods.cskd.when.0.settings.wight: unknown key (did you mean 'weight'?)…
tables/table_5/rows/1/settings = {omga: 1} → tables.table_5.rows.1.settings.omga: unknown key…'omega'…
tables/table_5/settings = [omga] → tables.table_5.settings: found "omga" (did you mean 'omega'?)…critic.fc1…
figures/figure_7a/y/setting = critic → figures.figure_7a.y.setting: found "critic"…critic.fc1…
figures/figure_7b/axes/1/setting = tau → figures.figure_7b.axes.1.setting: found "tau" (did you mean 'tau_p…

# Unknown names
data/cifar10 = {models: [resnet18]} → data (any other name needs a `folder`): found "cifar10"…'cifar100'?)…digits
data/mit67/models = [resnet] → data.mit67.models: found "resnet" (did you mean 'resnet18'?)…densenet121_3x3…
models/vgg = {label: V} → models.vgg (a model without `architecture` is named after one): found "vgg"…resnet18…
models/a = {label: A, architecture: resnet} → models.a.architecture: found "resnet" (did you mean 'resnet18'?)…
methods/akd = {} → methods.akd: found "akd" (did you mean 'aikd'?); allowed: baseline, cskd, tfkd, pskd, aikd
methods/mine = {method: akd} → methods.mine.method: found "akd" (did you mean 'aikd'?); allowed: baseline, cskd…
methods/cskd/when/0/category = fine → methods.cskd.when.0.category: found "fine"; allowed: coarse, fine-grained
methods/cskd/when/0/data = [cifar] → methods.cskd.when.0.data: found "cifar" (did you mean 'cifar100'?)…
methods/tfkd/when/0/models = [dense] → methods.tfkd.when.0.models: found "dense"…densenet121_3x3…
recipe/precision = fp64 → recipe.precision: found "fp64" (did you mean 'fp16'?); allowed: fp32, bf16, fp16
data/mit67/transform/crop = random → data.mit67.transform.crop: found "random"; allowed: padded, resized
calibration/scheme = cross → calibration.scheme: found "cross" (did you mean 'crossfit'?)…oracle, holdout
calibration/scheme = none → calibration.scheme: found "none"; allowed: crossfit, oracle, holdout
tables/table_2/kind = comparisn → tables.table_2.kind: found "comparisn" (did you mean 'comparison'?)…ablation
figures/figure_4/kind = ablation → figures.figure_4.kind: found "ablation"; allowed: reliability…curves, learning
tables/table_2/metrics/0 = top1 → tables.table_2.metrics.0: found "top1"; allowed: top1_error, top5_error, f1…
figures/figure_7a/metric = acc → figures.figure_7a.metric: found "acc"; allowed: top1_error…brier…
tables/table_2/data = [cifar] → tables.table_2.data: found "cifar" (did you mean 'cifar100'?)…fgvc_aircraft
tables/table_2/data = [digits] → tables.table_2.data: found "digits"; allowed: cifar100, tiny_imagenet…
tables/table_2/methods = [akd] → tables.table_2.methods: found "akd" (did you mean 'aikd'?); allowed: baseline, cskd…
data/cifar100/transform = {size: 40} → data.cifar100.transform.size: found 40, but a centre crop of that size…32 pixels…
data/cub200/transform = {crop: padded} → data.cub200.transform.crop: found "padded", but the images of cub200 differ…
tables/table_2/calibrated = [aikd] → tables.table_2.calibrated: has rows only in blocks of ece, gap, nll, brier…
tables/table_5/rows/0 = {label: A, settings: {omega: 0}} → tables.table_5.rows.0.label: the table's rows are called…
tables/table_3/calibrated = [akd] → tables.table_3.calibrated: found "akd" (did you mean 'aikd'?)…
tables/table_5/data = cifar → tables.table_5.data: found "cifar" (did you mean 'cifar100'?)…
tables/table_5/method = akd → tables.table_5.method: found "akd" (did you mean 'aikd'?)…
tables/table_5/model = vgg → tables.table_5.model: found "vgg"; allowed: preact_resnet18, densenet121…
tables/table_5/model = resnet18 → tables.table_5.model (on data.cifar100)…preact_resnet18, densenet121_3x3
tables/table_5/rows/2/method = akd → tables.table_5.rows.2.method: found "akd" (did you mean 'aikd'?)…
tables/table_5/rows/2/augmentation = mix → tables.table_5.rows.2.augmentation: found "mix"…standard, cutout, mixup…
figures/figure_6/model = preact_resnet18 → figures.figure_6.model (on data.cub200)…resnet18, densenet121
figures/figure_4/family = ResNet18 → figures.figure_4.family: found "ResNet18" (did you mean 'ResNet-18'?)…
methods = {baseline: {}} → tables.table_3.calibrated: found "aikd"; allowed: baseline

# Wrong types and values
recipe = null → recipe: found null, but it should be a mapping of keys
recipe = [1] → recipe: found [1], but it should be a mapping of keys
recipe/learning_rate = true → recipe.learning_rate: found true, but it should be a number
recipe/learning_rate = fast → recipe.learning_rate: found "fast", but it should be a number
recipe/learning_rate = null → recipe.learning_rate: found null, but it should be a number
recipe/learning_rate = 0 → recipe.learning_rate: found 0, but it should be greater than 0
recipe/learning_rate = .inf → recipe.learning_rate: found Infinity, but it should be a finite number
recipe/momentum = .nan → recipe.momentum: found NaN, but it should be a finite number
recipe/momentum = 1.5 → recipe.momentum: found 1.5, but it should be less than or equal to 1
recipe/weight_decay = 2024-01-31 → recipe.weight_decay: found "2024-01-31", but it should be a number
recipe/epochs = true → recipe.epochs: found true, but it should be a whole number
recipe/epochs = 2.5 → recipe.epochs: found 2.5, but it should be a whole number
recipe/epochs = 0 → recipe.epochs: found 0, but it should be greater than or equal to 1
recipe/nesterov = 1 → recipe.nesterov: found 1, but it should be true or false
recipe/milestones = 150 → recipe.milestones: found 150, but it should be a list
recipe/milestones/1 = late → recipe.milestones.1: found "late", but it should be a whole number
data/mit67 = null → data.mit67: found null, but it should be a mapping of keys
data/mit67/models = resnet18 → data.mit67.models: found "resnet18", but it should be a list
data/mit67/models = [] → data.mit67.models: found [], but list should have at least 1 item, not 0
data/mit67/recipe = [] → data.mit67.recipe: found [], but it should be a mapping of keys
data/mit67/recipe/epochs = -1 → data.mit67.recipe.epochs: found -1, but it should be greater than or equal to 1
data/mit67/images_per_class = 0 → data.mit67.images_per_class: found 0, but it should be greater than or equal to 1
data/mit67/transform = {mean: [0, 0], std: [1, 1, 1]} → data.mit67.transform.mean.2: missing, and required
models/resnet18/label = 18 → models.resnet18.label: found 18, but it should be text
models/resnet18/blocks = [1, 1] → models.resnet18.blocks: found [1, 1], but…at least 4 items, not 2
models/resnet18/blocks = [1, 1, 1, 1, 1] → models.resnet18.blocks: found [1, 1, 1, 1, 1]…at most 4 items, not 5
models/resnet18/blocks = [1, 1, 1, 9999] → models.resnet18.blocks.3: found 9999, but…less than or equal to 1000
methods/aikd/settings = [1] → methods.aikd.settings: found [1], but it should be a mapping of keys
methods/aikd/settings = {omega: true} → methods.aikd.settings.omega: found true, but it should be a number
methods/aikd/settings = {omega: -1} → methods.aikd.settings.omega: found -1, but…greater than or equal to 0
methods/aikd/settings = {omega: {}} → methods.aikd.settings.omega: found {}, but it should be a number
methods/aikd/settings = {critic: 3} → methods.aikd.settings.critic: found 3, but it should be a mapping of keys
methods/aikd/settings = {critic.fc1: 3.5} → methods.aikd.settings.critic.fc1: found 3.5, but…a whole number
methods/aikd/settings = {critic.norm: bach} → methods.aikd.settings.critic.norm: found "bach"…'batch'…layer, none
methods/cskd/when = {} → methods.cskd.when: found {}, but it should be a list
methods/cskd/when/0/data = [] → methods.cskd.when.0.data: found [], but list should have at least 1 item, not 0
calibration/folds = 1 → calibration.folds: found 1, but it should be greater than or equal to 2
augmentations/cutout/side = 0 → augmentations.cutout.side: found 0, but it should be greater than or equal to 1
tables/table_2 = null → tables.table_2: found null, but it should be a mapping of keys
tables/table_2/kind = [a] → tables.table_2.kind: found…allowed: datasets, comparison, ablation
tables/table_2/metrics = [f1, holdout_top1_error] → tables.table_2.metrics.1: needs held-out images, but data.cif…0
figures/figure_7a/metric = holdout_top5_error → figures.figure_7a.metric: needs held-out images…holdout_per_class is 0
tables/table_2/metrics = [] → tables.table_2.metrics: found [], but list should have at least 1 item, not 0
tables/table_2/metrics = f1 → tables.table_2.metrics: found "f1", but it should be a list
tables/table_2/data = [] → tables.table_2.data: found [], but list should have at least 1 item, not 0
tables/table_5/rows = [] → tables.table_5.rows: found [], but list should have at least 1 item, not 0
tables/table_5/rows/0 = null → tables.table_5.rows.0: found null, but it should be a mapping of keys
figures/figure_6/classes = 0 → figures.figure_6.classes: found 0, but it should be greater than or equal to 1
figures/figure_7a/x/values = [] → figures.figure_7a.x.values: found [], but list should have at least 1 item, not 0
figures/figure_7a/x/values/1 = [] → figures.figure_7a.x.values.1: found []; allowed: a number, text, true or false
figures/figure_7a/x/values/1 = 0 → figures.figure_7a: aikd settings.critic.fc1: found 0, but…equal to 1
figures/figure_7b/axes/0/values/1 = high → figures.figure_7b.axes.0.values.1: found "high"; a curve…numbers
extensions = my.py → extensions: found "my.py", but it should be a list
extensions = [1] → extensions.0: found 1, but it should be text
threads = 0 → threads: found 0, but it should be greater than or equal to 1
evaluate_every = 1.5 → evaluate_every: found 1.5, but it should be a whole number

# Labels and captions
methods/aikd/label = '' → methods.aikd.label: found "", but a label should have characters that can be seen
models/resnet18/label = ' ' → models.resnet18.label: found " ", but a label should have characters that can be seen
data/mit67/label = '' → data.mit67.label: found "", but a label should have characters that can be seen
tables/table_5/rows/0/label = '' → tables.table_5.rows.0.label: found "", but a label should have characters…
figures/figure_7a/x/label = '' → figures.figure_7a.x.label: found "", but a label should have characters…
methods/aikd/label = "AI\\aKD" → methods.aikd.label: found "AI\\u0007KD", but…without control characters (U+0007)
methods/aikd/label = "AI\\nKD" → methods.aikd.label: found "AI\\nKD", but…without control characters (U+000A)
tables/table_2/caption = "a\\eb" → tables.table_2.caption: found "a\\u001bb", but…without control characters (U+001B)
figures/figure_4/caption = "a\\x85b" → figures.figure_4.caption: found…without control characters (U+0085)
methods/mine = {method: aikd} → methods.mine.label: "AI-KD" is that of methods.aikd, too; give each method its own
methods/cskd/label = 'AI-KD ' → methods.aikd.label: "AI-KD" is that of methods.cskd, too; give each method its own
data/mit67/label = CIFAR-100 → data.mit67.label: "CIFAR-100" is that of data.cifar100, too; give each data set its own

# Names become folders
name = ../x → name: found "../x", but it should begin with a lower-case letter or digit, and go on with these and _ only
tables/Table 2 = {kind: datasets} → tables.Table 2: found "Table 2", but it should begin with a lower-case letter…

# Missing
name = gone → name: missing, and required
data = gone → data: missing, and required
data = {} → data: found {}, but dictionary should have at least 1 item, not 0
models/resnet18/label = gone → models.resnet18.label: missing, and required
methods/cskd/when/0/settings = gone → methods.cskd.when.0.settings: missing, and required
tables/table_2/kind = gone → tables.table_2.kind: missing, and required
tables/table_2/metrics = gone → tables.table_2.metrics: missing, and required
figures/figure_7a/x = gone → figures.figure_7a.x: missing, and required

# Seeds
seeds = [] → seeds: found [], but list should have at least 1 item, not 0
seeds = null → seeds: found null, but it should be a list
seeds = 3 → seeds: found 3, but it should be a list
seeds = [0, 1, 0] → seeds: found [0, 1, 0]; each seed may stand once
seeds = [-1] → seeds.0: found -1, but it should be greater than or equal to 0
seeds = [0, true] → seeds.1: found true, but it should be a whole number
seeds = [0, 1.0] → seeds.1: found 1.0, but it should be a whole number

# What only goes wrong together
recipe/milestones = [150, 300] → recipe: milestones [150, 300] must rise and lie below epochs (300): give both…
recipe/milestones = [225, 150] → recipe: milestones [225, 150] must rise…
recipe/milestones = [150, 150] → recipe: milestones [150, 150] must rise…
recipe/epochs = 100 → recipe: milestones [150, 225] must rise and lie below epochs (100): give both…
data/mit67/recipe/epochs = 9 → data.mit67.recipe: milestones [150, 225] must rise and lie below epochs (9)…
recipe/momentum = 0 → recipe: nesterov needs a momentum above 0
data/cifar100/transform/mean = [0, 0, 0] → data.cifar100.transform: mean and std are given together or not at all
data/mit67/models = [resnet18, preact_resnet18] → data.mit67.models: two models share a label (ResNet-18…
models/densenet121/width = 8 → models.densenet121.width: densenet121 has none; it is scaled by growth and blocks
models/resnet18/settings = {depth: 3} → models.resnet18.settings: resnet18 has none; it is scaled by width and blocks
models/resnet18/growth = 8 → models.resnet18.growth: resnet18 has none; it is scaled by width and blocks
calibration/scheme = holdout → data.cifar100.holdout_per_class: found 0, but calibration.scheme is holdout…
methods/aikd/settings = {alpha_p: 0.9, alpha_g: 0.2} → methods.aikd.settings: the weights must sum to 1: …leave -0.1…
methods/aikd/settings = {alpha_ce: 0.5} → methods.aikd.settings: the weights must sum to 1: alpha_ce 0.5…= 0.9
tables/table_5/rows/0/settings = {alpha_p: 1} → tables.table_5.rows.0.settings: the weights must sum to 1: alpha_p 1…
figures/figure_7b/axes/0 = {setting: alpha_g, values: [0.8]} → figures.figure_7b: …the weights must sum to 1: …
methods/aikd/settings = {critic.fc1: 3, critic: {fc1: 4}} → methods.aikd.settings: 'critic.fc1' is given more than once
figures/figure_7a/y/setting = critic.fc1 → figures.figure_7a.y.setting: found "critic.fc1" on both axes…
tables/table_4/rows/1/label = AI-KD → tables.table_4.rows.1: "AI-KD" is what rows.0 is called, too; give each…own label
tables/table_5/rows/2/settings = {omega: 0.01} → tables.table_5.rows.2: "…" is what rows.…; give each…own settings that…
tables/figure_4 = {kind: datasets} → figures.figure_4: a table has this name; each table and figure needs its own
name = runs → name: found "runs", which is a folder of the paper's results; choose another
recipe/batch_size = 1 → recipe.batch_size: found 1, but it should be greater than or equal to 2
data/cub200/counts = {classes: 1, train: 9, test: 9} → data.cub200.counts.classes: found 1, but it should be gre…to 2
tables/train = {kind: datasets} → train: a step of the workflow has this name; a table or figure needs another
"""

LINES = [line for line in MISTAKES.splitlines() if line and not line.startswith("#")]


def message_for(changes: dict[str, Any]) -> str:
    with pytest.raises(UserError) as error:
        check_study(changed(parsed(PAPER), changes))
    return str(error.value)


@pytest.mark.parametrize("line", LINES, ids=[line.split(" → ")[0] for line in LINES])
def test_a_mistake_is_named_in_one_line(line: str) -> None:
    change, expected = line.split(" → ")
    place, text = change.split(" = ")
    message = message_for({place: GONE if text == "gone" else yaml.safe_load(text)})
    pattern = ".*".join(map(re.escape, expected.split("…")))
    assert re.fullmatch(pattern, message), message


def test_a_family_that_none_of_the_shown_data_sets_has_is_refused() -> None:
    assert message_for({"figures/figure_4/family": "VGG"}).startswith(
        'figures.figure_4.family: found "VGG"; allowed: '
    )
    # One that would be left out of the figure is enough.
    message = message_for(
        {"data/mit67/models": ["densenet121"], "figures/figure_4/data": ["cub200", "mit67"]}
    )
    assert message.startswith('figures.figure_4.family (on data.mit67): found "ResNet-18"')
    assert message.endswith("allowed: DenseNet-121")


def test_a_line_break_in_a_key_does_not_break_the_message() -> None:
    assert message_for({"a\nb": 1}).startswith("a\\nb: unknown key")


def test_a_caption_may_have_lines() -> None:
    caption = (
        check_study(changed(parsed(PAPER), {"tables/table_2/caption": "One\n\ttwo.\n"}))
        .tables["table_2"]
        .caption
    )
    assert caption == "One\n\ttwo.\n"


def test_a_long_value_is_cut_short() -> None:
    assert (
        message_for({"name": "a" * 1000})
        == f'name: found "{"a" * 76}…, but string should have at most 64 characters'
    )
    assert len(message_for({"recipe/learning_rate": 10**400})) < 200


def test_every_mistake_that_the_schema_can_see_is_named_at_once() -> None:
    changes = {"recipe/epoch": 3, "seeds/0": "first", "name": GONE, "figures/figure_4/kind": 4}
    with pytest.raises(UserError) as error:
        check_study(changed(parsed(PAPER), changes) | {7: 8})
    keys = [line.split(":")[0] for line in str(error.value).splitlines()]
    assert sorted(keys) == ["7", "figures.figure_4.kind", "name", "recipe.epoch", "seeds.0"]


@pytest.mark.parametrize("data", [None, [], "paper", 3, [{"name": "paper"}]])
def test_a_study_that_is_no_mapping_is_refused(data: Any) -> None:
    with pytest.raises(UserError, match="a study is a mapping of keys, found"):
        check_study(data)


def test_every_pattern_that_a_text_must_match_has_words() -> None:
    schemas = json.dumps([model.model_json_schema() for model in (Study, Contents)])
    patterns = set(re.findall(r'"pattern": "(.+?)"', schemas))
    assert len(patterns) == 2
    assert patterns <= IN_WORDS.keys()
