"""From a finished run to a folder that holds its student and all that is needed to use it."""

from pathlib import Path
from typing import Any

from aikd.calibration import at_bound
from aikd.engine.archives import load_sources
from aikd.engine.exported import FACTS, FORMAT, Exported, Facts, Sight, Temperature, load
from aikd.engine.jobs import check_data, open_data
from aikd.engine.model_card import model_card
from aikd.engine.models import load_trained, trained_settings
from aikd.engine.pixels import on_host
from aikd.engine.sources.layouts import LAYOUTS
from aikd.engine.store import Packed, Prepared
from aikd.errors import UserError
from aikd.files import new_folder, refuse_existing, write_json, write_text
from aikd.records import file_digest, read_metrics, read_summary
from aikd.study.catalogue import Transform
from aikd.study.check import check_run
from aikd.study.layout import METRICS, MODEL, RUNS, SUMMARY
from aikd.study.resolve import resolve_data
from aikd.study.run import Run
from aikd.study.schema import Study
from aikd.study.why import otherwise

CARD = "README.md"
ONNX = "model.onnx"
FEW = 500
"""Images below which a temperature fitted on them is remarked upon. Fitted on so many, of 10 classes, it is off by a
sixth where one image in 25 is wrong, and by less where more are (root mean square, simulated); fitted on 100 it can be
anything, and on 5,000 it is right within a twentieth."""
NOTED = ("epochs", "images", "parameters", "data", "superior", "revision", "versions", "precision", "device")
"""What of a run's summary goes along as provenance."""


def export(
    study: Study,
    run: str,
    results: Path,
    data: Path,
    target: Path,
    scheme: str | None = None,
    onnx: bool = False,
) -> Exported:
    """Write a run's student to the new folder `target`; returns it as loaded from there.

    Args:
        study: the one that the run was trained by: it says how images were prepared.
        results: the study's results.
        data: folder of all prepared data.
        scheme: which temperature to take, see `aikd.calibration`, or `none`; None: that of the images held out where
            there are such, else the one fitted on the whole evaluation set.
        onnx: write the network as ONNX, too.

    Raises:
        UserError: the run is not finished, a file of it is damaged, it was not trained as the study says, the
            temperature is not there, the ONNX libraries are not installed, or something is at `target` already.
    """
    refuse_existing(target)
    if onnx:
        from aikd.engine.to_onnx import require

        require()
    check_run(study, Run.from_path(run))
    settings = trained_settings(results, run)
    if why := otherwise(study, Run.from_path(run), settings):
        raise UserError(
            f"{results / RUNS / run / SUMMARY}: {why}; train the run again, or name with --study the study that it was "
            "trained by"
        )
    prepared = open_data(settings, data)
    check_data(results, run, prepared)
    facts = describe(study, settings, prepared, results, scheme)
    load_trained(results, settings, prepared)  # refuses weights that are not those of the run
    with new_folder(target) as folder:
        (folder / MODEL).write_bytes((results / RUNS / run / MODEL).read_bytes())
        write_json(folder / FACTS, facts.model_dump(mode="json"))
        if onnx:
            from aikd.engine.to_onnx import write_onnx

            write_onnx(load(folder, "cpu"), folder / ONNX)
        write_text(folder / CARD, model_card(facts, _terms(settings["data"]["name"]), target.name, onnx))
        return load(folder)


def describe(
    study: Study, settings: dict[str, Any], prepared: Prepared, results: Path, scheme: str | None
) -> Facts:
    """What `export.json` says of a run.

    Raises:
        UserError: as `export`.
    """
    run = settings["run"]
    summary, metrics = read_summary(results, run) or {}, read_metrics(results, run)
    if metrics is None:
        raise UserError(
            f"{results / RUNS / run / METRICS}: no such file; predict and calibrate the run first"
        )
    return Facts(
        format=FORMAT,
        run=run,
        model=settings["model"],
        weights=file_digest(results / RUNS / run / MODEL),
        class_names=prepared.manifest["class_names"],
        transform=sight(study, settings, prepared),
        temperature=temperature(metrics, scheme),
        precision=settings["recipe"]["precision"],
        channels_last=settings["recipe"]["channels_last"],
        metrics={"images": metrics["images"]} | metrics["metrics"],
        provenance={"settings": settings}
        | {key: summary[key] for key in NOTED if key in summary}
        | {"source": prepared.manifest["source"]},
    )


def sight(study: Study, settings: dict[str, Any], prepared: Prepared) -> Sight:
    """What preparation and evaluation together do with an image file."""
    name = settings["data"]["name"]
    transform = Transform.model_validate(settings["data"]["transform"])
    images = prepared.images("test")
    sides = images.sizes.min(1) if isinstance(images, Packed) else [min(images.shape[2:])]
    # Where all images had one short side, and so evaluation need not resize, images of other sizes are brought to it.
    common = int(sides[0]) if len(set(sides)) == 1 else None
    return Sight(
        cut_bottom=layout.cut_bottom if (layout := LAYOUTS.get(name)) else 0,
        short_side=resolve_data(study, name)["sides"]["test"],
        resize=transform.resize or common,
        rounded=on_host(images, transform),
        size=transform.size,
        mean=transform.mean or prepared.manifest["mean"],
        std=transform.std or prepared.manifest["std"],
    )


def temperature(metrics: dict[str, Any], scheme: str | None) -> Temperature:
    """The fitted temperature to use; 1 where what was fitted is an end of the range and so fits nothing.

    Raises:
        UserError: the run has none of that scheme.
    """
    fitted = metrics.get("temperatures", {})
    if scheme == "none":
        return Temperature(value=1.0, scheme="none")
    chosen = scheme or ("holdout" if "holdout" in fitted else "oracle")
    if chosen not in fitted:
        there = ", ".join([*fitted, "none"])
        raise UserError(f"--temperature: the run has none of {chosen!r}; allowed: {there}")
    values = fitted[chosen] if isinstance(fitted[chosen], list) else [fitted[chosen]]
    if at_bound(*values):
        return Temperature(value=1.0, scheme="none")
    return Temperature(value=sum(values) / len(values), scheme=chosen)


def fitted_on(facts: Facts) -> int:
    """Images that the temperature of an export was fitted on; 0 where it was fitted on none."""
    match facts.temperature.scheme:
        case "none":
            return 0
        case "holdout":
            per_class: int = facts.provenance["settings"]["data"]["holdout_per_class"]
            return per_class * len(facts.class_names)
        case _:
            images: int = facts.metrics["images"]
            return images


def _terms(dataset: str) -> str | None:
    source = load_sources().get(dataset)
    return f"{source.terms} ({source.terms_from})" if source else None
