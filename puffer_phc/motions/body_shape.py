"""The true proportions of the subjects of AMASS files, where the user has SMPL model files; else the mean body."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from poselib.skeleton import Skeleton
from puffer_phc.motions.clip import SMPL_MODELS, MotionClip
from puffer_phc.motions.smpl_models import MODEL_FOLDER, has_smplx, list_models, model_facts, rest_joints
from puffer_phc.robots.smpl_table import BODY_NAMES, PARENTS, PELVIS_OFFSET, SMPL_JOINT_ORDER

__all__ = ["MODEL_FOLDER", "model_facts", "with_shape"]

_ORDER = [SMPL_JOINT_ORDER.index(name) for name in BODY_NAMES]


def with_shape(clip: MotionClip, folder: Path = MODEL_FOLDER) -> tuple[MotionClip, str]:
    """``clip`` on the skeleton of its own subject, and a remark on the body that was taken.

    SMPL places the pelvis where the subject's joint rests plus the file's translation, so the root's path moves, too.
    Clips that tell no shape, or the mean one, stay as they are without a remark, as do all while ``folder`` holds no
    model files.

    Args:
        clip: any motion.
        folder: where the user's SMPL model files are, at any depth.

    Raises:
        InputError: the model file for the clip is damaged, unsafe or of another kind.
    """
    shape = clip.shape
    if shape is None or (shape.gender == "neutral" and shape.betas and not any(shape.betas)):
        return clip, ""
    models = list_models(folder)
    if not models:
        return clip, ""
    if not shape.betas:
        return clip, "mean body: its betas are not one row of finite numbers"
    if not shape.gender:
        return clip, "mean body: it does not say the gender that its betas belong to"
    model = models.get((shape.model, shape.gender))
    name = f"{SMPL_MODELS[shape.model]} {shape.gender}"
    if model is None:
        return clip, f"mean body: no {name} model among the files in {folder.name}"
    if not has_smplx():
        return clip, f"mean body: to use the {name} model install the package smplx (extra smpl)"
    joints, known = rest_joints(model, shape.model, shape.betas)
    moved = clip.root_pos + joints[0] - torch.tensor(PELVIS_OFFSET, dtype=torch.float64)
    upright = joints[_ORDER][:, [2, 0, 1]]
    parents = [0, *PARENTS[1:]]
    skeleton = Skeleton(BODY_NAMES, PARENTS, upright - upright[parents])
    remark = f"body of the {name} model, {known} of {len(shape.betas)} betas"
    return replace(clip, root_pos=moved, skeleton=skeleton, shape=None), remark
