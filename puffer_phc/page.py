"""Self-contained web pages for reports: text, tables, pictures; light and dark; no network, no other file."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#123457"
"""Stands in pictures for the page's text colour."""

SERIES = ("#123460", "#123461", "#123462", "#123463", "#123464", "#123465")
"""Stand in pictures for the page's colours of data, which differ between light and dark."""

_LIGHT = ("#1d5fa8", "#b45309", "#0f766e", "#7c3aed", "#be123c", "#57534e")
_DARK = ("#7db3f0", "#f0a35e", "#4fd1c5", "#b79cf7", "#fb8a9c", "#a8a29e")

_STYLE = (
    f"""
:root {{ color-scheme: light dark; --ink: #1c1917; --soft: #57534e; --line: #d6d3d1; --page: #ffffff; --mark: #fef3c7;
  --good: #166534; --bad: #b91c1c; {" ".join(f"--s{i}: {colour};" for i, colour in enumerate(_LIGHT))} }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e7e5e4; --soft: #b5afa9; --line: #44403c; --page: #1c1917;
  --mark: #45330f; --good: #86efac; --bad: #fca5a5; {" ".join(f"--s{i}: {c};" for i, c in enumerate(_DARK))} }} }}
"""
    + """
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 0 }
main { max-width: 1180px; margin: 0 auto; padding: 24px }
h1 { font-size: 24px; margin: 0 0 8px } h2 { font-size: 19px; margin: 36px 0 8px }
h3 { font-size: 16px; margin: 20px 0 6px }
p { max-width: 80ch } a { color: var(--s0) }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 16px }
.plots svg { width: 100%; height: auto } figure { margin: 0 }
figcaption { color: var(--soft); font-size: 13px; overflow-wrap: anywhere }
.beside { display: flex; flex-wrap: wrap; gap: 0 48px } .beside > div { min-width: 0 }
.clips { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 16px }
.clips img { width: 100%; height: auto; border-radius: 4px; display: block }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
caption { text-align: left; color: var(--soft); padding-bottom: 4px }
th, td { text-align: right; padding: 3px 10px; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td.text, th.text { text-align: left } td.text { white-space: normal; min-width: 220px }
th { color: var(--soft); font-weight: 600; vertical-align: bottom }
tbody th { color: var(--ink); font-weight: 400; vertical-align: middle }
thead th { white-space: normal }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer;
  text-align: inherit; text-decoration: underline dotted; text-underline-offset: 3px }
th[aria-sort=ascending] button::after { content: " ▲" } th[aria-sort=descending] button::after { content: " ▼" }
.good { color: var(--good) } .bad { color: var(--bad); font-weight: 700 } tr.mark > * { background: var(--mark) }
"""
)

_SCRIPT = """
for (const table of document.querySelectorAll("table.sortable"))
  for (const button of table.querySelectorAll("th button")) button.onclick = () => {
    const head = button.parentElement, up = head.getAttribute("aria-sort") !== "ascending", body = table.tBodies[0];
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => { const cell = row.cells[head.cellIndex]; return cell.dataset.v ?? cell.textContent; };
    const order = new Intl.Collator(undefined, { numeric: true }).compare;
    const compare = (a, b) => { const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      return (isNaN(x) || isNaN(y) ? order(x, y) : x - y) * (up ? 1 : -1); };
    body.append(...[...body.rows].sort(compare));
  };
"""


class Cell(NamedTuple):
    """One cell of a table.

    Attributes:
        text: what is shown.
        value: what is sorted by, where that is not the text; an empty one goes to the end.
        kind: class: ``good``, ``bad``, ``text`` (words, left) or none.
    """

    text: str
    value: float | str | None = None
    kind: str = ""


def escape(text: object) -> str:
    """Text for the inside of an element or of an attribute's quotes."""
    return html.escape(str(text), quote=True)


def page(title: str, body: Sequence[str]) -> str:
    """A whole page; ``body`` begins after the heading, which is ``title``."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        # Browsers ask for an icon that is not there otherwise, and log that it is not.
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{_STYLE}</style>'
    )
    main = f"<main><h1>{escape(title)}</h1>{''.join(body)}</main><script>{_SCRIPT}</script>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{main}</body></html>\n'


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{escape(text)}</p>"


def table(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[Cell | str]],
    sortable: bool = False,
    marked: Sequence[int] = (),
) -> str:
    """A table whose first column names the rows; rows ``marked`` stand out."""
    columns = "".join(
        f'<th scope="col"{_class("text") if _wordy(rows, place) else ""}>'
        + (f'<button type="button">{escape(head)}</button>' if sortable else escape(head))
        + "</th>"
        for place, head in enumerate(heads)
    )
    lines = []
    for number, row in enumerate(rows):
        first, *rest = (cell if isinstance(cell, Cell) else Cell(cell) for cell in row)
        cells = f'<th scope="row"{_value(first)}>{escape(first.text)}</th>'
        cells += "".join(f"<td{_class(cell.kind)}{_value(cell)}>{escape(cell.text)}</td>" for cell in rest)
        lines.append(f"<tr{_class('mark') if number in marked else ''}>{cells}</tr>")
    kind = _class("sortable") if sortable else ""
    inside = f"<caption>{escape(caption)}</caption><thead><tr>{columns}</tr></thead><tbody>{''.join(lines)}</tbody>"
    # What can be scrolled must be reached by keyboard.
    region = f'class="scroll" tabindex="0" role="group" aria-label="{escape(caption)}"'
    return f"<div {region}><table{kind}>{inside}</table></div>"


def _wordy(rows: Sequence[Sequence[Cell | str]], place: int) -> bool:
    return bool(rows) and isinstance(cell := rows[0][place], Cell) and cell.kind == "text"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _value(cell: Cell) -> str:
    return "" if cell.value is None else f' data-v="{escape(cell.value)}"'


def plot(title: str, width: float = 5.6, height: float = 3.0) -> tuple[Figure, Axes]:
    """An empty picture with one pair of axes, to be drawn in :data:`INK` and :data:`SERIES`; inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, color=INK, fontsize=11, loc="left")
    axes.tick_params(colors=INK)
    axes.grid(alpha=0.25, color=INK, linewidth=0.6)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_color(INK)
        spine.set_visible(name in ("left", "bottom"))
    return figure, axes


def picture(figure: Figure, label: str) -> str:
    """A drawn figure for ``<div class=plots>``; ``label`` says in words what it shows."""
    described = f'<svg role="img" aria-label="{escape(label)}" '
    return f"<figure>{_svg(figure).replace('<svg ', described, 1)}</figure>"


def _svg(figure: Figure) -> str:
    """The figure's SVG element, equal for equal pictures, in the page's own colours."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "puffer-phc", "svg.fonttype": "none", "font.family": "sans-serif"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    for number, colour in enumerate(SERIES):
        text = text.replace(colour, f"var(--s{number})")
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # the same in every picture, and used by none
    # The figure's and the axes' white backgrounds would glare on a dark page.
    return text.replace("fill: #ffffff", "fill: none")


def image(png: bytes, alt: str) -> str:
    """A PNG picture; ``alt`` says in words what it shows."""
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="{escape(alt)}">'
