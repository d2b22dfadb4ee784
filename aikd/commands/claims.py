"""The command that checks the paper's claims."""

import argparse
from pathlib import Path

from aikd.commands.arguments import JSON, STUDY_FILE, Adder, json_object


def claims(options: argparse.Namespace) -> None:
    """Check the paper's claims on the runs of a study, or on the numbers that it prints."""
    from aikd.results.claims import pages

    if options.published:
        if options.to:
            pages.write_published_claims(options.to)
        else:
            print(pages.published_text(), end="")
        return
    from aikd.study.load import check_study, load_study

    study = check_study(json_object(options.spec)) if options.spec else load_study(options.study)
    results = options.results or study.results
    if options.to:
        pages.write_claims(study, results, options.to)
    else:
        print(pages.claims_text(study, results), end="")


def add(command: Adder) -> None:
    """Add the command to the command line."""
    c = command(claims)
    what = c.add_mutually_exclusive_group()
    what.add_argument("--study", type=Path, default=STUDY_FILE, help="study file (config.yaml)")
    what.add_argument("--spec", help=f"the study itself: {JSON}")
    what.add_argument(
        "--published", action="store_true", help="on the numbers that the paper prints, not on runs"
    )
    c.add_argument("--results", type=Path, help="the study's results (its own folder)")
    c.add_argument(
        "--to", type=Path, help="where to write CSV, Markdown and a figure (nowhere: prints Markdown)"
    )
