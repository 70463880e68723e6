"""--time."""

import pytest

from rvperf.profile.times import FOREVER, ranges


@pytest.mark.parametrize(
    "text, found",
    [
        ("1.5,2", ((1_500_000_000, 2_000_000_000),)),
        ("1,", ((1_000_000_000, FOREVER),)),
        (",2", ((0, 2_000_000_000),)),
        ("1,2 3,4", ((10**9, 2 * 10**9), (3 * 10**9, 4 * 10**9))),
        ("10%/2", ((1100, 1199),)),
        ("0%-10%,50%-100%", ((1000, 1099), (1500, 2000))),
        ("50%", ((1000, 1499),)),
        ("5", None),
        ("2,1", None),
        ("1,3 2,4", None),
        ("10%/x", None),
        ("200%", None),
        ("a,b", None),
    ],
)
def test_ranges(text, found):
    assert ranges(text, 1000, 2000) == found
