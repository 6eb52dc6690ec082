"""Lists of the true places of a mask: as long as they are on a CPU, of a fixed size elsewhere."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from gymtorch import listed
from gymtorch.listed import listed_in_fixed_size


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 45))
def test_both_ways_list_the_first_true_places(bits, room):
    mask = torch.tensor(bits)
    wanted = [place for place, bit in enumerate(bits) if bit][:room]
    places, valid = listed(mask, room)
    assert places.tolist() == wanted
    assert valid.tolist() == [True] * len(wanted)
    places, valid = listed_in_fixed_size(mask, room)
    assert places.tolist() == wanted + [0] * (room - len(wanted))
    assert valid.tolist() == [True] * len(wanted) + [False] * (room - len(wanted))


def test_the_list_of_fixed_size_compiles_whole():
    mask = torch.tensor([False, True, True, False, True])
    compiled = torch.compile(listed_in_fixed_size, fullgraph=True, dynamic=False, backend="eager")
    assert compiled(mask, 2)[0].tolist() == [1, 2]
