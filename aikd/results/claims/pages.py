"""The claims as files: CSV with one row a claim, Markdown to be read, a figure."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from aikd.files import write_together
from aikd.results.aggregate import csv_text
from aikd.results.claims.consistency import Slip, slips
from aikd.results.claims.ledger import Finding, ledger
from aikd.results.claims.printed import PrintedFinding, printed_ledger
from aikd.results.claims.verdicts import Estimate
from aikd.results.sheet import MISSING, Line, Printed, Sheet, to_markdown
from aikd.results.text import markdown, p_value, signed
from aikd.study.catalogue import DATA_SETS
from aikd.study.claims.claim import Claim, Contrast
from aikd.study.metrics import METRICS
from aikd.study.schema import Study

NAME = "claims"
PUBLISHED = "claims_published"
LEGEND = (
    "Effect: by how much the method named first is the better one, in points of percentage, of F1 as a fraction; of a "
    "method alone, its metric. It is the comparison that decides, over seeds in pairs, with its own 95 % interval "
    "(Student's t). Claimed: where the claim has it. p: of all comparisons of the claim together, two-sided; Holm: "
    "corrected for the claims under the same heading, which the verdict follows. Published: the same comparison in the "
    "paper's tables, and whether their means bear the claim out."
)
SCOPES = {
    "reduced": "Networks, images or epochs are not all the paper's, as each line says: what holds or fails here does "
    "so under these conditions, and says little about the paper's.",
    "other": "This study has none of the paper's data sets: what the paper claims of CIFAR-100 is checked on another "
    "one, as each line says, and says nothing about the paper.",
}


def write_claims(study: Study, results: Path, out: Path) -> list[Path]:
    """Writes `claims.csv`, `claims.md`, and `figures/claims.pdf` and `.png` into `out`; returns their paths.

    Raises:
        UserError: the metrics of a run are damaged, or runs were not trained alike.
    """
    from aikd.results.claims.figure import draw
    from aikd.results.figures import style

    found = ledger(study, results)
    frame = pd.DataFrame([record(finding) for finding in found]).astype(
        {"n": "Int64", "comparisons": "Int64"}
    )
    contents = {
        out / f"{NAME}.csv": csv_text(frame).encode(),
        out / f"{NAME}.md": page(study, found).encode(),
    }
    with style.styled():
        figures = style.save(draw(found), out / "figures", NAME)
    write_together(contents)
    return [*contents, *figures]


def write_published_claims(out: Path) -> list[Path]:
    """Writes `claims_published.csv` and `claims_published.md` into `out`; returns their paths."""
    found = printed_ledger()
    frame = pd.DataFrame([printed_record(finding) for finding in found]).astype({"comparisons": "Int64"})
    contents = {
        out / f"{PUBLISHED}.csv": csv_text(frame).encode(),
        out / f"{PUBLISHED}.md": published_page(found, slips()).encode(),
    }
    write_together(contents)
    return list(contents)


def claims_text(study: Study, results: Path) -> str:
    """What `write_claims` writes as Markdown.

    Raises:
        UserError: see there.
    """
    return page(study, ledger(study, results))


def published_text() -> str:
    """What `write_published_claims` writes as Markdown."""
    return published_page(printed_ledger(), slips())


def record(finding: Finding) -> dict[str, Any]:
    """A row of `claims.csv`; docs/claims.md explains the columns."""
    bound, contrast = finding.bound, finding.contrast
    printed = finding.printed
    return (
        _named(bound.claim, bound.text)
        | {"scope": bound.scope or "", "data": bound.data, "model": bound.model}
        | {"metric": contrast.plus[0].metric if contrast else bound.claim.metric}
        | {"verdict": finding.verdict, "reason": finding.reason}
        | _numbers(finding.estimate, contrast)
        | {"n": finding.estimate.n if finding.estimate else 0, "comparisons": len(bound.contrasts)}
        | {"p": finding.p, "p_holm": finding.p_holm}
        | {"decided_by": bound.named(contrast) if contrast and finding.estimate else ""}
        | {"published_verdict": printed.verdict if printed else ""}
        | _ends(finding.published, "published_")
    )


def printed_record(finding: PrintedFinding) -> dict[str, Any]:
    """A row of `claims_published.csv`."""
    claim, place = finding.claim, finding.decisive
    estimate = None if place is None else finding.estimates[place]
    return (
        _named(claim, in_the_paper(claim))
        | {"metric": claim.metric, "verdict": finding.verdict, "note": finding.note}
        | _numbers(estimate, None if place is None else claim.contrasts[place])
        | {"comparisons": len(claim.contrasts), "spread_verdict": finding.spread}
        | {"p": finding.p, "p_holm": finding.p_holm, "decided_by": finding.decided_by}
    )


def in_the_paper(claim: Claim) -> str:
    """The claim in words, as the paper makes it."""
    data = list(dict.fromkeys(DATA_SETS[slot.dataset].label for slot in claim.slots))
    models = list(dict.fromkeys(slot.network for slot in claim.slots))
    label = f"{len(data)} data sets together" if len(data) > 2 else " and ".join(data)
    return claim.text.format(data=label, model=" and ".join(models))


def _named(claim: Claim, text: str) -> dict[str, Any]:
    return {"claim": claim.id, "where": claim.where, "group": claim.group, "kind": claim.kind, "text": text}


def _numbers(estimate: Estimate | None, contrast: Contrast | None) -> dict[str, Any]:
    return _ends(estimate) | {
        "claimed_low": contrast.low if contrast else None,
        "claimed_high": contrast.high if contrast else None,
        "stated": contrast.stated if contrast else None,
    }


def _ends(estimate: Estimate | None, prefix: str = "") -> dict[str, Any]:
    low, high = (estimate.interval if estimate else None) or (None, None)
    return {
        f"{prefix}effect": estimate.mean if estimate else None,
        f"{prefix}low": low,
        f"{prefix}high": high,
    }


# Markdown


def page(study: Study, found: Sequence[Finding]) -> str:
    """`claims.md`: what was checked, group by group, then what was not."""
    checked = [finding for finding in found if finding.verdict != "not run"]
    counts = Counter(finding.verdict for finding in found)
    scopes = dict.fromkeys(finding.bound.scope for finding in checked)
    parts = [
        f"# Claims, checked in the study {markdown(study.name)}",
        f"Of {len(found)} claims {counts['holds']} hold here, {counts['fails']} fail, {counts['inconclusive']} are "
        f"inconclusive, and {counts['not run']} were not run.",
        *(SCOPES[scope] for scope in scopes if scope in SCOPES),
        *([LEGEND] if checked else []),
    ]
    for group in dict.fromkeys(finding.bound.claim.group for finding in checked):
        parts += [f"## {markdown(group)}", _table([f for f in checked if f.bound.claim.group == group])]
    missing = [finding for finding in found if finding.verdict == "not run"]
    if missing:
        parts += ["## Not run", _missing(missing)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


HEADERS = ("Verdict", "Claim", "Decided by")
COLUMNS = ("Effect", "95 % interval", "Claimed", "n", "p", "Holm", "Published")


def _table(found: Sequence[Finding]) -> str:
    lines = [Line((f.verdict, f.bound.text, _decided(f)), 0, tuple(map(Printed, _cells(f)))) for f in found]
    return to_markdown(Sheet("", "", HEADERS, COLUMNS, tuple(lines)))


def _decided(finding: Finding) -> str:
    named = finding.bound.named(finding.contrast) if finding.contrast else ""
    return f"{named} ({finding.reason})" if finding.reason else named


def _cells(finding: Finding) -> list[str]:
    decimals = METRICS[finding.bound.claim.metric].decimals
    estimate, published = finding.estimate, finding.published
    printed = finding.printed.verdict if finding.printed and published else ""
    return [
        signed(estimate.mean, decimals) if estimate else MISSING,
        _interval(estimate, decimals),
        _region(finding.contrast, decimals),
        str(estimate.n if estimate else 0),
        _p(finding.p),
        _p(finding.p_holm),
        f"{signed(published.mean, decimals)}, {printed}" if published else MISSING,
    ]


def _interval(estimate: Estimate | None, decimals: int) -> str:
    ends = estimate.interval if estimate else None
    return " to ".join(signed(end, decimals) for end in ends) if ends else MISSING


def _region(contrast: Contrast | None, decimals: int) -> str:
    if contrast is None:
        return MISSING
    low, high = ("" if end is None else f"{end:g}".replace("-", "−") for end in (contrast.low, contrast.high))
    region = f"{low} to {high}" if low and high else f"above {low}" if low else f"below {high}"
    return region if contrast.stated is None else f"{contrast.stated:.{decimals}f} ({region})"


def _p(p: float | None) -> str:
    return MISSING if p is None else p_value(p)


def _missing(found: Sequence[Finding]) -> str:
    """One line a reason, with the claims that it keeps from being checked."""
    reasons: dict[str, list[str]] = {}
    for finding in found:
        reasons.setdefault(finding.reason, []).append(finding.bound.claim.id)
    lines = [
        f"- {markdown(reason)}: {', '.join(f'`{name}`' for name in names)}"
        for reason, names in reasons.items()
    ]
    return "\n".join(lines)


def published_page(found: Sequence[PrintedFinding], contradictions: Sequence[Slip]) -> str:
    """`claims_published.md`: the claims on the paper's own numbers, and where those contradict each other."""
    counts = Counter(finding.verdict for finding in found)
    sure = sum(finding.verdict == "holds" == finding.spread for finding in found)
    tested = sum(finding.verdict == "holds" and finding.spread is not None for finding in found)
    lines = [
        Line(
            (finding.verdict, in_the_paper(finding.claim), finding.note),
            0,
            (Printed(finding.spread or MISSING), Printed(_p(finding.p_holm))),
        )
        for finding in found
    ]
    headers, columns = ("Printed means", "Claim", "But"), ("By spread", "Holm")
    failing = Sheet("", "", headers, columns, tuple(x for x in lines if x.header[0] == "fails"))
    slip_lines = tuple(Line((slip.where, slip.says, slip.but), 0, ()) for slip in contradictions)
    parts = [
        "# The paper's claims on its own numbers",
        f"Of {len(found)} claims {counts['holds']} hold in the printed means, {counts['fails']} fail, and "
        f"{counts['not printed']} are about numbers that are not printed. Of the {tested} that hold and come with "
        f"deviations, {sure} are beyond what three runs a side can do by chance (Welch's t test, Holm's correction "
        "under each heading).",
        "## Claims that fail",
        to_markdown(failing),
        "## Contradictions besides",
        to_markdown(Sheet("", "", ("Where", "It says", "But"), (), slip_lines)),
        "## All claims",
    ]
    for group in dict.fromkeys(finding.claim.group for finding in found):
        mine = tuple(x for x, f in zip(lines, found, strict=True) if f.claim.group == group)
        parts += [f"### {markdown(group)}", to_markdown(Sheet("", "", headers, columns, mine))]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"
