"""Why a run would be trained again."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aikd.commands.arguments import DATA, STUDY, Adder

SHOWN = 3
"""Runs that are named of those with the same reasons."""


def why(options: argparse.Namespace) -> None:
    """Say why a run, or those of a table or figure, would be trained again: what has changed, from what to what."""
    from aikd.study import queries
    from aikd.study.check import check_run
    from aikd.study.costs.plan import targets_of
    from aikd.study.load import load_study
    from aikd.study.run import Run
    from aikd.study.why import Judge

    study = load_study(options.study)
    judge = Judge(study, options.data)
    if "/" in options.what:
        run = Run.from_path(options.what)
        check_run(study, run)
        print(
            "\n".join(
                [*_one(judge.verdict(run), study, run), "", *_snakemake(run.path, study, options.study)]
            )
        )
        return
    [names] = targets_of(study, [options.what]).values()
    verdicts = [judge.verdict(run) for run in queries.runs_of(study, names)]
    print(_many(options.what, verdicts, options.all))


def _one(verdict: Any, study: Any, run: Any) -> list[str]:
    from aikd.study.resolve import resolve
    from aikd.study.status.runs import stand

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
    return [f"{verdict.run}: {head}", *(f"    {text}" for text in texts)]


def _snakemake(run: str, study: Any, file: Path) -> list[str]:
    """Snakemake goes by its own records, which nobody but itself should read."""
    from aikd.study.layout import RUNS, SUMMARY

    option = "" if file == Path("config.yaml") else f" --configfile {file}"
    lines = [
        "Snakemake goes by records of its own; what it would do, and why, says",
        f"    snakemake -n {study.results / RUNS / run / SUMMARY}{option}",
    ]
    if not Path(".snakemake/metadata").exists():
        lines.append(
            "    (here are none of its records: `snakemake --touch …` declares what is there to be up to date)"
        )
    return lines


def _many(target: str, verdicts: Sequence[Any], everything: bool) -> str:
    again = [v for v in verdicts if v.reasons and v.trained]
    new = [v for v in verdicts if v.reasons and not v.trained]
    fine = len(verdicts) - len(again) - len(new)
    lines = [
        f"{target}: of {len(verdicts)} runs {len(again)} would be trained again, {len(new)} are not trained yet, "
        f"{fine} are up to date"
    ]
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
    c.add_argument("what", metavar="RUN_OR_TARGET", help="path of a run, a table or figure, or all")
    c.add_argument("--all", action="store_true", help="name all runs")
