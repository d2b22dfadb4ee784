"""Commands that hand on what was made: one student for use, or all results of a study."""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from aikd.commands.arguments import DATA, RUN, STUDY, TO, Adder, positive, run_of, shared
from aikd.errors import UserError
from aikd.messages import say, shown, shown_json

SHOWN = 3
"""Runs that are named of those left out for one reason."""

TEMPERATURES = ("holdout", "oracle", "crossfit", "none")


def export(options: argparse.Namespace) -> None:
    """Write a run's student into a new folder, with all that is needed to use it."""
    from aikd.engine.exporting import FEW, fitted_on
    from aikd.engine.exporting import export as write
    from aikd.study.load import load_study

    study = load_study(options.study)
    run = run_of(study, options.study, options.run).path
    results = options.results or study.results
    facts = write(study, run, results, options.data, options.to, options.temperature, options.onnx).facts
    scaled = facts.temperature
    say(
        f"{run}: {len(facts.class_names)} classes, temperature {scaled.value:.6g} ({scaled.scheme}), in {options.to}"
    )
    if scaled.scheme == "none" and options.temperature != "none":
        say(f"{run}: what was fitted is an end of the range and so no temperature; logits are not scaled")
    if 0 < (images := fitted_on(facts)) < FEW:
        say(
            f"{run}: its temperature comes from {images:,} images; from fewer than {FEW} it is easily off by a tenth"
        )


def classify(options: argparse.Namespace) -> None:
    """Say what image files show, by an exported student: the likeliest classes with calibrated probabilities."""
    from aikd.engine.exported import load

    model = load(options.folder, extensions=options.extension)
    images = list(_images(options.images))
    bad = 0
    for image, found in model.classify_all(images, options.top):
        name = str(image).encode(errors="backslashreplace").decode()  # a name need not be text
        if isinstance(found, UserError):
            bad += 1
            say(f"aikd classify: {shown(str(found))}")
        elif options.json:
            classes = [{"name": g.name, "label": g.label, "probability": g.probability} for g in found]
            print(shown_json(json.dumps({"image": name, "classes": classes}, ensure_ascii=False)))
        else:
            print(shown(name), *(f"{100 * g.probability:6.1f} %  {shown(g.name)}" for g in found), sep="\n")
    if bad:
        raise UserError(f"{bad:,} of {len(images):,} images could not be classified")


def archive(options: argparse.Namespace) -> None:
    """Pack a study's finished runs into one file, from which tables and figures are made again without training."""
    from aikd.engine.sharing.packing import pack, without_manifest
    from aikd.study.load import load_study

    contents = pack(
        options.study, options.results, options.data, options.to,
        models=options.models, all_predictions=options.predictions == "all",
    )  # fmt: skip
    for line in _left_out(contents.left_out):
        say(line)
    for name in without_manifest(load_study(options.study), options.data):
        say(f"left out: data.{name}: not prepared here, so a table of data sets will want to prepare it")
    unpacked, packed = sum(file.size for file in contents.files.values()), options.to.stat().st_size
    say(
        f"{options.to}: {len(contents.runs):,} of {contents.wanted:,} runs of {contents.study}, "
        f"{unpacked / 1e6:,.1f} MB in {packed / 1e6:,.1f} MB"
    )


def unpack(options: argparse.Namespace) -> None:
    """Put the results that are in an archive where they belong, after comparing all of them with their hashes."""
    from aikd.engine.sharing.contents import study_file
    from aikd.engine.sharing.unpacking import unpack as put

    done = put(options.archive, options.to)
    contents = done.contents
    say(
        f"{contents.study}: {len(contents.runs):,} of {contents.wanted:,} runs, {len(done.written):,} files written "
        f"below {options.to}, {done.kept:,} were there already"
    )
    if contents.no_predictions:
        say(f"without the predictions of {len(contents.no_predictions):,} of them")
    complete = [name for name, lacking in contents.targets.items() if not lacking]
    if contents.left_out:
        say(f"{len(contents.left_out):,} runs are not in it, so Snakemake would train them")
    if lacks := [f"{name} lacks {lacking:,}" for name, lacking in contents.targets.items() if lacking]:
        say(f"complete without them: {', '.join(complete) or 'nothing'}; not complete: {', '.join(lacks)}")
    if not (options.to / "Snakefile").is_file():
        say(
            f"{options.to}: no checkout of the project (no Snakefile), so nothing can be made of the results there"
        )
    if done.extensions:
        say(
            f"WARNING: this study runs these files of yours: {', '.join(map(shown, done.extensions))}; none of them is "
            "from the archive. The next command runs them, and so does `aikd check`: read them first"
        )
    where = "" if options.to == Path() else f" in {options.to}"
    what, targets = (
        ("what is complete", f"{' '.join(complete)} ")
        if lacks and complete
        else ("all tables and figures", "")
    )
    say(f"{what}{where}: snakemake {targets}--cores 2 --configfile {study_file(contents.results)}")


def _left_out(runs: Mapping[str, str]) -> Iterator[str]:
    """Runs that are not taken, counted by why."""
    groups: dict[str, list[str]] = {}
    for run, why in runs.items():
        groups.setdefault(why, []).append(run)
    for why, some in groups.items():
        if len(some) == 1:
            yield f"left out: {some[0]}: {why}"
            continue
        yield f"left out: {len(some):,} runs: {why}"
        yield from (f"    {run}" for run in some[:SHOWN])
        if len(some) > SHOWN:
            yield f"    and {len(some) - SHOWN:,} more"


def _images(paths: list[Path]) -> Iterator[Path]:
    """Files as they are named, and the images in folders, however deep, by name; hidden ones are passed over."""
    from aikd.study.folders import EXTENSIONS

    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        visible = [f for f in inside if not any(part.startswith(".") for part in f.relative_to(path).parts)]
        images = [file for file in visible if file.suffix.lower() in EXTENSIONS]
        endings = f"images end in {', '.join(EXTENSIONS)}"
        if not images:
            raise UserError(f"{path}: no image in this folder; {endings}")
        if passed := len(visible) - len(images):
            say(f"aikd classify: {shown(str(path))}: {passed:,} files passed over by their names; {endings}")
        yield from images


def add(command: Adder) -> None:
    """Add the commands to the command line."""
    results = shared("--results", type=Path, help="the study's results (where the study puts them)")
    c = command(export, RUN, STUDY, results, DATA, TO)
    c.add_argument(
        "--temperature", choices=TEMPERATURES,
        help="which fitted temperature to take (holdout where the study holds images out, else oracle)",
    )  # fmt: skip
    c.add_argument("--onnx", action="store_true", help="write model.onnx, too, and compare it with PyTorch")
    c = command(archive, STUDY, results, DATA, TO)
    c.add_argument("--models", action="store_true", help="take the weights of all runs, too")
    c.add_argument(
        "--predictions", choices=("all", "figures"), default="all",
        help="of which runs to take the predictions: all (the default), or those that a figure is drawn from",
    )  # fmt: skip
    c = command(unpack)
    c.add_argument("archive", type=Path, metavar="FILE", help="what `aikd archive` wrote")
    c.add_argument("--to", type=Path, default=Path(), help="folder of the project (this one)")
    c = command(classify)
    c.add_argument("folder", type=Path, metavar="DIR", help="what `aikd export` wrote")
    c.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image files, or folders of them")
    c.add_argument(
        "--extension", action="append", default=[], metavar="FILE",
        help="the file that the student's network comes from, where it is an extension's; it is run",
    )  # fmt: skip
    c.add_argument("--top", type=positive, default=5, help="classes to name of each image (5)")
    c.add_argument("--json", action="store_true", help="print one JSON object a line for each image")
