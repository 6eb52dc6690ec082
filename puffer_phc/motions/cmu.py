"""CMU's motion capture database: which files a subject or trial consists of, and whether a file is one of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from puffer_phc.errors import InputError
from puffer_phc.motions.download import Fetch, Fetched, Patience, check_url, fetch_all, get_text
from puffer_phc.motions.formats.arrays import write_atomic
from puffer_phc.motions.formats.rigs import CMU_SLOW_FPS, CMU_SLOW_SUBJECTS

BASE_URL = "http://mocap.cs.cmu.edu/subjects"
"""Where CMU keeps ``02/02.asf`` and ``02/02_01.amc``."""

_FPS = 120.0
_NAME = re.compile(r"(\d{1,3})(?:_(\d{1,3})(?:-(\d{1,3}))?)?")
_FRAME = re.compile(rb"^[ \t]*\d+[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True)
class Selection:
    """Trials of one subject; none for all that the server lists."""

    subject: int
    trials: tuple[int, ...] = ()


def parse_names(names: Iterable[str]) -> list[Selection]:
    """Selections from ``02`` (a subject), ``02_01`` (a trial) and ``02_01-05`` (trials 1 to 5).

    Raises:
        InputError: a name is none of these.
    """
    found: dict[int, set[int]] = {}
    whole: set[int] = set()
    for name in names:
        match = _NAME.fullmatch(name.strip())
        if match is None or int(match[1]) == 0:
            raise InputError(name[:80], "is no CMU subject or trial", "give names such as 02, 02_01 or 02_01-05")
        subject, first = int(match[1]), int(match[2] or 1)
        last = int(match[3] or first)
        if not 1 <= first <= last:
            raise InputError(name, "has no trials", "count trials upwards from 1, as in 02_01-05")
        found.setdefault(subject, set()).update(range(first, last + 1) if match[2] else ())
        if not match[2]:
            whole.add(subject)
    if not found:
        raise InputError("subjects", "none is named", "give names such as 02, 02_01 or 02_01-05")
    return [Selection(s, () if s in whole else tuple(sorted(trials))) for s, trials in sorted(found.items())]


def download(
    names: Iterable[str],
    out: Path,
    base_url: str = BASE_URL,
    parallel: int = 4,
    patience: Patience | None = None,
    started: Callable[[int], None] | None = None,
    progress: Callable[[Fetched], None] | None = None,
) -> list[Fetched]:
    """Fetch skeletons and trials into ``out/02/02.asf``, ``out/02/02_01.amc`` and so on.

    Beside them ``motion.yaml`` notes what the files do not tell: axes, and the frame rate that CMU recorded at.

    Args:
        names: see :func:`parse_names`.
        out: folder, made as needed.
        base_url: another server with the same layout.
        parallel: connections at a time.
        patience: how long to try.
        started: called with the number of files to fetch.
        progress: called after each file.

    Raises:
        InputError: a name or the address is wrong, or a whole subject is asked for and the server lists no trials.
    """
    base_url = check_url("--base-url", base_url)
    if not 1 <= parallel <= 16:
        raise InputError("--parallel", f"is {parallel}", "give 1 to 16 connections")
    fetches = [fetch for one in parse_names(names) for fetch in _fetches(one, out, base_url, patience)]
    if started:
        started(len(fetches))
    results = fetch_all(fetches, parallel, patience, progress)
    try:
        for folder in sorted({result.fetch.path.parent for result in results if not result.fault}):
            _note_facts(folder)
    except OSError as error:
        raise InputError(out, f"cannot be written ({error.strerror or error})", "name another folder") from error
    return results


def check_asf(path: Path) -> str:
    """What is wrong with a downloaded skeleton; empty if nothing is."""
    text = path.read_bytes()
    if b":bonedata" not in text or b":hierarchy" not in text or text.rstrip()[-3:].lower() != b"end":
        return "it is no whole ASF skeleton"
    return ""


def check_amc(path: Path) -> str:
    """What is wrong with a downloaded trial; empty if its frames are numbered in order and all like the first one."""
    text = path.read_bytes()
    frames = list(_FRAME.finditer(text))
    begins = text.lstrip()[:1] in (b"#", b":") or (frames and not text[: frames[0].start()].strip())
    if not begins or not frames or not text[frames[0].end() :].lstrip().startswith(b"root"):
        return "it is no AMC motion"
    starts, ends = [frame.end() for frame in frames], [*(frame.start() for frame in frames[1:]), len(text)]
    first = _bones(text[starts[0] : ends[0]])
    if not text.endswith(b"\n") or _bones(text[starts[-1] : ends[-1]]) != first:
        return "it ends within a frame"
    numbers = [int(frame[0]) for frame in frames]
    # Counting lines is enough in between, where the numbers of frames are in order.
    lines = {text.count(b"\n", start, end) for start, end in zip(starts, ends, strict=True)}
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))) or len(lines) > 1:
        return "frames are missing or damaged"
    return ""


def _bones(frame: bytes) -> list[tuple[bytes, int]]:
    """Names and counts of numbers of a frame's lines."""
    return [(words[0], len(words)) for line in frame.splitlines() if (words := line.split())]


def _fetches(one: Selection, out: Path, base_url: str, patience: Patience | None) -> list[Fetch]:
    subject = f"{one.subject:02d}"
    url, folder = f"{base_url}/{subject}", out / subject
    trials = one.trials or _listed_trials(url, subject, patience)
    names = [f"{subject}_{trial:02d}.amc" for trial in trials]
    skeleton = Fetch(f"{url}/{subject}.asf", folder / f"{subject}.asf", check_asf)
    return [skeleton, *(Fetch(f"{url}/{name}", folder / name, check_amc) for name in names)]


def _listed_trials(url: str, subject: str, patience: Patience | None) -> list[int]:
    """Trials of a subject in the server's listing of the folder."""
    page = get_text(f"{url}/", patience) or ""
    trials = {int(number) for number in re.findall(rf"\b{subject}_(\d{{1,3}})\.amc\b", page)}
    if not trials:
        raise InputError(f"{url}/", "no trials are listed there", f"name them, as in {subject}_01-10")
    return sorted(trials)


def _note_facts(folder: Path) -> None:
    """Write the subject's frame rate and axes where readers look for them, unless the user has written there."""
    note = folder / "motion.yaml"
    if not note.exists():
        fps = CMU_SLOW_FPS if int(folder.name) in CMU_SLOW_SUBJECTS else _FPS
        text = f"fps: {fps:g}  # by CMU's index\nup: y\nforward: z\n"
        write_atomic(note, lambda file: file.write(text.encode()))
