"""The study: checked before anything else, and asked by all other rules."""

import sys
from pathlib import Path

from aikd.errors import UserError
from aikd.study.load import check_keys
from aikd.workflow import Workflow, code, no_such_target

try:
    for file in workflow.configfiles:
        check_keys(Path(file))
    w = Workflow(config)
except UserError as error:
    sys.exit(f"The study cannot be used:\n{error}")


# A scheduler's SIGTERM goes to every process of a job. The shell must outlive the one that saves its state: when the
# shell ends, the job ends, and all that is left of it is killed.
shell.prefix("set -euo pipefail; trap : TERM; ")


wildcard_constraints:
    dataset=r"[a-z0-9_]+",
    run=r"[^.].*/seed\d+",
    archive=r"\w[\w.-]*",
    name=r"[a-z0-9_]+",


rule no_such_target:
    """A word that is the name of no rule, which Snakemake takes for a file: all files of the workflow lie in folders."""
    input:
        lambda wildcards: no_such_target(
            wildcards.word,
            [rule.name for rule in workflow.rules if not rule.has_wildcards()],
        ),
    output:
        "{word}",
    wildcard_constraints:
        word=r"[^/]+",
