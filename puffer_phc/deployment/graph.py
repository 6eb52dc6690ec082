"""What is exported: normaliser, actor and action map as one module, from raw observation to joint targets."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from puffer_phc.deployment.metadata import OBS, ONNX_KEY, REFERENCE, STATE, Metadata
from puffer_phc.errors import InputError
from puffer_phc.policies.actor_critic import ActorCritic

OPSET = 18
"""Of the ONNX file: the oldest that torch's exporter writes by itself. Its conversion to 17 leaves ``Split`` nodes that
onnxruntime refuses. onnxruntime reads 18 since version 1.14 (2023)."""


class DeployedPolicy(nn.Module):
    """The deterministic policy with everything around it.

    Inputs and outputs are those of ``metadata``, in its order: observation (N, O), then the reference pose (N, D) in
    action mode ``reference``, then the recurrent state (N, S) if there is any; targets (N, D) rad, actions (N, D)
    within [-1, 1] and the next state. Of a recurrent policy's state only the actor's part is needed.

    Args:
        policy: as trained; its weights are shared, not copied.
        metadata: gives the action map.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, policy: ActorCritic, metadata: Metadata) -> None:
        super().__init__()
        self.obs_norm, self.mlp, self.cell, self.head = (
            policy.obs_norm,
            policy.actor.mlp,
            policy.actor.cell,
            policy.mean_head,
        )
        self._names = metadata.inputs
        self.register_buffer("offset", torch.tensor(metadata.action.offset))
        self.register_buffer("scale", torch.tensor(metadata.action.scale))
        self.eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        given = dict(zip(self._names, inputs, strict=True))
        features = self.mlp(self.obs_norm(given[OBS]))
        state: tuple[Tensor, ...] = ()
        if self.cell is not None:
            hidden, cell = self.cell(features, given[STATE].chunk(2, dim=-1))
            features, state = hidden, (torch.cat((hidden, cell), dim=-1),)
        action = self.head(features).clamp(-1.0, 1.0)
        target = given.get(REFERENCE, self.offset) + self.scale * action
        return (target, action, *state)


def write_onnx(module: DeployedPolicy, example: tuple[Tensor, ...], metadata: Metadata, path: Path) -> None:
    """Write ``module`` as one ONNX file of opset :data:`OPSET` with a free batch axis, the metadata inside.

    Args:
        module: what to write.
        example: inputs of two or more rows.
        metadata: of the policy.
        path: the file.

    Raises:
        InputError: the exporter's packages are not installed.
    """
    require_exporter()
    batch = torch.export.Dim("batch")
    with _quiet():
        program = torch.onnx.export(
            module,
            example,
            input_names=metadata.inputs,
            output_names=metadata.outputs,
            opset_version=OPSET,
            dynamic_shapes=(tuple({0: batch} for _ in example),),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # None is what the old exporter gives
    program.model.metadata_props[ONNX_KEY] = metadata.to_json()
    program.save(path, external_data=False)


def write_torchscript(module: DeployedPolicy, example: tuple[Tensor, ...], metadata: Metadata, path: Path) -> None:
    """Write ``module`` as TorchScript, the metadata among its extra files."""
    with _quiet(), torch.no_grad():
        traced = torch.jit.trace(module, example)
        torch.jit.save(traced, str(path), _extra_files={"metadata.json": metadata.to_json()})


def require_exporter() -> None:
    """Raise unless what torch's exporter needs is installed.

    Raises:
        InputError: onnx, onnxscript or onnxruntime is missing.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ImportError:
            raise InputError("--mode export", f"needs the package {package}", "uv sync --extra export") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks about torchvision, and TorchScript's about its age, to itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
