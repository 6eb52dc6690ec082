#!/usr/bin/env python3
"""Turn a policy of puffer-phc or PHC into a checkpoint: uv run scripts/import_checkpoint.py model.pt --out phc.pt."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from puffer_phc.cli import guarded
from puffer_phc.config import Config
from puffer_phc.factory import make_robot
from puffer_phc.training.import_phc import convert


@dataclass(frozen=True)
class Arguments:
    """Converts a policy of puffer-phc; docs/migration.md says what to expect of it.

    Attributes:
        source: the file to convert, such as model_001500.pt.
        out: checkpoint to write.
    """

    source: Annotated[Path, tyro.conf.Positional]
    out: Path = Path("imported.pt")


def main(arguments: Arguments, console: Console) -> int:
    """Convert and say what to do next."""
    cfg = Config()
    robot = make_robot(cfg)
    num_obs = 39 * robot.num_bodies - 2
    cfg = convert(arguments.source, arguments.out, cfg, robot.name, num_obs, robot.num_dofs)
    widths = "-".join(map(str, cfg.policy.hidden))
    console.print(f"{arguments.out}: network {num_obs}-{widths}-{robot.num_dofs}, absolute actions", highlight=False)
    console.print(f"uv run scripts/train.py --mode eval -c {arguments.out} --env.motion_file FILE", soft_wrap=True)
    return 0


if __name__ == "__main__":
    given = tyro.cli(Arguments)
    sys.exit(guarded(lambda console: main(given, console)))
