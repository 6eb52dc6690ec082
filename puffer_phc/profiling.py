"""Where the device's time goes, kernel by kernel: a trace file and a table."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
from rich import box
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

from puffer_phc.errors import InputError

# First match wins; what nothing matches is plain torch.
_GROUPS = (
    ("physics (Warp)", re.compile(r"_cuda_kernel_(forward|backward)|_[0-9a-f]{8}_cuda|wp_|warp::")),
    ("compiled torch (Triton)", re.compile(r"^triton_")),
    ("matrix products", re.compile(r"gemm|cutlass|nvjet|cublas|sgemm|splitK", re.IGNORECASE)),
    ("copies", re.compile(r"memcpy|memset|copy_kernel|CatArray", re.IGNORECASE)),
    ("communication", re.compile(r"nccl", re.IGNORECASE)),
)
_OTHER = "other torch kernels"


def trace(work: Callable[[], object], path: Path, device: torch.device) -> dict[str, tuple[float, int]]:
    """Run ``work`` under the profiler and write a Chrome trace (open it at ``ui.perfetto.dev``).

    Args:
        work: a representative piece, already warm.
        path: the trace file, ``.json`` or ``.json.gz``.
        device: where the time is counted; on a CPU it is that of torch's operators.

    Returns:
        Per kernel (operator on a CPU): seconds and calls.

    Raises:
        InputError: the file cannot be written.
    """
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiler:
        work()
        if cuda:
            torch.cuda.synchronize(device)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        profiler.export_chrome_trace(str(path))
    except OSError as error:
        raise InputError(path, f"cannot be written ({error.strerror})", "choose another --profile file") from None
    found: dict[str, tuple[float, int]] = {}
    for event in profiler.key_averages():
        micros = event.self_device_time_total if cuda else event.self_cpu_time_total
        if micros > 0 and (not cuda or event.device_type == torch.autograd.DeviceType.CUDA):
            seconds, calls = found.get(event.key, (0.0, 0))
            found[event.key] = (seconds + 1e-6 * micros, calls + event.count)
    return found


def kernel_group(name: str) -> str:
    """The kind of work that a kernel of this name does."""
    return next((group for group, pattern in _GROUPS if pattern.search(name)), _OTHER)


def kernel_table(kernels: dict[str, tuple[float, int]], shown: int = 25) -> Table:
    """Groups of kernels, then the most expensive single ones."""
    total = sum(seconds for seconds, _ in kernels.values()) or 1.0
    groups: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
    for name, (seconds, calls) in kernels.items():
        groups[kernel_group(name)][0] += seconds
        groups[kernel_group(name)][1] += calls
    table = Table(title="one iteration, by kernel", box=box.SIMPLE_HEAD)
    for heading in ("ms", "share", "calls"):
        table.add_column(heading, justify="right")
    table.add_column("kernel", overflow="ellipsis", no_wrap=True)
    for name, (seconds, count) in sorted(groups.items(), key=lambda item: -item[1][0]):
        table.add_row(f"{1e3 * seconds:.2f}", f"{seconds / total:.1%}", f"{int(count)}", f"[bold]{name}[/]")
    table.add_section()
    for name, (seconds, calls) in sorted(kernels.items(), key=lambda item: -item[1][0])[:shown]:
        table.add_row(f"{1e3 * seconds:.2f}", f"{seconds / total:.1%}", f"{calls}", name)
    return table
