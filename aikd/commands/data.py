"""Commands that get and prepare data."""

import argparse
from pathlib import Path

from aikd.commands.arguments import DATA, JSON, STUDY, Adder, json_object, positive
from aikd.commands.studies import data_settings
from aikd.messages import say

DATA_SETTINGS = "`aikd settings DATASET` prints what is meant"


def download(options: argparse.Namespace) -> None:
    """Fetch a published archive, or take one that was placed by hand, and verify it."""
    from aikd.engine import archives
    from aikd.engine.download import download as fetch

    archive = archives.find_archive(options.archive)
    mirror, accept_other = options.mirror, options.accept_other
    if options.study:
        from aikd.study.load import load_study

        of_study = archives.wanted_from(load_study(options.study), archive.name)
        mirror, accept_other = mirror or of_study[0], accept_other or of_study[1]
    fetch(archive, options.data / "downloads", mirror=mirror, accept_other=accept_other)


def prepare(options: argparse.Namespace) -> None:
    """Prepare a data set: decode its images once and describe them in manifest.json."""
    from aikd.engine.sources import prepare as prepare_source
    from aikd.study.resolve import prepared_folder

    given = options.settings
    settings = json_object(given, DATA_SETTINGS) if given else data_settings(options.study, options.dataset)
    manifest = prepare_source(settings, options.data, options.workers)
    counts = f"{manifest['train']:,} training and {manifest['test']:,} evaluation images"
    folder = options.data / prepared_folder(settings)
    say(f"{manifest['name']}: {counts} of {manifest['classes']} classes in {folder}")


def _mirror(text: str) -> str:
    from aikd.study.fields import mirror

    try:
        return mirror(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add(command: Adder) -> None:
    """Add the commands to the command line."""
    c = command(download, DATA)
    c.add_argument("archive", help="file name of the archive, for example CUB_200_2011.tgz")
    c.add_argument("--study", type=Path, help="a study whose mirror and accept_other hold")
    c.add_argument(
        "--mirror", type=_mirror, help="folder or base URL that holds the archives; the only place asked"
    )
    c.add_argument("--accept-other", action="store_true", help="take a file that is not the published one")
    c = command(prepare, DATA, STUDY)
    which = c.add_mutually_exclusive_group(required=True)
    which.add_argument("dataset", nargs="?", help="a data set of the study")
    which.add_argument("--settings", help=f"instead: what `aikd settings DATASET` prints, {JSON}")
    c.add_argument("--workers", type=positive, help="images decoded at once (as many as there are cores)")
