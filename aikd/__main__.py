"""`python -m aikd`: the command line."""

import sys

from aikd.cli import main

sys.exit(main())
