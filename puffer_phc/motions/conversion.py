"""Converts motion files of any format to the project's own: a folder in, a folder and a report out."""

from __future__ import annotations

import json
import math
import multiprocessing
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from puffer_phc.errors import InputError
from puffer_phc.motions.body_shape import with_shape
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.conversion_files import (
    ConversionOptions,
    Job,
    build_robot,
    finished,
    list_jobs,
    row_dict,
    write_record,
)
from puffer_phc.motions.formats import SourceOptions, find_reader, npz, read_header
from puffer_phc.motions.formats.arrays import write_atomic
from puffer_phc.motions.joint_maps import read_joint_map
from puffer_phc.motions.quality import measure
from puffer_phc.motions.quality_report import Row, headline, html_page, quality_table
from puffer_phc.motions.retargeting import retarget
from puffer_phc.processor import cores
from puffer_phc.robots.robot import Robot

_SAME_RATE = 1e-3  # files round 120 frames per second to a frame time of 8.333 ms


def convert(options: ConversionOptions, console: Console) -> list[Row]:
    """Convert everything, print a summary and write ``report.html`` and ``report.json``.

    What is already converted with the same options is left alone. A file that cannot be converted is reported and does
    not stop the others.

    Returns:
        One row per clip, and one per file without any.

    Raises:
        InputError: there is nothing to convert, nothing could be converted, or the results cannot be written.
    """
    overrides = read_joint_map(options.joint_map) if options.joint_map else {}
    jobs, ignored = list_jobs(options, overrides)
    done = {job: rows for job in jobs if (rows := finished(options, job)) is not None}
    waiting = [job for job in jobs if job not in done]
    # The longest first, so that no process is left alone with it at the end.
    waiting.sort(key=lambda job: (-job.source.stat().st_size, str(job.source)))
    done |= _run(options, overrides, waiting, console, already=len(done))
    rows = [row for job in jobs for row in done[job]]
    _check_any(options, jobs, rows)
    page, _ = write_report(options, rows)
    console.print(quality_table(rows))
    again = f" ({len(jobs) - len(waiting)} files were converted before)" if len(waiting) < len(jobs) else ""
    console.print(f"{headline(rows)}{again}", highlight=False)
    for remark, count in Counter(remark for row in rows for remark in row.remarks).items():
        clips = "1 clip" if count == 1 else f"{count} clips"
        console.print(f"{clips}: {remark}", highlight=False, markup=False, soft_wrap=True)
    if ignored:
        console.print(f"no motions in {len(ignored)} files: {', '.join(ignored[:5])}", highlight=False)
    console.print(f"report: {page}", highlight=False, soft_wrap=True)
    return rows


def convert_clip(
    clip: MotionClip, robot: Robot, options: ConversionOptions, overrides: Mapping[str, str]
) -> tuple[MotionClip, Row]:
    """One clip on the robot, and what is to be said about it.

    Raises:
        InputError: the clip is damaged, too short or of an unknown skeleton.
    """
    clip, shape_remark = with_shape(clip, options.smpl)
    result = retarget(clip, robot, options.target_fps, overrides, options.clean)
    after = measure(result.clip, robot)
    before = measure(result.transferred, robot) if options.clean else None
    rejected = after.verdict == "reject" and not options.keep_rejected
    row = Row(
        clip.name,
        clip.source,
        after,
        before,
        result.notes,
        "; ".join(after.reasons) if rejected else "",
        remarks=tuple(remark for remark in (_rate_remark(clip, options.told), shape_remark) if remark),
    )
    return result.clip, row


def _rate_remark(clip: MotionClip, told: SourceOptions) -> str:
    """Says that a clip has another frame rate than the one told for files without; empty otherwise."""
    if told.fps is None or told.override_fps is not None or math.isclose(clip.fps, told.fps, rel_tol=_SAME_RATE):
        return ""
    return f"own frame rate of {clip.fps:g} kept, not --fps {told.fps:g}; --override-fps would force it"


def _check_any(options: ConversionOptions, jobs: Sequence[Job], rows: Sequence[Row]) -> None:
    """Raises InputError if not a single clip was converted."""
    if not all(row.dropped for row in rows):
        return
    if len(jobs) > 1:
        fault = f"none of its {len(rows)} motions could be converted ({rows[0].name}: {rows[0].dropped})"
        raise InputError(options.source, fault, "see the reasons above")
    fault, _, remedy = rows[0].dropped.rpartition("; ")
    if rows[0].after is not None:
        fault, remedy = rows[0].dropped, "give --keep-rejected to convert it nevertheless"
    raise InputError(options.source, fault or rows[0].dropped, remedy)


def write_report(options: ConversionOptions, rows: Sequence[Row]) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.json``; returns their paths.

    Raises:
        InputError: they cannot be written.
    """
    out = options.out.with_suffix("") if options.out.suffix == ".npz" else options.out
    folder = options.report or out.with_name(out.name + "_report")
    page = html_page(rows, f"Motions converted from {options.source.name}")
    document = json.dumps([row_dict(row) for row in rows], indent=1) + "\n"
    paths = folder / "report.html", folder / "report.json"
    try:
        for path, text in zip(paths, (page, document), strict=True):
            write_atomic(path, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]
    except OSError as error:
        raise InputError(folder, f"cannot be written ({error.strerror or error})", "name another --report") from error
    return paths


def _run(
    options: ConversionOptions, overrides: Mapping[str, str], jobs: Sequence[Job], console: Console, already: int
) -> dict[Job, list[Row]]:
    """Convert ``jobs`` in parallel; the results do not depend on the number of processes."""
    workers = min(options.workers or cores(), max(len(jobs), 1))
    columns = (TextColumn("converting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    results: dict[Job, list[Row]] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(jobs) + already, completed=already)
        for job, rows in _results(options, overrides, jobs, workers):
            results[job] = rows
            progress.advance(task)
            for row in rows:
                if row.dropped and len(jobs) > 1:
                    progress.console.print(f"dropped {row.name}: {row.dropped}", highlight=False, markup=False)
    return results


def _results(
    options: ConversionOptions, overrides: Mapping[str, str], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[Job, list[Row]]]:
    if workers == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # sums must not depend on how many cores share them
        try:
            yield from ((job, _convert_file(options, overrides, job)) for job in jobs)
        finally:
            torch.set_num_threads(threads)
        return
    # Started afresh: a forked copy of a process with torch's threads in it may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        futures: dict[Future[list[Row]], Job] = {
            pool.submit(_convert_file, options, overrides, job): job for job in jobs
        }
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            remedy = "give fewer --workers and start again; what is finished is kept"
            raise InputError("--workers", "a process died, perhaps for want of memory", remedy) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    torch.set_num_threads(1)


_robot = cache(build_robot)


def _convert_file(options: ConversionOptions, overrides: Mapping[str, str], job: Job) -> list[Row]:
    """Convert one file, write its clips and then the record that says so."""
    robot = _robot(options.robot, options.settings)
    rows: list[Row] = []
    kept: list[MotionClip] = []
    try:
        for clip in _read(job, options.told):
            try:
                converted, row = convert_clip(clip, robot, options, overrides)
            except InputError as error:
                # The row names the file of the motion; a fault in another one must name that.
                why = error.fault if error.where in (str(job.source), clip.name) else str(error)
                rows.append(Row(clip.name, str(job.source), dropped=why))
                continue
            rows.append(row)
            kept += [] if row.dropped else [converted]
        if kept:
            npz.write(job.out, kept)
        write_record(options, job, rows, written=bool(kept))
    except InputError as error:
        return [Row(job.name, str(job.source), dropped=f"{error.fault}; {error.remedy}")]
    except Exception as error:  # a fault of ours in one file must not lose the others
        return [Row(job.name, str(job.source), dropped=f"cannot be converted ({type(error).__name__}: {error})")]
    return rows


def _read(job: Job, told: SourceOptions) -> list[MotionClip]:
    """The clips of a file under their final names: those the file gives them, else the file's place."""
    reader = find_reader(job.source, read_header(job.source))
    if reader is None:
        raise InputError(job.source, "in no known motion format", "give a motion file")
    clips = reader.read(job.source, told)
    named = [replace(c, name=job.name) if c.name == job.source.stem else c for c in clips]
    seen: Counter[str] = Counter()
    result = []
    for clip in named:
        seen[clip.name] += 1
        number = seen[clip.name]
        result.append(clip if number == 1 else replace(clip, name=f"{clip.name}_{number}"))
    return result
