"""AMASS folders to one file of many clips, as PHC's ``convert_amass_data`` makes it, and a report of what is left out.

Unlike PHC's, it resamples to the asked-for frame rate (PHC keeps every n-th frame and calls that 30 fps) and also reads
SMPL-X releases (PHC silently skips them).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from poselib.motion import SkeletonMotion
from poselib.rotations import quat_normalize
from puffer_phc.errors import InputError
from puffer_phc.motions.amass_lists import Occlusion, Split, key_of, read_keys, read_occlusions, split_of
from puffer_phc.motions.balance import smpl_skeleton
from puffer_phc.motions.checks import check_clip
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats import amass, npz, phc_pickle, read_header
from puffer_phc.motions.formats.arrays import write_atomic
from puffer_phc.processor import cores
from puffer_phc.robots.smpl_table import BODY_NAMES

SPLITS: tuple[Split, ...] = ("train", "valid", "test", "all")

_HANDS = [BODY_NAMES.index(name) for name in ("L_Hand", "R_Hand")]
_FRAME_TOLERANCE = 1e-6


@dataclass(frozen=True)
class AmassOptions:
    """What to convert and how.

    Attributes:
        path: AMASS's folder, or any below it; ``*.npz`` in it are read, at any depth.
        out: file to write, ``.pkl`` for PHC's layout or ``.npz`` for ours, or a folder; None for ``path``.
        split: the part of PHC's split to convert; ``all`` takes every data set, also ones PHC does not know.
        occlusion_file: list of clips to cut or leave out, see :func:`read_occlusions`.
        failed_keys: list of keys, only which are converted.
        name_offset: parts of the path that make the key, counted from the end.
        fps: frames per second of the result.
        min_frames: shorter clips are left out, after cutting.
        workers: threads; 0 for one per core.
    """

    path: Path
    out: Path | None = None
    split: Split = "train"
    occlusion_file: Path | None = None
    failed_keys: Path | None = None
    name_offset: int = -3
    fps: float = 30.0
    min_frames: int = 10
    workers: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise InputError("--fps", f"is {self.fps:g}", "frames per second must be a number above 0")
        if self.name_offset >= 0:
            raise InputError("--name_offset", f"is {self.name_offset}", "give -1 for the file's name alone, or less")
        if self.min_frames < 5 or self.workers < 0:
            raise InputError("--min-frames, --workers", "too small", "give at least 5 frames, and 0 workers or more")


@dataclass
class AmassReport:
    """What became of every file.

    Attributes:
        out: the file written.
        kept: key and seconds of every clip in it.
        cut: key and issue of the kept clips that were cut.
        dropped: file and reason of what is not in it.
    """

    out: Path
    kept: dict[str, float] = field(default_factory=dict)
    cut: dict[str, str] = field(default_factory=dict)
    dropped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Kinds of reasons (the text before a bracket) and how many files each concerns, the most frequent first."""
        return Counter(reason.partition(" (")[0] for _, reason in self.dropped).most_common()

    def to_json(self) -> str:
        """The whole report as JSON."""
        return json.dumps({"out": str(self.out), "kept": self.kept, "cut": self.cut, "dropped": self.dropped}, indent=1)


@dataclass(frozen=True)
class _Result:
    """One file's clip, or why there is none."""

    path: Path
    clip: MotionClip | None = None
    issue: str = ""
    dropped: str = ""


def convert_amass(options: AmassOptions, progress: Callable[[int, int], None] | None = None) -> AmassReport:
    """Convert a folder and write the clips and, beside them, ``<out>.report.json``.

    Args:
        options: what to convert.
        progress: called with files done and files in all.

    Raises:
        InputError: there are no AMASS files, nothing is left to write, or the result cannot be written.
    """
    occlusions = read_occlusions(options.occlusion_file) if options.occlusion_file else {}
    wanted = read_keys(options.failed_keys) if options.failed_keys else None
    files = _files(options.path)
    report = AmassReport(options.out or options.path)
    clips: list[MotionClip] = []
    for done, result in enumerate(_results(options, files, occlusions, wanted), start=1):
        _file(report, clips, result)
        if progress:
            progress(done, len(files))
    if not clips:
        kinds = ", ".join(f"{count} x {reason}" for reason, count in report.reasons[:3])
        raise InputError(options.path, f"none of its {len(files)} files is converted ({kinds})", _advice(options))
    report.out = _target(options, len(clips))
    try:
        (npz if report.out.suffix == ".npz" else phc_pickle).write(report.out, clips)
        record = report.out.with_name(report.out.name + ".report.json")
        write_atomic(record, lambda file: file.write(report.to_json().encode()))
    except OSError as error:
        fault = f"cannot be written ({error.strerror or error})"
        raise InputError(report.out, fault, "name another file with --out") from error
    return report


def convert_file(path: Path, key: str, fps: float = 30.0, bound: float | None = None) -> MotionClip:
    """One AMASS file as PHC has it: mean body, hands open, at ``fps``, cut before ``bound`` seconds.

    Args:
        path: an AMASS ``.npz``.
        key: name of the clip.
        fps: frames per second of the result; rotations are interpolated along the shorter arc, the clock is kept.
        bound: s, the first moment to leave out; None keeps everything.

    Raises:
        InputError: the file is damaged, has no frame rate, or is too short to be resampled.
    """
    (clip,) = amass.read(path)
    clip = replace(clip, name=key)
    check_clip(clip)
    local_rot = quat_normalize(clip.local_rot)
    local_rot[:, _HANDS] = local_rot.new_tensor([1.0, 0.0, 0.0, 0.0])
    root_pos = clip.root_pos
    if clip.fps != fps:
        try:
            motion = SkeletonMotion(smpl_skeleton(), clip.fps, root_pos, local_rot).resample(fps)
        except ValueError as error:
            raise InputError(path, f"too short ({error})", "leave it out") from error
        root_pos, local_rot = motion.root_pos, motion.local_rot
    frames = len(root_pos) if bound is None else math.ceil(bound * fps - _FRAME_TOLERANCE)
    return replace(clip, fps=fps, root_pos=root_pos[:frames], local_rot=local_rot[:frames])


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        raise InputError(path, "there is no such folder", "give AMASS's folder, unpacked")
    files = sorted(file for file in path.resolve().rglob("*.npz") if file.is_file())
    if not files:
        raise InputError(path, "there are no .npz files in it", "give AMASS's folder, unpacked")
    return files


def _results(
    options: AmassOptions, files: Iterable[Path], occlusions: dict[str, Occlusion], wanted: frozenset[str] | None
) -> Iterator[_Result]:
    """Results in the order of ``files``; threads suffice, since unpacking and arithmetic leave the interpreter free."""
    pool = ThreadPoolExecutor(options.workers or cores())
    try:
        yield from pool.map(lambda file: _result(options, file, occlusions, wanted), files)
    finally:
        pool.shutdown(cancel_futures=True)


def _result(
    options: AmassOptions, path: Path, occlusions: dict[str, Occlusion], wanted: frozenset[str] | None
) -> _Result:
    key = key_of(path, options.name_offset)
    split = split_of(path)
    if options.split not in ("all", split):
        return _Result(path, dropped=f"of the {split} split" if split else "of no data set in PHC's split")
    if wanted is not None and key not in wanted:
        return _Result(path, dropped="not among the failed keys")
    occlusion = occlusions.get(key)
    if occlusion is not None and occlusion.bound is None:
        return _Result(path, dropped=f"occlusion list: {occlusion.issue}")
    try:
        if not amass.sniff(path, read_header(path)):
            return _Result(path, dropped="no motion in it")  # AMASS's shape.npz
        clip = convert_file(path, key, options.fps, occlusion.bound if occlusion else None)
    except InputError as error:
        return _Result(path, dropped=f"cannot be read ({error.fault})")
    issue = occlusion.issue if occlusion else ""
    if clip.num_frames < options.min_frames:
        why = f"cut for {issue}" if issue else "too short"
        return _Result(path, dropped=f"{why}: fewer than {options.min_frames} frames ({clip.num_frames})")
    return _Result(path, clip, issue)


def _file(report: AmassReport, clips: list[MotionClip], result: _Result) -> None:
    """Enter one result into the report and, if there is a clip of a new name, into ``clips``."""
    if result.clip is None:
        report.dropped.append((str(result.path), result.dropped))
    elif result.clip.name in report.kept:
        reason = f"its key is another file's ({result.clip.name}); give a longer --name_offset"
        report.dropped.append((str(result.path), reason))
    else:
        clips.append(result.clip)
        report.kept[result.clip.name] = round(result.clip.duration, 3)
        if result.issue:
            report.cut[result.clip.name] = result.issue


def _target(options: AmassOptions, count: int) -> Path:
    out = options.out or options.path
    if out.suffix in (".pkl", ".npz") and not out.is_dir():
        return out
    return out / f"amass_{options.split}_{count}_upright.pkl"


def _advice(options: AmassOptions) -> str:
    return "check the folder" if options.split == "all" else "check the folder or give --split all"
