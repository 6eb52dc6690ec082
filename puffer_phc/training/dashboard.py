"""What a person sees while a policy trains: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

_LINE_EVERY = 15.0  # seconds between lines when there is no terminal

# Shown left to right, top to bottom: metric, heading, format.
_SHOWN = (
    ("speed/steps_per_second", "samples / s", "{:,.0f}"),
    ("episode/length", "episode length (steps)", "{:.1f}"),
    ("episode/success", "episodes that reach the end", "{:.0%}"),
    ("reward/mean", "reward per step", "{:.3f}"),
    ("reward/body_pos", "  position term", "{:.3f}"),
    ("reward/body_rot", "  rotation term", "{:.3f}"),
    ("loss/policy_loss", "policy loss", "{:.4f}"),
    ("loss/value_loss", "value loss", "{:.4f}"),
    ("loss/approx_kl", "KL to the last policy", "{:.3f}"),
    ("loss/clip_fraction", "clipped", "{:.0%}"),
    ("loss/learning_rate", "learning rate", "{:.1e}"),
    ("speed/rollout_share", "time in simulation", "{:.0%}"),
    ("speed/update_share", "time in learning", "{:.0%}"),
    ("speed/eval_share", "time in evaluation", "{:.0%}"),
    ("eval/success_rate", "clips followed to the end", "{:.1%}"),
    ("eval/mpjpe_all", "mean error (mm)", "{:.1f}"),
    ("best/success_rate", "best: clips followed", "{:.1%}"),
    ("best/mpjpe_all", "best: mean error (mm)", "{:.1f}"),
)


class Dashboard(Protocol):
    """Shows progress; ``fraction`` is the share of the run that is done."""

    def show(self, fraction: float, steps: int, values: dict[str, float]) -> None:
        """Take note of new metrics."""
        ...

    def say(self, message: str) -> None:
        """Print one line for good."""
        ...

    def __enter__(self) -> Dashboard: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def make_dashboard(title: str, console: Console, live: bool) -> Dashboard:
    """A live panel where the console is a terminal and ``live`` is wanted, else lines."""
    return LivePanel(title, console) if live and console.is_terminal else Lines(console)


class LivePanel:
    """A redrawn table of metrics with a progress bar."""

    def __init__(self, title: str, console: Console) -> None:
        self._title, self._values = title, {}  # type: tuple[str, dict[str, float]]
        self._progress = Progress(
            TextColumn("{task.fields[steps]} samples"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task: TaskID = self._progress.add_task("train", total=1.0, steps="0")
        self._live = Live(self._draw(), console=console, refresh_per_second=2)

    def show(self, fraction: float, steps: int, values: dict[str, float]) -> None:
        """See :class:`Dashboard`."""
        self._values = {**self._values, **values}
        self._progress.update(self._task, completed=fraction, steps=f"{steps:,}")
        self._live.update(self._draw())

    def say(self, message: str) -> None:
        """See :class:`Dashboard`."""
        self._live.console.print(message, highlight=False)

    def _draw(self) -> Panel:
        table = Table.grid(padding=(0, 2), expand=True)
        cells = [(head, form.format(self._values[key])) for key, head, form in _SHOWN if key in self._values]
        half = (len(cells) + 1) // 2
        for left, right in zip(cells[:half], [*cells[half:], ("", "")], strict=False):
            table.add_row(f"[dim]{left[0]}[/]", f"[bold]{left[1]}[/]", f"[dim]{right[0]}[/]", f"[bold]{right[1]}[/]")
        return Panel(Group(table, self._progress), title=self._title, border_style="blue")

    def __enter__(self) -> LivePanel:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


class Lines:
    """One line every few seconds, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console, self._next = console, 0.0
        self._values: dict[str, float] = {}

    def show(self, fraction: float, steps: int, values: dict[str, float]) -> None:
        """See :class:`Dashboard`."""
        self._values |= values
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LINE_EVERY
        parts = [f"{fraction:4.0%}", f"{steps:>10,} samples"]
        for key, head, form in (
            ("speed/steps_per_second", "/s", "{:,.0f}"),
            ("episode/length", " steps per episode", "{:.0f}"),
            ("reward/mean", " reward", "{:.3f}"),
            ("eval/success_rate", " of clips followed", "{:.0%}"),
            ("eval/mpjpe_all", " mm", "{:.0f}"),
        ):
            if key in self._values:
                parts.append(form.format(self._values[key]) + head)
        self.say("  ".join(parts))

    def say(self, message: str) -> None:
        """See :class:`Dashboard`."""
        self._console.print(message, highlight=False, soft_wrap=True)

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
