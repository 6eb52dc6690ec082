"""The command line: options from ini files and flags, then one of the modes."""

from __future__ import annotations

import logging
import os
import sys
import typing
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.logging import RichHandler

from puffer_phc.checkpoint_flags import split_checkpoints
from puffer_phc.config import ROOT, BaseConfig, Config
from puffer_phc.config_checks import check
from puffer_phc.config_files import load_ini
from puffer_phc.errors import EXIT_BAD_INPUT, InputError
from puffer_phc.old_names import refuse_old_flags

EXIT_INTERRUPTED = 130
_BOOLEANS = ("true", "false", "True", "False")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code (2 for bad input, told in one line)."""
    given = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda console: _main(given, console))


def _main(given: Sequence[str], console: Console) -> int:
    cfgs = parse_each(given)
    if len(cfgs) == 1:
        return run(cfgs[0], console, ini_files(given))
    from puffer_phc import modes

    return modes.evaluate_several(cfgs, console)


def guarded(work: Callable[[Console], int]) -> int:
    """Run ``work`` with a console; turns bad input into one line and exit code 2."""
    console = Console()
    logging.basicConfig(format="%(message)s", handlers=[RichHandler(console=console, show_time=False)])
    logging.getLogger("puffer_phc").setLevel("INFO")
    try:
        return work(console)
    except InputError as error:
        rank = os.environ.get("RANK", "0")  # of several processes the first speaks for all, most likely
        print(f"error: {error}" if rank == "0" else f"error on rank {rank}: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def parse(arguments: Sequence[str]) -> Config:
    """Options: ``config.ini``, then those of a checkpoint to play, evaluate or resume, ``--config`` files, flags.

    Raises:
        InputError: an ini file or a number is wrong. A wrong flag ends the program with code 2 and a hint.
    """
    files, flags = _split_config_files(arguments)
    refuse_old_flags(flags, _option_names())
    ini = ROOT / "config.ini"
    cfg = load_ini(Config(), ini) if ini.exists() else Config()
    base = _parse_flags(_with_files(cfg, files), flags).base
    if base.resume or (base.checkpoint and base.mode in ("play", "eval", "export")):
        cfg = _saved_options(base, cfg)
    cfg = _parse_flags(_with_files(cfg, files), flags)
    check(cfg)
    return cfg


def _option_names() -> set[str]:
    """Every option as a flag without its dashes."""
    sections = typing.get_type_hints(Config).items()
    return {name if section == "base" else f"{section}.{name}" for section, kind in sections for name in _names(kind)}


def _names(kind: type) -> list[str]:
    return [item.name for item in fields(kind)]


def parse_each(arguments: Sequence[str]) -> list[Config]:
    """As :func:`parse`, once for each checkpoint that is to be evaluated.

    Raises:
        InputError: as there, or several checkpoints are given for something else.
    """
    rest, paths = split_checkpoints(arguments)
    if not paths:
        return [parse(arguments)]
    cfgs = [parse([*rest, "--checkpoint", path]) for path in paths]
    if len(cfgs) > 1 and cfgs[0].base.mode != "eval":
        raise InputError("--checkpoint", f"{len(cfgs)} of them are given", "give one, or --mode eval to compare them")
    return cfgs


def ini_files(arguments: Sequence[str]) -> list[Path]:
    """Every ini file that options come from: ``config.ini``, if there, then those of ``--config``."""
    return [*(path for path in [ROOT / "config.ini"] if path.exists()), *_split_config_files(arguments)[0]]


def _with_files(cfg: Config, files: list[Path]) -> Config:
    for path in files:
        cfg = load_ini(cfg, path)
    return cfg


def _saved_options(base: BaseConfig, cfg: Config) -> Config:
    """The options that a run was made with, but for ``[base]``; how to evaluate is not the run's business either."""
    from puffer_phc.training import checkpoint

    path = Path(base.resume) / "checkpoints" / checkpoint.LAST if base.resume else Path(base.checkpoint)
    saved = checkpoint.config_of(checkpoint.load(path), path)
    return replace(saved, base=cfg.base, play=cfg.play, export=cfg.export, eval=saved.eval if base.resume else cfg.eval)


def _parse_flags(cfg: Config, flags: list[str]) -> Config:
    return tyro.cli(
        Config,
        prog="train.py",
        description="Train, play and evaluate humanoids that perform motion capture. Options come from config.ini, "
        "then --config FILE (repeatable), then these flags.",
        default=cfg,
        args=flags,
        use_underscores=True,
        config=(tyro.conf.FlagConversionOff,),
    )


def _split_config_files(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Ini files of ``--config``, and the other arguments with switches and ``true`` spelt as tyro wants them."""
    files: list[Path] = []
    flags: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.partition("=")
        if name == "--config":
            value = value if equals else (rest.pop(0) if rest else "")
            if not value:
                raise InputError("--config", "names no file", "give the path of an ini file")
            files.append(Path(value))
            continue
        if not _is_switch(name):
            flags.append(argument)
            continue
        flags.append(name + equals + value.capitalize() if value in _BOOLEANS else argument)
        if not equals:
            given = rest and rest[0] in _BOOLEANS
            flags.append(rest.pop(0).capitalize() if given else "True")
    return files, flags


def _is_switch(flag: str) -> bool:
    """Whether ``flag`` is an option that is true or false."""
    section, _, name = flag.removeprefix("--").rpartition(".")
    hints = typing.get_type_hints(Config).get(section or "base")
    return (
        flag.startswith("--") and hints is not None and typing.get_type_hints(hints).get(name.replace("-", "_")) is bool
    )


def run(cfg: Config, console: Console, files: Sequence[Path] = ()) -> int:
    """Carry out ``base.mode``; a sweep reads from the ini files what to search."""
    # Imported late, so that --help and mistakes in options answer at once.
    if cfg.base.mode == "sweep":
        from puffer_phc.sweeps.spaces import import_optuna

        import_optuna()  # or tell how to install it
        from puffer_phc.sweeps.driver import sweep

        return sweep(cfg, console, files)
    from puffer_phc import modes

    if cfg.base.threads:
        torch.set_num_threads(cfg.base.threads)
    if cfg.base.mode == "train":
        return modes.train(cfg, console)
    if cfg.base.mode == "eval":
        return modes.evaluate(cfg, console)
    if cfg.base.mode == "export":
        return modes.export(cfg, console)
    return modes.play(cfg, console)
