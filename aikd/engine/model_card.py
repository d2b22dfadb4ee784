"""The README beside exported weights: facts alone, as the run's own files have them."""

from typing import Any

from aikd.engine.exported import Facts, Sight

SCHEMES = {
    "holdout": "fitted on training images that were held out",
    "oracle": "fitted on the whole evaluation set",
    "crossfit": "the mean of those fitted on parts of the evaluation set",
    "none": "not fitted: probabilities are the network's own",
}
SCORES = {
    "top1_error": "Top-1 error (%)",
    "top5_error": "Top-5 error (%)",
    "f1": "F1, macro",
    "ece": "ECE (%), raw",
    "ece_crossfit": "ECE (%), scaled by cross-fitted temperatures",
    "nll": "NLL, raw",
    "nll_crossfit": "NLL, scaled by cross-fitted temperatures",
}
NAMED = 20
"""Class names that are shown."""


def model_card(facts: Facts, terms: str | None, name: str, onnx: bool) -> str:
    """The text of the README of an export.

    Args:
        terms: of the data that it was trained on; none: not known.
        name: of the folder, for the commands shown.
        onnx: whether `model.onnx` is there.
    """
    settings = facts.provenance["settings"]
    parts = [
        f"# {settings['data']['name']}: {settings['model']['architecture']} trained by {settings['method']}",
        "An image classifier, exported by AI-KD, reproduced. It is the student after the last epoch of the run\n"
        f"`{facts.run}`.",
        _table(_facts(facts)),
        "## On its evaluation set",
        _scores(facts),
        "Metrics are those of one run, with one seed. The published data sets have no validation split: if settings "
        "were chosen by these metrics, they flatter.",
        "## Use",
        *_use(name, facts.model.get("extension", {}).get("file")),
        "Images are read as they are stored, EXIF rotation is not applied. Then:",
        "\n".join(f"{number}. {step}" for number, step in enumerate(steps(facts.transform), 1)),
        _scaling(facts),
        _onnx(facts) if onnx else "",
        "## Where it comes from",
        _table(_origin(facts, terms)),
        "`export.json` has all of this, and every setting of the run.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _use(name: str, extension: str | None) -> list[str]:
    """How to call it; with the file that has to be named where the network is an extension's."""
    option, argument = (
        (f" --extension {extension}", f", extensions=[{extension!r}]") if extension else ("", "")
    )
    return [
        f"```sh\naikd classify {name} IMAGE{option}\n```",
        f'```python\nfrom aikd.engine.exported import load\nmodel = load("{name}"{argument})\n'
        'model.classify("IMAGE")\n```',
        f"The network is that of `{extension}`, a program that did not come along; both run it."
        if extension
        else "",
    ]


def steps(sight: Sight) -> list[str]:
    """What is done with an image, in words."""
    found = ["convert to RGB; transparency is dropped, 16-bit grey scaled to 8 bits"]
    if sight.cut_bottom:
        found.append(f"cut the {sight.cut_bottom} bottom rows off")
    if sight.short_side:
        found.append(
            f"if the short side is longer, reduce it to {sight.short_side} pixels (Pillow, bilinear)"
        )
    if sight.resize:
        how = "rounded" if sight.rounded else "not rounded"
        found.append(
            f"resize the short side to {sight.resize} pixels (bilinear with antialiasing, {how}), unless it has them"
        )
    found.append(f"cut {sight.size} × {sight.size} pixels out of the centre")
    found.append(f"divide by 255, subtract {list(sight.mean)}, divide by {list(sight.std)}")
    return found


def _facts(facts: Facts) -> dict[str, Any]:
    names = facts.class_names
    shown = ", ".join(names[:NAMED]) + (", … (all in `export.json`)" if len(names) > NAMED else "")
    return {
        "classes": f"{len(names)}: {shown}",
        "input": f"{facts.transform.size} × {facts.transform.size} pixels, RGB",
        "parameters": f"{facts.provenance['parameters']:,}" if "parameters" in facts.provenance else None,
        "weights": f"`model.safetensors`, SHA-256 `{facts.weights}`",
        "arithmetic": facts.precision,
    }


def _scores(facts: Facts) -> str:
    there = {label: f"{facts.metrics[key]:.4g}" for key, label in SCORES.items() if key in facts.metrics}
    return _table({"images": f"{facts.metrics['images']:,}"} | there)


def _origin(facts: Facts, terms: str | None) -> dict[str, Any]:
    known = facts.provenance
    recipe = known["settings"]["recipe"]
    return {
        "method": known["settings"]["method"],
        "training images": f"{known['images']:,}" if "images" in known else None,
        "epochs": recipe["epochs"],
        "learning rate": _rate(recipe),
        "batch size": recipe["batch_size"],
        "seed": known["settings"]["seed"],
        "data": f"SHA-256 `{known['data']}`" if "data" in known else None,
        "terms of the data": terms,
        "superior model": f"SHA-256 `{known['superior']}`" if known.get("superior") else None,
        "code": f"revision `{known['revision']}`" if known.get("revision") else None,
        "versions": ", ".join(f"{name} {number}" for name, number in known.get("versions", {}).items())
        or None,
    }


def _rate(recipe: dict[str, Any]) -> str:
    """The learning rate, and where it falls: that of an epoch is divided once for each milestone before it."""
    rate, reached = f"{recipe['learning_rate']:g}", [m for m in recipe["milestones"] if m < recipe["epochs"]]
    after = ", ".join(map(str, reached))
    return f"{rate}, times {recipe['decay']:g} after epoch {after}" if after else rate


def _scaling(facts: Facts) -> str:
    scaled = facts.temperature
    return f"Logits are divided by {scaled.value:.6g} ({SCHEMES[scaled.scheme]}) before the softmax."


def _onnx(facts: Facts) -> str:
    size = facts.transform.size
    return (
        f"`model.onnx` takes `images`, float32 [N, 3, {size}, {size}]: RGB in 0..255 after the centre crop. Dividing "
        "by 255, mean and standard deviation are inside it. It gives `logits` [N, C], and `probabilities` [N, C], "
        "for which the logits are divided by the temperature."
    )


def _table(rows: dict[str, Any]) -> str:
    lines = ["| | |", "|---|---|"]
    lines += [f"| {key} | {_cell(value)} |" for key, value in rows.items() if value is not None]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
