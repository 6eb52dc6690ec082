"""Zero-copy bridge between simulator buffers and torch.

``wrap`` and ``unwrap`` view the same memory from both sides, ``capture`` records GPU work as a CUDA graph, ``latch``
keeps state in place between its replays, ``fused`` compiles pure functions for a GPU, ``listed`` lists the true places
of a mask without waiting for it, and ``torch_stream_as_warp`` puts Warp's kernels on torch's stream. Warp is imported
only where one of its arrays or streams is involved.
"""

from gymtorch.bridge import unwrap, wrap
from gymtorch.fuse import fused
from gymtorch.graph import CapturedFunction, capture
from gymtorch.latch import latch
from gymtorch.listed import listed
from gymtorch.streams import torch_stream_as_warp

__all__ = ["CapturedFunction", "capture", "fused", "latch", "listed", "torch_stream_as_warp", "unwrap", "wrap"]
