"""Kernels by kind, and a trace of real work."""

import json

import pytest
import torch
from rich.console import Console

from puffer_phc.errors import InputError
from puffer_phc.profiling import kernel_group, kernel_table, trace

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("_mul_m_9c0838e9_cuda_kernel_forward", "physics (Warp)"),
        ("triton_poi_fused_silu_view_2", "compiled torch (Triton)"),
        ("nvjet_sm90_tst_256x128_64x4_1x2_h_bz_coopA_bias_TNT", "matrix products"),
        ("void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm>", "matrix products"),
        ("Memcpy DtoD (Device -> Device)", "copies"),
        ("ncclDevKernel_AllReduce_Sum_f32", "communication"),
        ("void at::native::reduce_kernel<512, 1>", "other torch kernels"),
    ],
)
def test_groups(name, group):
    assert kernel_group(name) == group


def test_a_trace_has_the_work_in_it(tmp_path):
    matrix = torch.rand(200, 200)
    found = trace(lambda: [matrix @ matrix for _ in range(3)], tmp_path / "new" / "trace.json", CPU)
    assert found["aten::mm"][1] == 3
    assert found["aten::mm"][0] > 0
    events = json.loads((tmp_path / "new" / "trace.json").read_text())["traceEvents"]
    assert sum(event.get("name") == "aten::mm" for event in events) == 3


def test_a_trace_that_cannot_be_written_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be"):
        trace(lambda: torch.rand(3).sum(), tmp_path / "file" / "trace.json", CPU)


def test_the_table_adds_up():
    console = Console(width=100, record=True)
    console.print(kernel_table({"triton_a": (0.003, 2), "triton_b": (0.001, 4), "nccl_c": (0.004, 1)}))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["4.00", "50.0%", "6", "compiled", "torch", "(Triton)"] in lines
    assert ["4.00", "50.0%", "1", "communication"] in lines
    assert ["3.00", "37.5%", "2", "triton_a"] in lines
