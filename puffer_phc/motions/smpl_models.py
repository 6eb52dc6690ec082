"""SMPL, SMPL-H and SMPL-X model files that a user licensed: which there are, and where their joints rest.

Of a file, three arrays are read: ``v_template`` (V, 3) m, the mean surface; ``shapedirs`` (V, 3, K), what each shape
number adds to it; ``J_regressor`` (J, V), which joins surface points into joints. The arithmetic is that of the package
``smplx``, which is needed only for this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import SMPL_MODELS
from puffer_phc.motions.formats.arrays import read_npz
from puffer_phc.motions.formats.fields import numbers
from puffer_phc.motions.unpickle import read_pickle

MODEL_FOLDER = Path(__file__).resolve().parents[2] / "smpl"
"""Where users put their files."""

_JOINTS = {"smpl": 24, "smplh": 52, "smplx": 55}
# SMPL's two hands; where others have fingers, the middle finger's first joint is the nearest to them.
_HANDS = {"smpl": (22, 23), "smplh": (25, 40), "smplx": (28, 43)}
_BODY_JOINTS = 22  # which all models begin with
_SMPLX_NUMBERS, _SMPLX_SHAPE, _SMPLX_OLD_SHAPE = 400, 300, 10  # the rest of SMPL-X's numbers are of the face
_GENDERS = {"female": r"female|_f_", "male": r"(?<!fe)male|_m_", "neutral": r"neutral|_n_"}
_KEYS = ("v_template", "shapedirs", "J_regressor")
_LONGEST_LINE = 1 << 30  # SMPL 1.1.0 is a text pickle with a line for each array
_REMEDY = "give the file as its authors publish it, or an .npz of its arrays, see smpl/README.md"


def list_models(folder: Path) -> dict[tuple[str, str], Path]:
    """Model files below ``folder`` by kind and gender, both told by their paths; ``.npz`` goes before ``.pkl``."""
    found: dict[tuple[str, str], Path] = {}
    files = (path for path in folder.rglob("*") if path.suffix in (".npz", ".pkl") and path.is_file())
    for path in sorted(files, key=lambda path: (path.suffix, str(path))):
        kind = _kind(path.relative_to(folder))
        place = path.relative_to(folder).as_posix().lower()
        gender = next((name for name, pattern in _GENDERS.items() if re.search(pattern, place)), None)
        if kind and gender:
            found.setdefault((kind, gender), path)
    return found


def _kind(place: Path) -> str:
    """``smpl``, ``smplh``, ``smplx``, or empty; ``male/model.npz`` is how SMPL-H comes with AMASS."""
    generic = place.name.lower() == "model.npz"
    for text in (place.name.lower(), place.as_posix().lower()):
        for kind, pattern in (("smplx", "smpl[-_+]?x"), ("smplh", "smpl[-_+]?h"), ("smpl", "smpl|basicmodel")):
            if re.search(pattern, text) and not (generic and kind == "smpl"):
                return kind
    return "smplh" if generic else ""


def has_smplx() -> bool:
    """Whether the package ``smplx`` is installed."""
    return find_spec("smplx") is not None


def model_facts(folder: Path) -> list[object]:
    """Something that changes with what :func:`list_models` and :func:`rest_joints` give."""
    files = sorted(list_models(folder).items())
    return [has_smplx(), [(key, path.stat().st_size, path.stat().st_mtime_ns) for key, path in files]]


def rest_joints(path: Path, kind: str, betas: Sequence[float]) -> tuple[Tensor, int]:
    """Joints of a body at rest (Loper et al. 2015, eq. 10), and how many of its shape numbers the model knows.

    Args:
        path: the model file.
        kind: one of :data:`SMPL_MODELS`.
        betas: shape numbers; those beyond the model's are left out.

    Returns:
        (24, 3) float64 m in SMPL's order and axes (x left, y up, z forward), and a number at most ``len(betas)``.

    Raises:
        InputError: the file is damaged, unsafe or of another kind.
    """
    status = path.stat()
    mean, slopes = _joint_slopes(path, kind, len(betas), status.st_mtime_ns, status.st_size)
    count = slopes.shape[-1]
    return mean + slopes @ torch.tensor(betas[:count], dtype=torch.float64), count


@lru_cache(maxsize=16)
def _joint_slopes(path: Path, kind: str, count: int, modified: int, size: int) -> tuple[Tensor, Tensor]:
    """Rest joints (24, 3) of the mean shape, and what each of up to ``count`` shape numbers adds (24, 3, K).

    ``modified`` and ``size`` only tell versions of the file apart.
    """
    from smplx.lbs import blend_shapes, vertices2joints

    template, directions, regressor = _arrays(path, kind, count)
    each = torch.eye(directions.shape[-1], dtype=torch.float64)
    vertices = torch.cat((template[None], blend_shapes(each, directions)))
    joints = vertices2joints(regressor, vertices)[:, [*range(_BODY_JOINTS), *_HANDS[kind]]]
    return joints[0], joints[1:].permute(1, 2, 0).contiguous()


def _arrays(path: Path, kind: str, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The mean surface (V, 3), at most ``count`` shape directions (V, 3, K), and the regressor (J, V)."""
    content = read_npz(path, frozenset(_KEYS)) if path.suffix == ".npz" else _pickled(path)
    missing = [key for key in _KEYS if key not in content]
    if missing:
        raise InputError(path, f"it is no {SMPL_MODELS[kind]} model ({', '.join(missing)} missing)", _REMEDY)
    template = numbers(path, "v_template", content["v_template"], (None, 3))
    regressor = numbers(path, "J_regressor", content["J_regressor"], (_JOINTS[kind], len(template)))
    directions = content["shapedirs"]
    if isinstance(directions, np.ndarray) and directions.ndim == 3 and len(directions) == len(template):
        directions = directions[..., : min(count, _shape_numbers(kind, directions.shape[-1]))]
    return template, numbers(path, "shapedirs", directions, (len(template), 3, None)), regressor


def _shape_numbers(kind: str, known: int) -> int:
    """How many of a model's ``known`` numbers are of the body's shape."""
    if kind != "smplx":
        return known
    return _SMPLX_SHAPE if known >= _SMPLX_NUMBERS else _SMPLX_OLD_SHAPE


def _pickled(path: Path) -> Mapping[str, object]:
    """The arrays of a pickled model; nothing in it can run code."""
    try:
        content = read_pickle(path, longest_line=_LONGEST_LINE)
    except InputError as error:
        if "chumpy" in error.fault:
            remedy = "give version 1.1.0 of SMPL, or an .npz of the arrays, see smpl/README.md"
            raise InputError(path, "it holds objects of the package chumpy instead of arrays", remedy) from error
        raise InputError(path, error.fault, _REMEDY) from error
    return content if isinstance(content, dict) else {}
