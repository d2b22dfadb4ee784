"""The report: everything that a study found on one page that opens without a network."""

from pathlib import Path

from aikd.files import write_text
from aikd.results.report.page import page
from aikd.study.schema import Study


def write_report(study: Study, results: Path, data: Path, out: Path) -> None:
    """Writes the page to `out`, of whatever is there of the study's results; the same results give the same bytes.

    Raises:
        UserError: a file that is read is damaged, or does not belong to its run or beside the others.
    """
    write_text(out, page(study, results, data))
