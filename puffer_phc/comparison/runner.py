"""Runs the cells of a comparison that are not there yet, one after the other."""

from __future__ import annotations

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from puffer_phc.comparison import baselines, ours, report
from puffer_phc.comparison.sb3_import import import_stable_baselines3
from puffer_phc.comparison.study import Cell, Log, StudyConfig, evaluate, film, write_result
from puffer_phc.errors import InputError
from puffer_phc.training.run_folder import make_folder


def run(study: StudyConfig, console: Console) -> int:
    """Run, evaluate and film what is missing, then report on all that is there; returns the exit code.

    Raises:
        InputError: an option is wrong, or what is there was made with other settings.
    """
    study.check()
    if not study.plot_only:
        missing = [cell for cell in study.cells() if not cell.finished()]
        if any(cell.algorithm != "ours" for cell in missing):
            import_stable_baselines3()  # or tell how to install it, before anything has run
        make_folder(study.out / study.task)
        torch.set_num_threads(study.cores)
        with Progress(
            TextColumn("{task.description:14}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} steps  return {task.fields[value]:,.0f}"),
            TimeRemainingColumn(),
            console=console,
        ) as progress:
            for cell in missing:
                _run_cell(cell, progress)
    table, files = report.write(study)
    console.print(table)
    for file in files:
        console.print(str(file), soft_wrap=True, highlight=False)
    return 0


def _run_cell(cell: Cell, progress: Progress) -> None:
    study = cell.study
    bar = progress.add_task(f"{cell.algorithm} seed {cell.seed}", total=study.steps, value=0.0)
    train = ours.train if cell.algorithm == "ours" else baselines.train
    with Log(cell, lambda steps, mean: progress.update(bar, completed=steps, value=mean)) as log:
        act = train(cell, log)
    returns = evaluate(study.task, act, study.episodes, cell.seed)
    progress.update(bar, completed=log.steps, value=sum(returns) / len(returns))
    if study.video:
        try:
            film(study.task, act, cell.folder / "video.mp4")
        except InputError as error:
            progress.console.print(f"no video of {cell.folder.name}: {error}", soft_wrap=True)
    write_result(cell, log, returns)
