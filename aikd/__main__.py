"""`aikd`, also as `python -m aikd`: the command line as a process."""

import os
from typing import NoReturn

from aikd.cli import main


def run() -> NoReturn:
    """Run one command and end the process.

    Files are closed and streams are written by then. Taking apart what was loaded, which Python would do first, takes
    half a second for torch alone.
    """
    os._exit(main())


if __name__ == "__main__":
    run()
