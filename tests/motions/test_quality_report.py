"""The report about the quality of clips: what the table and the page say."""

import io
import math
import re
from dataclasses import replace

import pytest
from rich.console import Console

from puffer_phc.motions.quality import measure
from puffer_phc.motions.quality_report import METRICS, Row, headline, html_page, quality_table
from tests.motions.moving import robot, shifted, walk
from tests.page_reader import check_structure

ODD = "&lt;odd&gt; &amp; [name]"


@pytest.fixture(scope="module")
def rows():
    bad, good = measure(shifted(walk(), z=-0.05), robot()), measure(walk(), robot())
    return [
        Row("walk", "walk.npz", good, bad, ("3 joint jumps mended",), remarks=("read at 30 frames per second",)),
        Row("<odd> & [name]", "b.bvh", bad, bad),
        Row("none", "c.bvh", dropped="no <motion> in it"),
    ]


def tables(page):
    """Texts of the cells of each table's body, row by row, under the table's caption."""
    found = {}
    for table in re.findall(r"<table.*?</table>", page):
        lines = table.partition("<tbody>")[2].split("</tr>")[:-1]
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in lines]
        found[re.search("<caption>(.*?)</caption>", table).group(1).split(";")[0]] = cells
    return found


def labels(page):
    """What the pictures are said to show."""
    return re.findall(r'<svg role="img" aria-label="([^"]*)"', page)


def test_terminal_table_names_what_is_dropped_and_what_is_not_good(rows):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(quality_table(rows))
    text = console.export_text()
    assert "dropped: none" in text
    assert "[name]" in text
    assert "sinks 5.0 cm" in text
    assert headline(rows) == "2 clips, 0.2 minutes (1 use, 1 fixable); 1 dropped"


def test_page_stands_alone(rows):
    page = html_page(rows, "Clips & more")
    check_structure(page)
    assert page == html_page(rows, "Clips & more")
    assert "prefers-color-scheme: dark" in page
    assert "<odd>" not in page, "names are text, not markup"
    for outside in ("src=", "@import", "url(http"):
        assert outside not in page


def test_page_tells_verdicts_reasons_and_remarks(rows):
    found = tables(html_page(rows, "Clips"))
    assert found["Dropped, and why"] == [["none", "no &lt;motion&gt; in it"]]
    assert found["Not yet good, and why"] == [[ODD, "sinks 5.0 cm into the floor"]]
    walked, odd = found["Values over their bar are bold"]
    assert walked[:2] == ["walk", "use"]
    assert walked[-1] == "read at 30 frames per second; 3 joint jumps mended"
    assert odd[:2] == [ODD, "fixable"]
    assert odd[3] == "5.0"
    assert '<td class="bad" data-v="5.0' in html_page(rows, "Clips")  # cm of penetration: over the bar


def test_page_compares_before_with_after(rows):
    page = html_page(rows, "Clips")
    summary = tables(page)["Each measurement over all clips"]
    assert [row[0].rpartition(" (")[0] for row in summary] == [metric.label for metric in METRICS]
    assert summary[0][1:] == ["5.0", "5.0", "5.0", "2.5", "4.5", "5.0"]  # median, 90 % and worst, before and after
    assert len(labels(page)) == 4
    assert labels(page)[0].endswith("in cm; medians: before 5.0, after 2.5")


def test_page_of_clips_that_were_not_cleaned(rows):
    page = html_page([replace(row, before=None) for row in rows], "Clips")
    assert tables(page)["Each measurement over all clips"][0][1:] == ["2.5", "4.5", "5.0"]
    assert labels(page)[0].endswith("in cm; medians: clips 2.5")


def test_a_measurement_that_is_not_known_is_a_dash_and_sorted_last(rows):
    flying = replace(rows[0].after, skate=math.nan)
    page = html_page([Row("flying", after=flying)], "Clips")
    assert tables(page)["Values over their bar are bold"][0][5] == "–"
    assert '<td data-v="">–</td>' in page
    assert labels(page)[1].endswith("in cm/s; medians: none")


def test_page_without_anything_to_show():
    page = html_page([Row("none", dropped="broken")], "Nothing")
    check_structure(page)
    assert "broken" in page
    assert "0 clips" in page
