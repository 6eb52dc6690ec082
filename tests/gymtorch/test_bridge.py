"""Zero-copy views between NumPy, DLPack, Warp and torch: sharing, lifetime and refusals."""

import gc
import warnings
import weakref

import numpy as np
import pytest
import torch

from gymtorch import unwrap, wrap

DTYPES = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32"]
DTYPES += ["float64", "complex64", "complex128"]


class Producer:
    """A foreign array that only speaks DLPack."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class Buffer(np.ndarray):
    """An array that can be watched being freed."""


# --- wrap: NumPy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_wrap_shares_memory_for_every_dtype(dtype, shape):
    array = np.ones(shape, dtype)
    tensor = wrap(array)
    assert tensor.shape == shape
    assert str(tensor.dtype) == f"torch.{dtype}"
    if array.size:
        assert tensor.data_ptr() == array.ctypes.data
        tensor.zero_()
        assert not array.any()
    assert not tensor.requires_grad


def test_rows_of_a_wider_buffer_write_through_both_ways():
    """A simulator's state vectors hold positions, velocities and more; each part is a strided view."""
    states = np.zeros((8, 521))
    qpos = wrap(states[:, :99])
    assert qpos.shape == (8, 99)
    assert qpos.stride() == (521, 1)
    qpos[3] = 7.0
    assert (states[3, :99] == 7).all()
    assert not states[3, 99:].any()
    states[5, 98] = 2.0
    assert qpos[5, 98] == 2.0


@pytest.mark.parametrize("view", [np.s_[::2], np.s_[:, 1], np.s_[1:, ::3], np.s_[..., None]])
def test_strided_views_keep_their_strides(view):
    base = np.arange(48, dtype=np.float32).reshape(6, 8)
    array = base[view]
    tensor = wrap(array)
    assert tensor.data_ptr() == array.ctypes.data
    np.testing.assert_array_equal(tensor.numpy(), array)
    tensor.fill_(-1)
    assert (array == -1).all()


def test_transposed_and_fortran_arrays_wrap():
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert torch.equal(wrap(array), torch.arange(6.0, dtype=torch.float64).reshape(2, 3))
    assert torch.equal(wrap(array.T), wrap(array).T)


def test_the_tensor_keeps_the_array_alive():
    array = np.full(1000, 3.0).view(Buffer)
    watch = weakref.ref(array)
    tensor = wrap(array)
    del array
    gc.collect()
    assert watch() is not None
    assert (tensor == 3).all()
    part = tensor[10:20]
    del tensor
    gc.collect()
    assert watch() is not None
    del part
    gc.collect()
    assert watch() is None


@pytest.mark.parametrize("order", [">f4", ">i8"])
def test_byte_swapped_arrays_are_refused(order):
    with pytest.raises(TypeError, match=r"byte-swapped.*\.astype"):
        wrap(np.zeros(3, order))


def test_explicitly_native_byte_order_is_accepted():
    assert wrap(np.zeros(3, "<f4")).dtype == torch.float32


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, [("a", "u8"), ("b", "f4")]),
        np.zeros(3, "datetime64[s]"),
        np.zeros(3, object),
        np.array(["a"]),
        np.zeros(3, np.longdouble),
    ],
    ids=lambda array: str(array.dtype),
)
def test_dtypes_torch_lacks_are_refused_in_one_line(array):
    with pytest.raises(TypeError, match="no counterpart of dtype") as caught:
        wrap(array)
    assert "\n" not in str(caught.value)


def test_layouts_torch_lacks_are_refused():
    with pytest.raises(ValueError, match="negative strides"):
        wrap(np.arange(4.0)[::-1])
    with pytest.raises(ValueError, match="not multiples of the 8-byte element"):
        wrap(np.zeros(3, [("a", "f8"), ("b", "f4")])["a"])
    with pytest.raises(TypeError, match="masked"):
        wrap(np.ma.masked_less(np.arange(4.0), 2))


def test_an_aligned_field_of_records_wraps():
    records = np.zeros(3, [("a", "f4"), ("b", "f4")])
    wrap(records["b"])[1] = 5
    assert records["b"].tolist() == [0, 5, 0]


def test_read_only_arrays_need_consent():
    array = np.arange(3.0)
    array.flags.writeable = False
    with pytest.raises(ValueError, match=r"read-only.*readonly_ok"):
        wrap(array)
    with pytest.raises(ValueError, match="read-only"):
        wrap(np.broadcast_to(1.0, (3, 4)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = wrap(array, readonly_ok=True)
    assert tensor.data_ptr() == array.ctypes.data


def test_consent_hides_no_later_warning():
    wrap(np.broadcast_to(1.0, (3,)), readonly_ok=True)
    with pytest.warns(UserWarning, match="not writable"):
        warnings.warn("The given NumPy array is not writable", UserWarning, stacklevel=1)


@pytest.mark.parametrize("thing", [[1.0], 1.0, "text", None, np.float64(1), memoryview(b"abc")])
def test_other_things_are_refused(thing):
    with pytest.raises(TypeError, match="pass a NumPy or Warp array"):
        wrap(thing)


# --- wrap: tensors and DLPack ----------------------------------------------------------------------------------------


def test_a_tensor_is_returned_detached():
    tensor = torch.ones(3, requires_grad=True)
    assert wrap(tensor).data_ptr() == tensor.data_ptr()
    assert not wrap(tensor).requires_grad


def test_dlpack_producers_share_memory_and_live_on():
    array = np.zeros((4, 6), np.float32)
    tensor = wrap(Producer(array[:, :2]))
    tensor[1, 1] = 4
    assert array[1, 1] == 4
    watched = np.full(10, 2.0).view(Buffer)
    watch = weakref.ref(watched)
    tensor = wrap(Producer(watched))
    del watched
    gc.collect()
    assert watch() is not None
    assert (tensor == 2).all()
    del tensor
    gc.collect()
    assert watch() is None


def test_a_producer_that_refuses_is_an_error_in_one_line():
    with pytest.raises(ValueError, match="Producer cannot be shared through DLPack") as caught:
        wrap(Producer(np.zeros(3, "datetime64[s]")))
    assert "\n" not in str(caught.value)


# --- unwrap ----------------------------------------------------------------------------------------------------------


def test_unwrap_to_numpy_shares_memory_and_lives_on():
    tensor = torch.zeros(4, 6)
    array = unwrap(tensor[:, 1::2])
    array[2, 2] = 9
    assert tensor[2, 5] == 9
    assert array.strides == (24, 8)
    del tensor
    gc.collect()
    assert array[2, 2] == 9


def test_round_trip_through_numpy_is_the_same_memory():
    array = np.arange(12, dtype=np.int32).reshape(3, 4)[:, ::2]
    back = unwrap(wrap(array))
    assert back.ctypes.data == array.ctypes.data
    assert back.strides == array.strides


def test_unwrap_to_dlpack_is_taken_once():
    tensor = torch.zeros(3)
    capsule = unwrap(tensor, "dlpack")
    other = torch.utils.dlpack.from_dlpack(capsule)
    other[0] = 1
    assert tensor[0] == 1
    with pytest.raises(RuntimeError):
        torch.utils.dlpack.from_dlpack(capsule)


def test_unwrap_refuses_what_cannot_be_shared():
    with pytest.raises(ValueError, match=r"tensor\.detach"):
        unwrap(torch.zeros(3, requires_grad=True))
    with pytest.raises(ValueError, match="sparse"):
        unwrap(torch.zeros(3, 3).to_sparse())
    with pytest.raises(ValueError, match="conj"):
        unwrap(torch.zeros(3, dtype=torch.complex64).conj())
    with pytest.raises(ValueError, match="on meta"):
        unwrap(torch.zeros(3, device="meta"))
    with pytest.raises(TypeError, match=r"bfloat16.*\.float"):
        unwrap(torch.zeros(3, dtype=torch.bfloat16))
    with pytest.raises(ValueError, match="kind must be"):
        unwrap(torch.zeros(3), "tensorflow")


# --- Warp ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def warp():
    module = pytest.importorskip("warp", reason="Warp is in the optional extra 'gpu'")
    module.config.quiet = True
    return module


@pytest.fixture(params=["cpu", "cuda:0"])
def device(request):
    if request.param != "cpu" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return request.param


def test_warp_arrays_share_memory(warp, device):
    array = warp.zeros((4, 5), dtype=float, device=device)
    tensor = wrap(array)
    assert (tensor.shape, str(tensor.device)) == ((4, 5), device)
    tensor[2, 3] = 8
    assert array.numpy()[2, 3] == 8
    array.fill_(3)
    assert (tensor == 3).all()


def test_warp_vectors_gain_a_dimension(warp, device):
    tensor = wrap(warp.zeros((4, 5), dtype=warp.vec3, device=device))
    assert tensor.shape == (4, 5, 3)
    assert wrap(warp.zeros(2, dtype=warp.mat33, device=device)).shape == (2, 3, 3)


def test_warp_strided_views_are_not_copied(warp, device):
    states = warp.zeros((8, 20), dtype=float, device=device)
    tensor = wrap(states[:, :7])
    assert tensor.stride() == (20, 1)
    tensor.fill_(1)
    assert states.numpy().sum() == 56


def test_a_tensor_keeps_the_warp_array_alive(warp, device):
    array = warp.full(1000, 3.0, dtype=float, device=device)
    watch = weakref.ref(array)
    tensor = wrap(array)
    del array
    gc.collect()
    assert watch() is not None
    assert (tensor == 3).all()
    del tensor
    gc.collect()
    assert watch() is None


def test_a_warp_array_that_wants_gradients_gives_a_plain_tensor(warp, device):
    assert not wrap(warp.zeros(3, dtype=float, device=device, requires_grad=True)).requires_grad


def test_unwrap_to_warp_shares_memory_and_lives_on(warp, device):
    tensor = torch.zeros(4, 6, device=device)
    array = unwrap(tensor[:, :3], "warp")
    array.fill_(2)
    assert tensor.sum() == 24
    del tensor
    gc.collect()
    assert array.numpy().sum() == 24


def test_warp_refusals_are_one_line(warp):
    @warp.struct
    class Pair:
        a: float
        b: int

    with pytest.raises(TypeError, match="no counterpart of a warp array") as caught:
        wrap(warp.zeros(2, dtype=Pair, device="cpu"))
    assert "\n" not in str(caught.value)
    with pytest.raises(TypeError, match=r"pass a warp\.array"):
        wrap(warp.vec3(1.0, 2.0, 3.0))
    with pytest.raises(TypeError, match="complex64"):
        unwrap(torch.zeros(2, dtype=torch.complex64), "warp")


def test_unwrap_to_warp_without_warp_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "warp", None)
    with pytest.raises(ImportError, match="extra 'gpu'"):
        unwrap(torch.zeros(2), "warp")
