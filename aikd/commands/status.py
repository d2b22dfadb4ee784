"""Where a study stands while it runs."""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from aikd.commands.arguments import STUDY, TARGETS, Adder, asking, run_of
from aikd.messages import duration, say

FOLDED = ("trained", "waiting", "done")
"""States of runs that are counted, not listed."""

CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def status(options: argparse.Namespace) -> None:
    """Say where each run of a study stands, and how long each table and figure still takes."""
    from aikd.study.layout import METRICS
    from aikd.study.load import load_study
    from aikd.study.resolve import resolve
    from aikd.study.targets import WHOLE, files_wanted, runs_of, stranger, targets_of

    study = load_study(options.study)
    named = [run_of(study, options.study, text) for text in options.targets if "/" in text]
    for run in named:
        if note := stranger(study, run):
            say(f"{run.path}: {note}")
    wanted = [text for text in options.targets if "/" not in text]
    with asking(options.study):
        chosen = {} if named and not wanted else targets_of(study, wanted)
    names = list(dict.fromkeys(name for names in chosen.values() for name in names))
    settings = {run.path: resolve(study, run) for run in [*named, *runs_of(study, names)]}
    everything = (
        settings if chosen.keys() & set(WHOLE) else [run.path for run in named]
    )  # all_runs.csv is of all
    wanted_of = files_wanted(study, names) | dict.fromkeys(everything, METRICS)
    listed = [run.path for run in named] or list(settings)
    options.all = options.all or bool(named)
    before: dict[str, float | None] = {}
    while True:
        found = _look(study, chosen, settings, wanted_of, before)
        found["runs"] = [run for run in found["runs"] if run["run"] in listed]
        _show(found, options)
        finished = all(run["state"] == "done" for run in found["runs"])
        if options.watch is None or finished:
            return
        before = {run["run"]: run["at"] for run in found["runs"]}
        try:
            time.sleep(options.watch)
        except KeyboardInterrupt:  # which is how one stops watching
            return


def _look(
    study: Any,
    chosen: Mapping[str, list[str]],
    settings: Mapping[str, Any],
    wanted_of: Mapping[str, str],
    before: Mapping[str, float | None],
) -> dict[str, Any]:
    """All that is known now, as plain data.

    Args:
        wanted_of: the last file that is wanted of a run; of others only the model is.
    """
    from aikd.study.layout import METRICS, MODEL, RUNS
    from aikd.study.status.runs import stand
    from aikd.study.status.times import rests

    standings = {run: stand(study.results, s, before.get(run)) for run, s in settings.items()}
    for run, standing in standings.items():
        last = wanted_of.get(run, MODEL)
        if standing.state == "trained" and last != METRICS and (study.results / RUNS / run / last).exists():
            standings[run] = replace(standing, state="done", how=f"of it no more is wanted than {last}")
    training = sum(standing.state == "running" for standing in standings.values())
    return {
        "study": study.name,
        "results": str(study.results),
        "at": round(time.time(), 3),
        "training": training,
        "runs": [asdict(standing) for standing in standings.values()],
        "targets": [asdict(rest) for rest in rests(study, chosen, settings, standings, max(1, training))],
    }


def _show(found: dict[str, Any], options: argparse.Namespace) -> None:
    watched = options.watch is not None
    if options.json:
        print(json.dumps(found, indent=None if watched else 2, ensure_ascii=False), flush=True)
        return
    text = _text(found, options.all)
    if watched and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        text = CLEAR + text
    elif watched:
        text += "\n"
    print(text, flush=True)


def _text(found: dict[str, Any], everything: bool) -> str:
    """What a person reads: first what needs one, then what runs, then counts."""
    from aikd.study.status.runs import STATES_IN_ORDER

    runs = sorted(found["runs"], key=lambda run: STATES_IN_ORDER.index(run["state"]))
    counts = Counter(run["state"] for run in runs)
    counted = ", ".join(f"{counts[state]} {state}" for state in STATES_IN_ORDER if counts[state])
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found["at"]))
    parts = [f"study {found['study']}, {when}: {len(runs)} runs: {counted}"]
    if listed := [run for run in runs if everything or run["state"] not in FOLDED]:
        parts += ["", *_runs(listed)]
    if not everything and (folded := [run for run in runs if run["state"] in FOLDED]):
        parts += ["", *_groups(folded)]
    return "\n".join([*parts, *(["", *_targets(found)] if found["targets"] else [])])


def _runs(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [["state", "run", "epoch", "images/s", "left", "device"]]
    for run in runs:
        speed = run["images_per_second"]
        rows.append(
            [
                run["state"], run["run"], _epoch(run), f"{speed:,.0f}" if speed else "",
                duration(run["left"]) if run["left"] is not None else "", run["device"] or "",
            ]
        )  # fmt: skip
    head, *lines = _columns(rows, right=(2, 3, 4))
    shown = [head]
    for run, line in zip(runs, lines, strict=True):
        shown += [line, *(f"    {text}" for text in _remarks(run))]
    return shown


def _epoch(run: Mapping[str, Any]) -> str:
    share = f" +{100 * run['step'] // run['steps']}%" if run["steps"] and run["step"] else ""
    return f"{run['epoch']}/{run['epochs']}{share}"


def _remarks(run: Mapping[str, Any]) -> list[str]:
    """What stands below a run's own line: how its state is known, and where to look further."""
    if run["state"] in FOLDED:
        return []
    process = run["process"]
    where = f" ({process})" if process and process not in run["how"] else ""
    remarks = [_plain(run["error"].removeprefix(f"{run['run']}: "))] if run["error"] else []
    remarks.append(f"{_plain(run['how'])}{where}")
    return remarks + ([f"log: {run['log']}"] if run["log"] else [])


def _groups(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Runs that nobody need look at, counted by data set and model."""
    groups: dict[str, Counter[str]] = {}
    for run in runs:
        groups.setdefault("/".join(run["run"].split("/")[:2]), Counter())[run["state"]] += 1
    lines = [
        [group, ", ".join(f"{counts[state]} {state}" for state in FOLDED if counts[state])]
        for group, counts in groups.items()
    ]
    return _columns(lines)


def _targets(found: dict[str, Any]) -> list[str]:
    targets = found["targets"]
    rows = [["target", "runs", "done", "running", "stopped", "left", "ready"]]
    for target in targets:
        states = target["states"]
        stopped = sum(states.get(state, 0) for state in ("failed", "interrupted", "stalled?"))
        left, sign = target["left"], "≈ " if target["rough"] else ""
        rows.append(
            [
                target["target"], sum(states.values()), states.get("done", 0), states.get("running", 0), stopped,
                "unknown" if left is None else f"{sign}{duration(left)}" if left else "",
                _ready(found, left),
            ]
        )  # fmt: skip
    notes = []
    if any(target["left"] for target in targets):
        one = "no run is in training: times are those of one device"
        many = f"times with {found['training']} at once as now, each target as if it were alone"
        notes.append(many if found["training"] else one)
    if around := next((target["around"] for target in targets if target["left"] and target["around"]), None):
        notes.append(f"each run with {duration(around)} to start, predict and calibrate, as those before it")
    elif any(target["left"] for target in targets):
        notes.append(
            "times of training alone: what starts, predicting and calibrating take has not been seen yet"
        )
    if any(target["left"] is None for target in targets):
        notes.append("unknown: no run has been seen yet that times could follow from")
    if any(target["rough"] for target in targets):
        notes.append("≈: some follow from runs of other networks or data")
    return _columns(rows, right=(1, 2, 3, 4, 5)) + notes


def _ready(found: Mapping[str, Any], left: float | None) -> str:
    """When a target's runs are done, by the clock of this machine; empty while nothing runs."""
    if not left or not found["training"]:
        return ""
    return time.strftime("%a %d %b %H:%M", time.localtime(found["at"] + left))


def _columns(rows: Sequence[Sequence[Any]], right: Sequence[int] = ()) -> list[str]:
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = []
    for row in texts:
        cells = zip(row, widths, strict=True)
        lines.append(
            "  ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(cells)).rstrip()
        )
    return lines


def _plain(text: str) -> str:
    """On one line, without what a terminal would obey: it comes out of logs."""
    return "".join(c if c.isprintable() else " " for c in text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, allowed are seconds above 0 (targets stand before --watch)"
        )
    return value


def add(command: Adder) -> None:
    """Add the command to the command line."""
    c = command(status, STUDY)
    c.add_argument(
        "targets", nargs="*", metavar="RUN_OR_TARGET",
        help=f"paths of runs, which alone are listed then; and {TARGETS} (each table and figure, claims, all)",
    )  # fmt: skip
    c.add_argument(
        "--watch", nargs="?", type=_seconds, const=10.0, metavar="SECONDS",
        help="look again every so many seconds (10) until all is done",
    )  # fmt: skip
    c.add_argument("--all", action="store_true", help="list waiting and finished runs, too")
    c.add_argument("--json", action="store_true", help="print JSON; with --watch one line a look")
