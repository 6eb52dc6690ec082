"""Which GPU each worker gets."""

import pytest

from puffer_phc.errors import InputError
from puffer_phc.sweeps import slots
from puffer_phc.sweeps.slots import Slot, gpu_slots, slots_here, visible_gpus


def seen(found):
    return [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in found]


def test_one_worker_for_each_gpu():
    found = gpu_slots("auto", 0, ["0", "1", "2"])
    assert seen(found) == ["0", "1", "2"]
    assert {slot.device for slot in found} == {"cuda:0"}  # each run sees one alone


def test_workers_take_turns():
    assert seen(gpu_slots("cuda", 5, ["0", "1"])) == ["0", "1", "0", "1", "0"]
    assert seen(gpu_slots("cuda", 1, ["0", "1"])) == ["0"]


def test_a_named_gpu_is_the_only_one():
    assert seen(gpu_slots("cuda:1", 0, ["4", "7"])) == ["7"]
    assert seen(gpu_slots("cuda:1", 2, ["4", "7"])) == ["7", "7"]
    with pytest.raises(InputError, match=r"cuda:2.*2 GPUs"):
        gpu_slots("cuda:2", 0, ["4", "7"])


@pytest.mark.parametrize(
    ("variable", "count", "names"),
    [
        (None, 2, ["0", "1"]),
        ("3,5", 2, ["3", "5"]),
        (" GPU-aa , MIG-bb ", 2, ["GPU-aa", "MIG-bb"]),
        ("2,-1,3", 1, ["2"]),  # CUDA stops at the first that is none
        ("", 0, []),
    ],
)
def test_what_a_scheduler_left_visible_is_shared_out(variable, count, names):
    environment = {} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}
    assert visible_gpus(environment, count) == names


@pytest.mark.parametrize(
    ("workers", "threads", "share"), [(0, 0, 8), (2, 0, 4), (3, 0, 2), (20, 0, 1), (2, 4, 4), (1, 3, 3)]
)
def test_runs_share_the_cores_that_the_sweep_may_use(monkeypatch, workers, threads, share):
    monkeypatch.setattr(slots, "cores", lambda: 8)
    expected = Slot("cpu", {"OMP_NUM_THREADS": str(share)}, share)
    assert slots_here("cpu", workers, threads) == [expected] * (workers or 1)


def test_slots_of_a_machine_without_and_with_gpus(monkeypatch):
    assert [slot.device for slot in slots_here("cpu", 0)] == ["cpu"]
    assert [slot.device for slot in slots_here("cpu", 3)] == ["cpu"] * 3
    monkeypatch.setattr(slots.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(slots.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(slots.torch.cuda, "current_device", lambda: 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6,7")
    assert seen(slots_here("auto", 0)) == ["6", "7"]
