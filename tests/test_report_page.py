"""The report in a headless browser: nothing missing, nothing asked of a network, legible on a phone, at night."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aikd.results.claims.pages import write_claims
from aikd.results.report.page import write_report
from tests.browser import Page, installed
from tests.results.report_study import fill, small

pytestmark = pytest.mark.skipif(installed() is None, reason="no Chromium is installed")

OPEN = "document.querySelectorAll('details').forEach(details => details.open = true)"
PICTURES = """Promise.all([...document.images].map(image => image.decode().then(
  () => [image.naturalWidth, image.getBoundingClientRect().width, image.alt], error => [0, 0, String(error)])))"""
# The contrast of WCAG 2.1 between each piece of text and what lies behind it.
CONTRAST = """(() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const part = x => (x /= 255) <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const found = rgb(getComputedStyle(e).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walker.nextNode();) {
    if (!node.textContent.trim()) continue;
    const style = getComputedStyle(node.parentElement);
    const ink = node.parentElement.closest('svg') ? style.fill : style.color;
    const [a, b] = [light(rgb(ink)), light(behind(node.parentElement))].sort((x, y) => y - x);
    found.push([(a + .05) / (b + .05), node.textContent.trim().slice(0, 40)]);
  }
  return found;
})()"""
DRAWN = """[...document.querySelectorAll('svg polyline, svg circle, svg path')].filter(e =>
  getComputedStyle(e).stroke === 'none' && getComputedStyle(e).fill === 'none').length"""


BOXES = "[...document.querySelectorAll('figure .wide')].map(box => box.getBoundingClientRect().right)"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a study that seems to have run."""
    root = tmp_path_factory.mktemp("page")
    study = small()
    fill(study, root / "results", root / "data")
    write_claims(study, root / "results", root / "results")
    write_report(study, root / "results", root / "data", root / "results/report.html")
    return root / "results/report.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Page(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_all_pictures_are_there_and_nothing_else_is_asked_for(page: Page, report: Path, width: int) -> None:
    page.look(width)
    page.open(report)
    page.run(OPEN)
    pictures = page.run(PICTURES)
    assert len(pictures) == 5 + 1  # and the claims
    for natural, shown, text in pictures:
        assert natural > 300, text
        assert shown > 0
        assert "Digits" in text or text.startswith("Claims.")
    assert max(page.run(BOXES)) <= width
    assert page.requests == [report.as_uri()]
    assert page.complaints == []


@pytest.mark.parametrize("opened", [False, True])
def test_a_phone_scrolls_the_page_in_one_direction_only(page: Page, report: Path, opened: bool) -> None:
    page.look(360)
    page.open(report)
    if opened:
        page.run(OPEN)
    assert (
        page.run("[innerWidth, document.documentElement.scrollWidth, document.body.scrollWidth]") == [360] * 3
    )
    assert page.run("document.querySelectorAll('table').length") == page.run(
        "document.querySelectorAll('.wide table').length"
    )
    assert page.run("parseFloat(getComputedStyle(document.querySelector('main p')).fontSize)") >= 16


def test_small_print_of_figures_is_not_made_smaller_on_a_phone(page: Page, report: Path) -> None:
    """Letters of 5.5 points, the smallest in the claims' figure, are at least 9 pixels high; it scrolls in its box."""
    page.look(360)
    page.open(report)
    widths = page.run(
        "[...document.images].map(image => [image.closest('figure').id, image.getBoundingClientRect().width])"
    )
    inches = page.run("document.querySelector('#claims_figure img').naturalWidth") / 300
    pixels = dict(widths)["claims_figure"] / inches
    assert 5.5 / 72 * pixels >= 9
    assert page.run("(b => b.scrollWidth > b.clientWidth)(document.querySelector('#claims_figure .wide'))")
    verdict, claim = page.run(
        "(document.querySelectorAll('details').forEach(d => d.open = true),"
        "[...document.querySelectorAll('.wide td.words')].filter(c => c.closest('details')).slice(0, 1).flatMap(c =>"
        "[c.parentElement.querySelector('th').getBoundingClientRect().left, c.getBoundingClientRect().right]))"
    )
    assert verdict >= 0
    assert claim <= 360  # verdict and claim are read without scrolling


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_by_day_and_by_night(page: Page, report: Path, scheme: str) -> None:
    page.look(1280, scheme=scheme)
    page.open(report)
    page.run(OPEN)
    back = page.run("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") is (scheme == "light")
    found = page.run(CONTRAST)
    assert len(found) > 500
    assert [(round(contrast, 2), text) for contrast, text in found if contrast < 4.5] == []
    assert page.run(DRAWN) == 0


def test_what_is_wrong_would_be_seen(page: Page, tmp_path: Path) -> None:
    """The checks above fail where they should: a missing picture, a script that fails, faint text, a wide table."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><meta name=viewport content='width=device-width'><img src=gone.png alt=Digits>"
        "<p style='color:#999'>faint</p><div style='width:900px'>wide</div><script>nothing.at.all()</script>"
    )
    page.look(360)
    page.open(bad)
    assert page.run(PICTURES)[0][0] == 0
    assert page.requests == [bad.as_uri(), (tmp_path / "gone.png").as_uri()]
    assert any("nothing is not defined" in complaint for complaint in page.complaints)
    assert page.run("document.documentElement.scrollWidth") > 360
    assert [text for contrast, text in page.run(CONTRAST) if contrast < 4.5] == ["faint"]
