"""The robot as trained, as one MJCF file and the meshes and pictures it names."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

import mujoco

from puffer_phc.deployment.metadata import MODEL_FILE
from puffer_phc.errors import InputError
from puffer_phc.robots.robot import Robot

_ASSETS = "assets"
_REMEDY = "put back the files that its model names"
_FOLDERS = {"mesh": "meshdir", "hfield": "meshdir", "texture": "texturedir"}
"""Kinds of assets that come from files, and the compiler option that says where these lie."""


def write_model(robot: Robot, folder: Path) -> None:
    """Write ``robot.xml`` into ``folder``, and into ``assets`` there the files that it names.

    MJCF text has six digits, so masses and sizes agree with the trained model to about 1e-6 of themselves; the exact
    time step is in the metadata.

    Raises:
        InputError: the robot does not keep what its model was compiled from, or a file it names is gone.
    """
    if robot.spec is None:
        raise InputError(f"robot {robot.name}", "does not keep its MJCF", "build it with a spec")
    try:
        tree = ElementTree.fromstring(robot.spec.to_xml())
    except ValueError as error:  # it reads the files that the model names
        raise InputError(f"robot {robot.name}", f"cannot be written as MJCF ({error})", _REMEDY) from None
    for number, asset in enumerate(asset for asset in tree.iterfind("asset/*[@file]")):
        name = f"{number}_{Path(asset.attrib['file']).name}"  # files of two folders may share a name
        (folder / _ASSETS).mkdir(exist_ok=True)
        _copy(robot.spec, asset, folder / _ASSETS / name)
        asset.set("file", f"{_ASSETS}/{name}")
    for compiler in tree.iterfind("compiler"):
        for option in ("assetdir", "meshdir", "texturedir"):
            compiler.attrib.pop(option, None)
    (folder / MODEL_FILE).write_text(ElementTree.tostring(tree, encoding="unicode"), encoding="utf-8")


def _copy(spec: mujoco.MjSpec, asset: ElementTree.Element, target: Path) -> None:
    """Copy the file of one asset, from memory where ``spec`` holds it."""
    file = asset.attrib["file"]
    if file in spec.assets:
        content = spec.assets[file]
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return
    source = Path(spec.modelfiledir) / getattr(spec, _FOLDERS.get(asset.tag, "meshdir")) / file
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise InputError(source, f"cannot be read ({error.strerror})", _REMEDY) from None
