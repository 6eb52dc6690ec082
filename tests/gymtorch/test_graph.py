"""Captured functions behave alike on every device; Warp's kernels are recorded with torch's."""

import pytest
import torch

from gymtorch import capture, torch_stream_as_warp, wrap


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


def test_calls_see_new_inputs_and_update_state(device):
    inputs, total = torch.ones(4, device=device), torch.zeros(4, device=device)

    def step():
        total.add_(inputs)
        return total * 2

    run = capture(step, device=device, state=(total,))
    assert run.captured == (device.type == "cuda")
    assert total.tolist() == [0] * 4  # making it left no trace
    assert run().tolist() == [2] * 4
    inputs.fill_(10)
    assert run().tolist() == [22] * 4
    assert total.tolist() == [11] * 4


def test_results_may_be_any_structure(device):
    x = torch.arange(3.0, device=device)
    run = capture(lambda: {"sum": x.sum(), "pair": (x, x + 1)}, device=device)
    result = run()
    assert result["sum"] == 3
    assert result["pair"][1].tolist() == [1, 2, 3]


def test_random_draws_differ_between_calls(device):
    generator = torch.Generator(device=device).manual_seed(0)
    run = capture(
        lambda: (torch.rand(8, device=device), torch.rand(8, device=device, generator=generator)),
        device=device,
        generators=(generator,),
    )
    first = [values.clone() for values in run()]
    second = run()
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


def test_the_function_runs_for_warm_up_only_where_it_is_recorded(device):
    calls, x = [], torch.zeros(1, device=device)

    def count():
        calls.append(1)
        return x + 1

    run = capture(count, warmup=2, device=device)
    assert len(calls) == (3 if device.type == "cuda" else 0)
    run()
    assert len(calls) == (3 if device.type == "cuda" else 1)


def test_a_recording_keeps_its_buffers_alive(device):
    def make():
        hidden = torch.zeros(1000, device=device)

        def count():
            hidden.add_(1)
            return hidden.sum()

        return capture(count, device=device, state=(hidden,))

    run = make()
    torch.full((1000,), 50.0, device=device)  # would land in freed memory
    assert run() == 1000
    assert run() == 2000


def test_warmup_must_happen():
    with pytest.raises(ValueError, match="at least 1"):
        capture(lambda: None, warmup=0, device="cpu")


def test_warp_streams_need_no_warp_on_the_cpu():
    with torch_stream_as_warp("cpu"):
        pass


def _warp_increment():
    warp = pytest.importorskip("warp", reason="Warp is in the optional extra 'gpu'")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    from gymtorch_kernels import increment

    return warp, increment


def test_warp_and_torch_take_turns_on_one_stream():
    warp, increment = _warp_increment()
    array = warp.zeros(1 << 20, dtype=float, device="cuda:0")
    tensor = wrap(array)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(200):
            tensor.mul_(0.5)
            with torch_stream_as_warp("cuda:0"):
                warp.launch(increment, dim=array.size, inputs=[array], device="cuda:0")
        result = tensor.clone()
    stream.synchronize()
    assert (result == result[0]).all()
    assert float(result[0]) == pytest.approx(2.0)


def test_warp_kernels_are_recorded_in_a_torch_graph():
    warp, increment = _warp_increment()
    array = warp.zeros(1000, dtype=float, device="cuda:0")
    tensor = wrap(array)

    def step():
        tensor.mul_(2)
        with torch_stream_as_warp("cuda:0"):
            warp.launch(increment, dim=array.size, inputs=[array], device="cuda:0")
        return tensor + 0.5

    run = capture(step, device="cuda:0", state=(tensor,))
    assert tensor.sum() == 0
    assert [float(run()[0]) for _ in range(3)] == [1.5, 3.5, 7.5]
    assert tensor.tolist() == [7.0] * 1000
