"""The price of a study, before anything runs."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aikd.commands.arguments import DATA, STUDY, TARGETS, Adder, asking, positive

BUSY = 1.3
"""Wall time over CPU time from which others have slowed the measuring down."""
ODD = 0.8
"""Rate without gradient, over that in training, below which one of the two is mismeasured: kernels are the same, and
training has more to write."""
MANY_HOURS = 10_000
"""More than a year."""


def plan(options: argparse.Namespace) -> None:
    """Say what is left to train for tables, figures and claims, and what it costs: operations, hours, disk, memory."""
    from aikd.study.architectures import counted_as
    from aikd.study.costs import plan as costs
    from aikd.study.load import load_study
    from aikd.study.targets import targets_of

    study = load_study(options.study)
    with asking(options.study):
        chosen = targets_of(study, options.targets)
    jobs = costs.jobs_of(study)
    names = list(dict.fromkeys(name for names in chosen.values() for name in names))
    tflops: float = options.device_tflops or study.device_tflops
    measured: list[dict[str, Any]] | None = None
    if options.measure:
        from aikd.engine.lease import leased

        left = costs.left(study, names, jobs)
        with leased("plan --measure"):  # a GPU on which a run trains would seem slower than it is
            from aikd.engine.device import within_memory
            from aikd.engine.measuring import measure

            with within_memory("plan --measure"):
                speeds, measured = measure([(job.settings, job.work) for job in left], study.threads)
    else:
        speeds = costs.stated_speeds(tflops)
    models = [(job.settings["model"], job.settings["data"]["transform"]["size"]) for job in jobs.values()]
    found = {
        "study": study.name,
        "results": str(study.results),
        "devices": options.devices,
        "stand_ins": {
            model["architecture"]: counted_as(model, side)["architecture"]
            for model, side in models
            if "extension" in model
        },
        "device": {
            "tflops": None if measured else tflops,
            "assumed": not (options.measure or options.device_tflops),
            "measured": measured,
        },
        "targets": [asdict(row) for row in costs.rows(study, chosen, jobs, speeds, options.devices)],
        "data": _data(options, study, costs.data_sets(study, names, jobs)),
    }
    print(json.dumps(found, indent=2, ensure_ascii=False) if options.json else _text(found))


def _data(options: argparse.Namespace, study: Any, names: list[str]) -> list[dict[str, Any]]:
    """Of each data set: bytes still to be fetched, and those of the images still to be prepared."""
    from aikd.engine.archives import archives_of, find_archive
    from aikd.study.costs.data import prepared_bytes
    from aikd.study.resolve import prepared_folder, resolve_data

    found = []
    for name in names:
        own = study.data[name].folder is not None
        missing = [] if own else [a for a in archives_of(name) if not _in_place(options, a)]
        prepared = _whole(options.data / prepared_folder(resolve_data(study, name)))
        found.append(
            {
                "name": name,
                "download": 0 if prepared else sum(find_archive(a).size or 0 for a in missing),
                "prepared": prepared,
                "disk": 0 if prepared else prepared_bytes(name, study.dataset(name)),
            }
        )
    return found


def _whole(folder: Path) -> bool:
    """Whether a manifest and all of its arrays are there; what is in them is not looked at."""
    from aikd.files import read_json
    from aikd.study.layout import MANIFEST

    if not (folder / MANIFEST).exists():
        return False
    return all((folder / name).exists() for name in read_json(folder / MANIFEST).get("arrays", {}))


def _in_place(options: argparse.Namespace, archive: str) -> bool:
    folder: Path = options.data / "downloads"
    return (folder / archive).exists() or (folder / f"{archive}.json").exists()


def _text(found: dict[str, Any]) -> str:
    """The plan as a person reads it."""
    devices = found["devices"]
    several = devices > 1
    head = [
        "target",
        "runs",
        "done",
        "shared",
        "left",
        "operations",
        "images",
        "disk",
        "memory",
        "time",
        "overhead",
    ]
    body = [
        [
            row["target"], row["runs"], row["done"], row["shared"], row["left"], _si(row["flops"]),
            _si(row["images"]), f"{_si(row['disk'])}B", f"{_si(1e6 * row['memory'])}B", _time(row["hours"]),
            _time(row["overhead"]), *([_time(row["parallel"])] if several else []), _time(row["chain"]),
        ]
        for row in found["targets"]
    ]  # fmt: skip
    head += [f"on {devices}"] if several else []
    parts = [_device(found), "", _table([[*head, "chain"], *body])]
    if data := found["data"]:
        total = {"name": "together"} | {key: sum(d[key] for d in data) for key in ("download", "disk")}
        rows = [
            [d["name"], f"{_si(d['download'])}B", "there" if d.get("prepared") else f"{_si(d['disk'])}B"]
            for d in [*data, total]
        ]
        parts += ["", _table([["data set", "to fetch", "to prepare"], *rows])]
    return "\n".join(parts)


def _device(found: dict[str, Any]) -> str:
    """What the table below it says, and on what device."""
    from aikd.study.costs.times import CRITIC_STEP, EPOCH, LAYER_PASS, LAYER_STEP, START

    tflops, measured = found["device"]["tflops"], found["device"]["measured"]
    speed, overhead = (
        "what was measured here",
        "starts, epochs, what steps take whatever their size, measured too",
    )
    if tflops:
        source = "assumed: the study's device_tflops" if found["device"]["assumed"] else "--device-tflops"
        speed = f"{tflops:g} TFLOP/s ({source})"
        overhead = (
            f"assumed {START:g} s a run, {EPOCH:g} s an epoch; a CPU core's {1e3 * LAYER_PASS:g} to "
            f"{1e3 * LAYER_STEP:g} ms a layer and batch, {1e3 * CRITIC_STEP:g} ms a critic"
        )
    lines = [
        f"study {found['study']}: what is left to train, and its time on one device at {speed}",
        f"overhead: of that time, {overhead}",
        "shared: runs that another table or figure needs, too; left: runs not done, whose costs are to the right of it",
        "images: trained on, times epochs, without evaluation; memory: main memory of the largest single job",
        "chain: the longest run with the superior model it waits for; more devices do not shorten it",
    ]
    for name, like in found["stand_ins"].items():
        what = "operations, disk and memory" if measured else "operations, time, disk and memory"
        lines.append(f"  {name} is an extension's network: {what} are those of {like}, which stands for it")
    for kind in measured or []:
        lines.append(
            f"  {kind['network']}: {_si(kind['trained'])}FLOP/s in training, {_si(kind['frozen'])}FLOP/s without "
            f"gradient, {1e3 * kind['step']:.2g} ms a step on top (batch {kind['batch']}; {kind['device']})"
        )
    return "\n".join([*lines, *_doubts(found)])


def _doubts(found: dict[str, Any]) -> list[str]:
    """Warnings of hours that nobody should plan with."""
    doubts = []
    measured = found["device"]["measured"] or []
    if (waiting := max((kind["waiting"] or 0 for kind in measured), default=0)) > BUSY:
        doubts.append(
            f"the machine was busy: measuring took {waiting:.1f} × its CPU time; these hours are too many"
        )
    if odd := [kind["network"] for kind in measured if kind["frozen"] < ODD * kind["trained"]]:
        doubts.append(
            f"{'; '.join(odd)}: slower without gradient than in training, which is implausible: a busy machine?"
        )
    if any(row["hours"] >= MANY_HOURS for row in found["targets"]):
        doubts.append(
            "this device is not for this study: choose a faster one, fewer targets or a smaller study"
        )
    return [f"  warning: {doubt}" for doubt in doubts]


def _si(value: float) -> str:
    """Three digits and the unit's prefix: `13.2 E`."""
    prefixes = " kMGTPEZ"
    power = 0
    while value >= 999.5 and power < len(prefixes) - 1:
        value, power = value / 1000, power + 1
    return f"{value:.3g} {prefixes[power].strip()}"


def _time(hours: float) -> str:
    """Hours, or minutes or seconds where that is less than one, or years where hours say nothing."""
    if hours >= MANY_HOURS:
        return f"{hours / (24 * 365.25):,.1f} years"
    if hours >= 1:
        return f"{hours:,.1f} h"
    minutes = 60 * hours
    return f"{minutes:.1f} min" if minutes >= 1 else f"{60 * minutes:.0f} s"


def _table(rows: Sequence[Sequence[Any]]) -> str:
    """Columns side by side: the first to the left, numbers to the right."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = []
    for name, *numbers in texts:
        cells = [name.ljust(widths[0]), *(n.rjust(w) for n, w in zip(numbers, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _throughput(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"found {text!r}, allowed are numbers above 0")
    return value


def add(command: Adder) -> None:
    """Add the command to the command line."""
    c = command(plan, STUDY, DATA)
    c.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"{TARGETS} (each table and figure, claims, all)"
    )
    speed = c.add_mutually_exclusive_group()
    speed.add_argument(
        "--device-tflops",
        type=_throughput,
        help="10¹² operations a second of one device (the study's device_tflops)",
    )
    speed.add_argument(
        "--measure",
        action="store_true",
        help="measure the present device instead: ten seconds, more for large networks (paper, 2 CPU cores: a minute)",
    )
    c.add_argument("--devices", type=positive, default=1, help="devices that train at once (1)")
    c.add_argument("--json", action="store_true", help="print JSON")
