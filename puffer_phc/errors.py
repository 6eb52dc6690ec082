"""The one exception a user may see: what is wrong, where, and what would be right."""

from __future__ import annotations

from pathlib import Path

EXIT_BAD_INPUT = 2


class InputError(ValueError):
    """A fault in something the user gave us (a file, an option), told in one line.

    Command-line entry points print it as a single line and exit with code 2; nothing has been written by then.

    Args:
        where: the file or option at fault.
        fault: what is wrong with it, without the name of the file.
        remedy: what would be right, as an instruction.
    """

    def __init__(self, where: str | Path, fault: str, remedy: str) -> None:
        self.where, self.fault, self.remedy = str(where), fault, remedy
        super().__init__(" ".join(f"{where}: {fault}; {remedy}".split()))
