"""The command line. Every rule of the workflow is one of these commands."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from aikd.commands import data, plan, results, runs, studies
from aikd.errors import Interrupted, UserError

EX_TEMPFAIL = 75
"""Exit code of sysexits.h for what did not fail and should be tried again: training that a signal interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0; 1 with one message on what a user can mend; 75 where training was interrupted and can be continued; 130 after
    Ctrl-C in any other command.
    """
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except Interrupted as end:
        print(f"aikd {options.name}: {end}", file=sys.stderr)
        return EX_TEMPFAIL
    except KeyboardInterrupt:
        print(f"aikd {options.name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Somebody read only the first lines (`aikd schema | head`); nothing is left to flush into the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except UserError as error:
        print(f"aikd {options.name}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        # A full disk, a missing permission: the system's own words.
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"aikd {options.name}: {text}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aikd", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def command(function: Any, *shared: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            function.__name__, help=function.__doc__, description=function.__doc__, parents=shared
        )
        sub.set_defaults(command=function)
        return sub

    for kind in (studies, plan, data, runs, results):
        kind.add(command)
    return parser
