"""The command line. Every rule of the workflow is one of these commands."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from aikd.commands import claims, data, plan, results, runs, share, status, studies, why
from aikd.errors import Interrupted, UserError
from aikd.messages import drop_rest, say, shown

EX_TEMPFAIL = 75
"""Exit code of sysexits.h for what did not fail and should be tried again: training that a signal interrupted."""

PRINTING = tuple(module.__name__ for module in (studies, plan, claims, share, status, why))
"""Modules of the commands whose result is what they print."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0; 1 with one message on what a user can mend; 75 where training was interrupted and can be continued; 130 after
    Ctrl-C in any other command.
    """
    options = parser().parse_args(arguments)
    try:
        return _run(options)
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            drop_rest(stream)


def _run(options: argparse.Namespace) -> int:
    try:
        options.command(options)
        print(end="", flush=True)  # now, as what cannot be written is no success
    except Interrupted as end:
        say(f"aikd {options.name}: {end}")
        return EX_TEMPFAIL
    except KeyboardInterrupt:
        say(f"aikd {options.name}: interrupted")
        return 130
    except UserError as error:
        # It may quote names of files, or what stands in them.
        text = "\n".join(map(shown, str(error).split("\n")))
        say(f"aikd {options.name}: {text}")
        return 1
    except OSError as error:
        if isinstance(error, BrokenPipeError) and options.command.__module__ in PRINTING:
            return 0  # somebody read only the first lines: `aikd schema | head`
        # A full disk, a missing permission: the system's own words.
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        say(f"aikd {options.name}: {text}")
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands with their arguments."""
    root = argparse.ArgumentParser(prog="aikd", description=__doc__)
    commands = root.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def command(function: Any, *shared: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            function.__name__, help=function.__doc__, description=function.__doc__, parents=shared
        )
        sub.set_defaults(command=function)
        return sub

    for kind in (studies, plan, status, why, data, runs, results, claims, share):
        kind.add(command)
    return root
