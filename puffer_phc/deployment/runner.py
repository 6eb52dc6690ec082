"""An exported policy at work: ``policy.onnx`` in onnxruntime, checked against its own metadata. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from puffer_phc.deployment.metadata import OBS, ONNX_FILE, ONNX_KEY, REFERENCE, STATE, Metadata, parse_metadata
from puffer_phc.errors import InputError

Float32 = NDArray[np.float32]
_EXPORT = "export the policy again with --mode export"


class PolicyRunner:
    """Runs ``policy.onnx`` and carries its recurrent state, if it has any.

    Args:
        file: ``policy.onnx`` or the exported folder.
        threads: of onnxruntime.

    Attributes:
        metadata: what the file says about itself.

    Raises:
        InputError: there is no such file, it is damaged, carries no metadata of ours, or does not fit them.
    """

    def __init__(self, file: str | Path, threads: int = 1) -> None:
        path = Path(file)
        self.file = path / ONNX_FILE if path.is_dir() else path
        self._session = _open(self.file, threads)
        text = self._session.get_modelmeta().custom_metadata_map.get(ONNX_KEY)
        if text is None:
            raise InputError(self.file, "carries no metadata of this program", _EXPORT)
        self.metadata: Metadata = parse_metadata(text, self.file)
        self._sizes = {item.name: item.shape[-1] for item in self._session.get_inputs()}
        self._check_graph()
        self._state = np.zeros((0, self.metadata.state_size), dtype=np.float32)

    def _check_graph(self) -> None:
        metadata = self.metadata
        dofs = len(metadata.robot.dof_names)
        widths = {OBS: metadata.observation.size, REFERENCE: dofs, STATE: metadata.state_size}
        wanted = {name: widths[name] for name in metadata.inputs}
        outputs = tuple(item.name for item in self._session.get_outputs())
        if self._sizes != wanted or outputs != metadata.outputs:
            fault = f"has inputs {self._sizes} and outputs {outputs}, its metadata say {wanted} and {metadata.outputs}"
            raise InputError(self.file, fault, _EXPORT)

    def reset(self) -> None:
        """Forget the recurrent state: an episode begins."""
        self._state = self._state[:0]

    def act(self, obs: ArrayLike, reference_dof_pos: ArrayLike | None = None) -> tuple[Float32, Float32]:
        """Joint targets (N, D) rad and actions (N, D) of raw observations (N, O).

        Args:
            obs: (N, O), as the environment gives them, not normalised.
            reference_dof_pos: (N, D) rad, the reference pose ``action.lead_steps`` control steps ahead; for policies
                of action mode ``reference`` only.

        Raises:
            InputError: an input has another size than the policy takes, or is missing.
        """
        feed = {OBS: self._checked(OBS, obs)}
        if REFERENCE in self._sizes:
            if reference_dof_pos is None:
                raise InputError(REFERENCE, "is missing", "this policy adds its action to a reference pose")
            feed[REFERENCE] = self._checked(REFERENCE, reference_dof_pos)
        if STATE in self._sizes:
            if not len(self._state):
                self._state = np.zeros((len(feed[OBS]), self.metadata.state_size), dtype=np.float32)
            feed[STATE] = self._checked(STATE, self._state)
        rows = {name: len(array) for name, array in feed.items()}
        if len(set(rows.values())) > 1:
            raise InputError(self.file, f"was given different numbers of rows ({rows})", "give as many of each")
        outputs = self.outputs(feed)
        if STATE in self._sizes:
            self._state = outputs[2]
        return outputs[0], outputs[1]

    def outputs(self, inputs: dict[str, Float32]) -> tuple[Float32, ...]:
        """All outputs of the graph, in its order, of all its inputs by name."""
        return tuple(self._session.run(None, inputs))

    def _checked(self, name: str, values: ArrayLike) -> Float32:
        array = np.asarray(values, dtype=np.float32)
        if array.ndim != 2 or array.shape[1] != self._sizes[name]:
            fault = f"is {' x '.join(map(str, array.shape))}, {self.file} takes N x {self._sizes[name]}"
            raise InputError(name, fault, "build it as in training")
        return array


def _open(file: Path, threads: int) -> Any:
    if not file.is_file():
        raise InputError(file, "does not exist", "name a folder that --mode export wrote")
    ort = _onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors alone; they are told below
    try:
        return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own types, none of which is public
        raise InputError(file, f"is no readable ONNX file ({str(error).splitlines()[0][:160]})", _EXPORT) from None


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise InputError("onnxruntime", "is not installed", "uv sync --extra export") from None
    return onnxruntime
