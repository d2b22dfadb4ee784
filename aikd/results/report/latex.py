"""What LaTeX makes of a document."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from aikd.errors import UserError
from aikd.files import write_bytes

PACKAGES = ("lmodern", "textcomp", "geometry", "booktabs", "graphicx", "hyperref")
DEBIAN = "texlive-latex-base, texlive-latex-recommended and lmodern"
"""Where Debian and Ubuntu have them."""
PATIENCE = 600.0
"""Seconds that LaTeX may take."""


def missing() -> str | None:
    """What this machine lacks to set the document, in words; None if nothing."""
    if not shutil.which("pdflatex") or not shutil.which("kpsewhich"):
        return f"LaTeX is not installed; on Debian and Ubuntu: {DEBIAN}"
    wanted = [f"{name}.sty" for name in PACKAGES]
    done = subprocess.run(["kpsewhich", *wanted], capture_output=True, text=True, check=False)
    there = {Path(line).name for line in done.stdout.splitlines()}
    lacking = [name for name in wanted if name not in there]
    return f"LaTeX lacks {', '.join(lacking)}; on Debian and Ubuntu: {DEBIAN}" if lacking else None


def write_pdf(source: Path) -> Path:
    """Sets a LaTeX document; returns the PDF beside it, whole. The same document gives the same bytes.

    Raises:
        UserError: LaTeX is not there, or fails; says why.
    """
    if lack := missing():
        raise UserError(lack)
    # No dates, no name of this machine's folders, no running of programs.
    environment = os.environ | {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "TZ": "UTC"}
    with tempfile.TemporaryDirectory() as folder:
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"]
        command += [f"-output-directory={folder}", rf"\pdftrailerid{{}}\input{{{source.name}}}"]
        command.insert(1, f"-jobname={source.stem}")
        for _ in range(2):  # the second pass knows the references of the first
            try:
                done = subprocess.run(
                    command, cwd=source.parent, env=environment, stdin=subprocess.DEVNULL, timeout=PATIENCE,
                    capture_output=True, text=True, errors="replace", check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise UserError(f"pdflatex was stopped after {PATIENCE:g} seconds") from None
            if done.returncode:
                said = re.findall(r"^! .+$|^l\.\d+ .+$", done.stdout, re.MULTILINE) or ["it does not say why"]
                raise UserError(f"pdflatex failed: {' '.join(said[:2])}")
        made = (Path(folder) / f"{source.stem}.pdf").read_bytes()
    write_bytes(source.with_suffix(".pdf"), made)
    return source.with_suffix(".pdf")
