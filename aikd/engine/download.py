"""Gets the published archives: verifies what is there or comes, and gives no file its name before it is right."""

from dataclasses import asdict
from pathlib import Path

from aikd.engine.archives import Archive, Expected, Found, Receipt, measure, read_receipt, receipt_path
from aikd.engine.locks import exclusive
from aikd.engine.transfer import PATIENCE, Part, Patience, RefusedError, Reporter
from aikd.errors import UserError
from aikd.files import leftovers, write_json


def download(
    archive: Archive,
    folder: Path,
    *,
    mirror: str | None,
    accept_other: bool = False,
    report: Reporter | None = None,
    patience: Patience = PATIENCE,
) -> Receipt:
    """Have a verified archive in `folder`, and a receipt beside it.

    A file that is there already is verified and used. Otherwise it comes from the mirror, or without one from the
    published addresses in order. What was transferred before a break is kept in `.<name>.part` and continued.

    Args:
        mirror: directory or base URL that has the archive under its own name; the only place that is then asked.
        accept_other: take a file that is in `folder` or on the mirror although it is not the published one.

    Raises:
        UserError: no way led to the right file; says what was tried, expected and found, and how to go on.
    """
    report = report or Reporter()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / archive.name
    note = receipt_path(path)
    with exclusive(path, waiting=report.say) as alone:
        pin = read_receipt(note).pin if note.exists() else None
        expected = Expected(archive, None if archive.checksum else pin)
        part = Part(path, expected, accept_other and mirror is not None, report, patience)
        if alone:
            # Of processes that were killed while they wrote one; what they transferred is kept, to go on with.
            for stray in (*leftovers(note), *leftovers(part.note)):
                stray.unlink(missing_ok=True)
        if path.is_symlink() and not path.exists():
            raise UserError(f"{path}: a link to nothing ({path.readlink()}); mend or remove it")
        if path.exists():
            found, origin = _placed(path, expected, accept_other), ""
            part.drop()
        else:
            found, url = _obtain(part, mirror)
            origin = f", from {url}"
        receipt = expected.receipt(found)
        write_json(note, asdict(receipt))
    state = "verified" if receipt.verified else "accepted, although it is not the published archive"
    report.say(f"{path}: {state}{origin}; {found}")
    return receipt


def _placed(path: Path, expected: Expected, accept_other: bool) -> Found:
    """The file that is there already, if it is right or may be another."""
    found = measure(path)
    problem = expected.problem(found)
    if problem is None or accept_other:
        return found
    text = f"{path}: not the published archive: {problem}.\nRemove it to have it downloaded anew"
    if expected.pin:
        text = f"{path}: not the file that came first: {problem}.\nTo trust this one, remove {receipt_path(path)}"
    raise UserError(f"{text}; or, to use it although it is another, set accept_other: results will say so.")


def _obtain(part: Part, mirror: str | None) -> tuple[Found, str]:
    """Bring the archive to its place from the mirror or the published addresses; returns it and where it was."""
    name = part.expected.archive.name
    answers: list[str] = []
    urls = part.expected.archive.urls if mirror is None else [f"{mirror.rstrip('/')}/{name}"]
    with part.session:
        for url in urls:
            try:
                found = part.fill(url)
            except RefusedError as error:
                answers.append(f"  {url}: {error}")
            else:
                part.finish()
                return found, url
    public = "" if mirror is None else " (only the mirror was asked)"
    raise UserError(
        f"{name} could not be had{public}:\n" + "\n".join(answers) + f"\n  expected: {part.expected}\n"
        f"Get the file in another way and place it at {part.target},\n"
        "or set mirror to a directory or base URL that has it; then run again.\n"
        "A file that differs from the published one is taken only with accept_other."
    )
