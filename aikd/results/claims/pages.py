"""The claims as files: CSV with one row a claim, Markdown to be read, a figure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from aikd.files import write_together
from aikd.messages import counted
from aikd.results.aggregate import csv_text
from aikd.results.claims.consistency import Slip, slips
from aikd.results.claims.ledger import AWAITED, Finding, ledger
from aikd.results.claims.printed import PrintedFinding, printed_ledger
from aikd.results.claims.verdicts import Estimate
from aikd.results.sheet import MISSING, Line, Printed, Sheet, signed_notes, to_markdown
from aikd.results.text import markdown, p_value, signed
from aikd.study.catalogue import DATA_SETS
from aikd.study.claims.claim import Claim, Contrast
from aikd.study.claims.entries import opposite_places
from aikd.study.metrics import METRICS
from aikd.study.schema import Study

NAME = "claims"
PUBLISHED = "claims_published"
LEGEND = (
    "Effect: by how much the method named first is the better one, in points of percentage, of F1 as a fraction; of a "
    "method alone, its metric. It is the comparison that decides, over seeds in pairs, with its own 95 % interval "
    "(Student's t), which is not corrected for the number of claims. Claimed: where the claim has it. p: of all "
    "comparisons of the claim together, two-sided; Holm: corrected for the claims under the same heading, which the "
    "verdict follows: so an interval may keep clear of a bound and the claim be inconclusive. Published: the same "
    "comparison in the paper's tables, and whether their means bear the claim out."
)
SCOPES = {
    "reduced": "Networks, images or epochs are not all the paper's, as each line says: what holds or fails here does "
    "so under these conditions, and says little about the paper's.",
    "other": "This study has none of the paper's data sets: what the paper claims of CIFAR-100 is checked on another "
    "one, as each line says, and says nothing about the paper.",
}


def write_claims(study: Study, results: Path, out: Path) -> list[Path]:
    """Writes `claims.csv`, `claims.md`, and `figures/claims.pdf` and `.png` into `out`; returns their paths.

    Where no claim can be checked there is nothing to draw, and a figure of before is removed.

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
    figures: list[Path] = []
    if any(finding.estimate for finding in found):
        with style.styled():
            figures = style.save(draw(found), out / "figures", NAME)
    else:
        for kind in ("pdf", "png"):
            (out / "figures" / f"{NAME}.{kind}").unlink(missing_ok=True)
    write_together(contents)
    return [*contents, *figures]


def write_published_claims(out: Path) -> list[Path]:
    """Writes `claims_published.csv` and `claims_published.md` into `out`; returns their paths."""
    found = printed_ledger()
    frame = pd.DataFrame([printed_record(finding) for finding in found]).astype(
        {"comparisons": "Int64", "cause": "Int64"}
    )
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
        | {"ours": bound.claim.ours, "opposite": opposite_places().get(bound.claim.id, "")}
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
        | {"cause": finding.cause, "ours": finding.ours, "opposite": opposite_places().get(claim.id, "")}
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
    scopes = [finding.bound.scope for finding in checked if finding.printed]
    awaited = sum(finding.reason == AWAITED for finding in found)
    ours = sum(bool(finding.bound.claim.ours) for finding in checked)
    parts = [
        f"# Claims, checked in the study {markdown(study.name)}",
        *_counted(found),
        *caveats(scopes),
        LEGEND if checked else f"{unchecked(awaited)} The reasons stand below.",
        *([f"{ours} of the verdicts rest on a margin or reading of ours, and are marked."] if ours else []),
    ]
    for group in dict.fromkeys(finding.bound.claim.group for finding in checked):
        parts += [f"## {markdown(group)}", _table([f for f in checked if f.bound.claim.group == group])]
    missing = [finding for finding in found if finding.verdict == "not run"]
    if missing:
        parts += ["## Not run", _missing(missing)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _counted(found: Sequence[Finding]) -> Iterator[str]:
    """How many have which verdict: the paper's claims, then the comparisons of the study's own methods."""
    for name, part in (
        ("claims", [f for f in found if f.printed]),
        ("comparisons of this study's own methods", [f for f in found if not f.printed]),
    ):
        counts = Counter(finding.verdict for finding in part)
        if part:
            yield (
                f"Of {len(part)} {name} {counts['holds']} hold here, {counts['fails']} fail, "
                f"{counts['inconclusive']} are inconclusive, and {counts['not run']} were not run."
            )


def caveats(scopes: Iterable[str | None]) -> list[str]:
    """What a reader must know first of claims that were checked in those scopes."""
    return [SCOPES[scope] for scope in dict.fromkeys(scopes) if scope in SCOPES]


def unchecked(awaited: int) -> str:
    """That no claim is checked, and whether some wait for runs: so many, or the study is of other things."""
    if awaited:
        return f"Nothing is checked yet: of the runs behind {counted(awaited, 'claim')} there are no metrics."
    return "Nothing in this study can be compared with what the paper claims."


def remarks(ours: str, opposite: str) -> list[str]:
    """What a reader of a verdict must know besides.

    Args:
        ours: what it rests on that is not the paper's.
        opposite: where the paper claims the opposite.
    """
    found = [f"Our {ours}."] if ours else []
    if opposite:
        found.append(
            f"Of the same number the paper claims the opposite, too ({opposite}): at most one of them can hold."
        )
    return found


def _marked(
    texts: Mapping[str, str], said: Mapping[str, list[str]]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Claims by name, each with the signs of what is to be remarked on it, and all remarks with their signs."""
    signs = signed_notes(remark for name in texts for remark in said[name])
    marked = {name: text + "".join(signs[remark] for remark in said[name]) for name, text in texts.items()}
    return marked, tuple(f"{sign} {remark}" for remark, sign in signs.items())


HEADERS = ("Verdict", "Claim", "Decided by")
COLUMNS = ("Effect", "95 % interval", "Claimed", "n", "p", "Holm", "Published")


def _table(found: Sequence[Finding]) -> str:
    claims = [finding.bound.claim for finding in found]
    said = {claim.id: remarks(claim.ours, opposite_places().get(claim.id, "")) for claim in claims}
    texts, notes = _marked({f.bound.claim.id: f.bound.text for f in found}, said)
    lines = [
        Line((f.verdict, texts[f.bound.claim.id], _decided(f)), 0, tuple(map(Printed, _cells(f))))
        for f in found
    ]
    return to_markdown(Sheet("", "", HEADERS, COLUMNS, tuple(lines), notes))


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
    failing = [finding for finding in found if finding.verdict == "fails"]
    slip_lines = tuple(Line((slip.where, slip.says, slip.but), 0, ()) for slip in contradictions)
    parts = [
        "# The paper's claims on its own numbers",
        f"Of {len(found)} claims {counts['holds']} hold in the printed means, {counts['fails']} fail"
        f"{_reasons(failing)}, and {counts['not printed']} are about numbers that are not printed. Of the {tested} "
        f"that hold and come with deviations, {sure} are beyond what three runs a side can do by chance (Welch's t "
        "test, Holm's correction under each heading).",
        "## Claims that fail",
        _printed_table(sorted(failing, key=lambda finding: finding.cause or 0), causes=True),
        "## Contradictions besides",
        to_markdown(Sheet("", "", ("Where", "It says", "But"), (), slip_lines)),
        "## All claims",
    ]
    for group in dict.fromkeys(finding.claim.group for finding in found):
        parts += [
            f"### {markdown(group)}",
            _printed_table([finding for finding in found if finding.claim.group == group]),
        ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _reasons(failing: Sequence[PrintedFinding]) -> str:
    """How many slips of the paper are behind claims that fail; one slip may make several fail."""
    causes = {finding.cause for finding in failing}
    ours = {finding.cause for finding in failing if finding.ours}
    if not causes:
        return ""
    by_us = f", and {len(ours)} by a margin or reading of ours" if ours else ""
    return f" (from {counted(len(causes - ours), 'slip')} of the paper{by_us})"


def _printed_table(found: Sequence[PrintedFinding], causes: bool = False) -> str:
    """Claims on the printed numbers; with `causes` led by the number of what makes them fail."""
    said = {f.claim.id: remarks(f.ours, opposite_places().get(f.claim.id, "")) for f in found}
    texts, notes = _marked({f.claim.id: in_the_paper(f.claim) for f in found}, said)
    lines = [
        Line(
            (*([str(f.cause)] if causes else []), f.verdict, texts[f.claim.id], f.note),
            0,
            (Printed(f.spread or MISSING), Printed(_p(f.p_holm))),
        )
        for f in found
    ]
    headers = (*(["Cause"] if causes else []), "Printed means", "Claim", "But")
    return to_markdown(Sheet("", "", headers, ("By spread", "Holm"), tuple(lines), notes))
