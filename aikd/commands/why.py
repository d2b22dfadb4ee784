"""Why a run would be trained again."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aikd.commands.arguments import DATA, STUDY, STUDY_FILE, TARGETS, Adder, asking, run_of

SHOWN = 3
"""Runs that are named of those with the same reasons."""


def why(options: argparse.Namespace) -> None:
    """Say why a run, or those of a table or figure, would be trained again: what has changed, from what to what."""
    from aikd.study.load import load_study
    from aikd.study.targets import ALL, runs_of, targets_of
    from aikd.study.why import Judge

    study = load_study(options.study)
    judge = Judge(study, options.data)
    if options.what and "/" in options.what:
        run = run_of(study, options.study, options.what)
        print(
            "\n".join(
                [*_one(judge.verdict(run), study, run), "", *_snakemake(run.path, study, options.study)]
            )
        )
        return
    with asking(options.study):
        [names] = targets_of(study, [options.what or ALL]).values()
    verdicts = [judge.verdict(run) for run in runs_of(study, names)]
    print(_many(options.what, verdicts, options.all) if options.what else _each(study.name, verdicts))


def _one(verdict: Any, study: Any, run: Any) -> list[str]:
    from aikd.study.resolve import resolve
    from aikd.study.status.runs import stand
    from aikd.study.targets import stranger

    texts = [*verdict.reasons, *verdict.remarks]
    if not verdict.reasons:
        head = "up to date"
    elif verdict.trained:
        head = "would be trained again"
    else:
        head = "would be trained"
        last = stand(study.results, resolve(study, run))
        if last.state != "waiting":
            texts.append(f"{last.state} after epoch {last.epoch} of {last.epochs}: {last.error or last.how}")
    if note := stranger(study, run):
        texts.insert(0, note)
    return [f"{verdict.run}: {head}", *(f"    {text}" for text in texts)]


def _snakemake(run: str, study: Any, file: Path) -> list[str]:
    """Snakemake goes by its own records, which nobody but itself should read."""
    from aikd.study.layout import RUNS, SUMMARY

    option = "" if file == STUDY_FILE else f" --configfile {file}"
    lines = [
        "Snakemake goes by records of its own; what it would do, and why, says",
        f"    snakemake -n {study.results / RUNS / run / SUMMARY}{option}",
    ]
    if not Path(".snakemake/metadata").exists():
        lines.append(
            "    (here are none of its records: `snakemake --touch …` declares what is there to be up to date)"
        )
    return lines


def _sorted(verdicts: Sequence[Any]) -> tuple[str, list[Any], list[Any]]:
    """How many there are of each kind; those that would be trained again; and those that are not trained yet."""
    again = [v for v in verdicts if v.reasons and v.trained]
    new = [v for v in verdicts if v.reasons and not v.trained]
    fine = len(verdicts) - len(again) - len(new)
    counts = (
        f"of {len(verdicts)} runs {len(again)} would be trained again, {len(new)} are not trained yet, "
        f"{fine} are up to date"
    )
    return counts, again, new


def _each(study: str, verdicts: Sequence[Any]) -> str:
    counts, again, _ = _sorted(verdicts)
    return "\n".join([f"study {study}: {counts}", *(f"{v.run}: {'; '.join(v.reasons)}" for v in again)])


def _many(target: str, verdicts: Sequence[Any], everything: bool) -> str:
    counts, again, new = _sorted(verdicts)
    lines = [f"{target}: {counts}"]
    groups: dict[tuple[str, ...], list[str]] = {}
    for verdict in (*again, *new):
        groups.setdefault(verdict.reasons, []).append(verdict.run)
    for reasons, runs in groups.items():
        lines += ["", *reasons, *_named(runs, everything)]
    remarks: dict[str, list[str]] = {}
    for verdict in verdicts:
        for remark in verdict.remarks:
            remarks.setdefault(remark, []).append(verdict.run)
    for remark, runs in remarks.items():
        lines += ["", remark, *_named(runs, everything)]
    return "\n".join(lines)


def _named(runs: Sequence[str], everything: bool) -> list[str]:
    shown = runs if everything or len(runs) <= SHOWN + 1 else runs[:SHOWN]
    more = len(runs) - len(shown)
    return [f"    {run}" for run in shown] + ([f"    and {more} more (--all names them)"] if more else [])


def add(command: Adder) -> None:
    """Add the command to the command line."""
    c = command(why, STUDY, DATA)
    c.add_argument(
        "what", nargs="?", metavar="RUN_OR_TARGET",
        help=f"path of a run; or one of {TARGETS} (a line for each run that would be trained again)",
    )  # fmt: skip
    c.add_argument("--all", action="store_true", help="of a target, name all runs")
