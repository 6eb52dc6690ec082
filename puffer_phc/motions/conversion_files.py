"""What there is to convert, where it goes, and what an earlier conversion already did."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from puffer_phc.errors import InputError
from puffer_phc.motions.body_shape import MODEL_FOLDER, model_facts
from puffer_phc.motions.formats import SourceOptions, find_reader, is_companion, read_header
from puffer_phc.motions.formats.arrays import write_atomic
from puffer_phc.motions.quality import ClipQuality
from puffer_phc.motions.quality_report import Row
from puffer_phc.robots.amp_humanoid import amp_humanoid_robot
from puffer_phc.robots.mjcf import mjcf_robot
from puffer_phc.robots.robot import Robot
from puffer_phc.robots.smpl import smpl_robot

ROBOTS: dict[str, Callable[[], Robot]] = {"smpl": smpl_robot, "amp_humanoid": amp_humanoid_robot}
"""Robots that motions can be converted for, by name."""


def build_robot(name: str, settings: Path | None) -> Robot:
    """The robot called ``name``, or of the MJCF file of that name with its ``settings``.

    Raises:
        InputError: the MJCF or the settings are wrong.
    """
    return mjcf_robot(name, settings) if is_mjcf(name) else ROBOTS[name]()


def is_mjcf(robot: str) -> bool:
    """Whether ``robot`` is a file instead of a name."""
    return robot.endswith(".xml")


VERSION = 2
"""Of what conversion does: files converted by another version are converted again."""

_RECORDS = ".records"
_MOTION_SUFFIXES = (".bvh", ".amc", ".npz", ".npy", ".pkl", ".motion")  # what has such a name claims to be a motion


@dataclass(frozen=True)
class ConversionOptions:
    """What to convert and how.

    Attributes:
        source: a motion file or a folder, searched recursively.
        out: folder for the results; for a single file also the name of the ``.npz``.
        robot: name of the robot, see :data:`ROBOTS`, or its MJCF file.
        settings: YAML file that belongs to an MJCF.
        smpl: folder of the user's SMPL model files, which give subjects of AMASS files their own proportions.
        target_fps: frame rate of the results.
        told: what is known about the files and they do not say.
        joint_map: a file with lines ``robot body: source joint``.
        clean: whether to mend joints and plant feet.
        keep_rejected: whether to write clips that the quality check rejects.
        workers: processes; 0 for one per core.
        report: folder for the report; None for ``out`` with ``_report`` added to its name.
    """

    source: Path
    out: Path
    robot: str = "smpl"
    target_fps: float = 30.0
    told: SourceOptions = field(default_factory=SourceOptions)
    joint_map: Path | None = None
    clean: bool = True
    keep_rejected: bool = False
    workers: int = 0
    report: Path | None = None
    settings: Path | None = None
    smpl: Path = MODEL_FOLDER

    def __post_init__(self) -> None:
        if self.robot not in ROBOTS and not is_mjcf(self.robot):
            choices = f"choose one of {', '.join(ROBOTS)}, or give an MJCF file (.xml)"
            raise InputError("--robot", f"there is no robot {self.robot!r}", choices)
        if is_mjcf(self.robot):
            build_robot(self.robot, self.settings)  # says what is wrong before any work is done
        if not math.isfinite(self.target_fps) or self.target_fps <= 0:
            raise InputError("--target-fps", f"is {self.target_fps}", "frames per second must be a number above 0")
        if self.smpl != MODEL_FOLDER and not self.smpl.is_dir():
            raise InputError("--smpl", f"there is no folder {self.smpl}", "give the folder of your SMPL model files")
        if self.workers < 0:
            raise InputError("--workers", f"is {self.workers}", "give a number of processes, or 0 for one per core")


@dataclass(frozen=True)
class Job:
    """One file to convert."""

    source: Path
    out: Path
    name: str
    key: str


def list_jobs(options: ConversionOptions, overrides: Mapping[str, str]) -> tuple[list[Job], list[str]]:
    """Files to convert in order of name, and names of files that are no motions."""
    source, out = options.source, options.out
    if source.is_file():
        path = out if out.suffix == ".npz" else out / f"{source.stem}.npz"
        return [Job(source, path, source.stem, _key(options, overrides, source))], []
    if not source.is_dir():
        raise InputError(source, "there is no such file or folder", "check the path")
    if out.suffix == ".npz":
        raise InputError(out, "is a file name, but the source is a folder", "name a folder with --out")
    if out.resolve() == source.resolve():
        raise InputError(out, "is the source folder itself", "name another folder with --out")
    motions, ignored = [], []
    for path in sorted(_walk(source)):
        try:
            known = path.stat().st_size > 0 and find_reader(path, read_header(path)) is not None
        except InputError:
            known = True  # damaged: converting it will say how
        if known or (path.suffix.lower() in _MOTION_SUFFIXES and not is_companion(path)):
            motions.append(path)
        elif not is_companion(path):
            ignored.append(str(path.relative_to(source)))
    if not motions:
        raise InputError(source, "there is no motion in it", "give a motion file or a folder of them")
    places = [path.relative_to(source) for path in motions]
    stems = Counter(place.with_suffix("") for place in places)
    jobs = []
    for path, place in zip(motions, places, strict=True):
        stem = place.with_suffix("") if stems[place.with_suffix("")] == 1 else place
        target = out / stem.with_name(stem.name + ".npz")
        jobs.append(Job(path, target, "_".join(stem.parts), _key(options, overrides, path)))
    return jobs, ignored


def _walk(folder: Path) -> Iterator[Path]:
    """Files below ``folder`` that are not hidden."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _key(options: ConversionOptions, overrides: Mapping[str, str], path: Path) -> str:
    """Changes whenever the result might: file, companions beside it, options, version."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    beside = sorted(other for other in path.parent.iterdir() if other.is_file() and is_companion(other))
    facts = [VERSION, options.robot, options.target_fps, options.clean, options.keep_rejected, str(options.told)]
    facts += [_content(Path(options.robot)), _content(options.settings)] if is_mjcf(options.robot) else []
    facts += [model_facts(options.smpl), sorted(overrides.items())]
    facts += [[(o.name, o.stat().st_size, o.stat().st_mtime_ns) for o in beside]]
    return hashlib.sha256(f"{digest.hexdigest()}{facts}".encode()).hexdigest()


def _content(path: Path | None) -> str:
    return "" if path is None else hashlib.sha256(path.read_bytes()).hexdigest()


def _record_path(options: ConversionOptions, job: Job) -> Path:
    root = options.out.parent if options.out.suffix == ".npz" else options.out
    return root / _RECORDS / f"{job.out.relative_to(root).with_suffix('')}.json"


def write_record(options: ConversionOptions, job: Job, rows: Sequence[Row], written: bool) -> None:
    """Remember what became of a file."""
    record = {"key": job.key, "written": written, "rows": [row_dict(row) for row in rows]}
    text = json.dumps(record).encode()
    write_atomic(_record_path(options, job), lambda file: file.write(text))


def finished(options: ConversionOptions, job: Job) -> list[Row] | None:
    """What an earlier conversion of the same file with the same options found, None if there was none."""
    try:
        record = json.loads(_record_path(options, job).read_text(encoding="utf-8"))
        if record["key"] != job.key or (record["written"] and not job.out.is_file()):
            return None
        return [_row(values) for values in record["rows"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # no record, or not one of ours: convert again


def row_dict(row: Row) -> dict[str, Any]:
    """A row as JSON; NaN becomes null."""

    def plain(quality: ClipQuality | None) -> dict[str, Any] | None:
        if quality is None:
            return None
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(quality).items()}

    return {**asdict(row), "after": plain(row.after), "before": plain(row.before)}


def _row(values: dict[str, Any]) -> Row:
    def quality(found: dict[str, Any] | None) -> ClipQuality | None:
        if found is None:
            return None
        numbers = {key: math.nan if value is None else value for key, value in found.items()}
        values: dict[str, Any] = {**numbers, "reasons": tuple(found["reasons"])}
        return ClipQuality(**values)

    changed: dict[str, Any] = {"after": quality(values["after"]), "before": quality(values["before"])}
    changed |= {"notes": tuple(values["notes"]), "remarks": tuple(values["remarks"])}
    return Row(**{**values, **changed})
