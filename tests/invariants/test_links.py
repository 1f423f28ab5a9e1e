"""What must hold of any link budget."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.network import links

positive = st.floats(1e-3, 1e3)
metres = st.floats(1.0, 5e7)


@settings(max_examples=60, deadline=None)
@given(power=positive, aperture=st.floats(0.01, 1.0), near=metres, far=metres)
def test_no_more_light_arrives_than_was_sent_and_less_from_further(
    power: float, aperture: float, near: float, far: float
) -> None:
    laser = links.Terminal(power, aperture, 1.55e-6, 1.0, 70.0, 1e12, 8, 6e6, 15.0)
    near, far = sorted((near, far))
    share = links.captured(laser, np.array([near, far]))
    assert (share <= 1.0).all()
    assert share[1] <= share[0]
    rate = links.rate(laser, np.array([near, far]))
    assert rate[1] <= rate[0] <= 8e12
    assert (rate[np.array([near, far]) > 6e6] == 0.0).all()


@settings(max_examples=60, deadline=None)
@given(
    latitude=st.floats(-1.5, 1.5), longitude=st.floats(-7.0, 7.0), elevation=st.floats(0.1, 1.57),
    low=st.floats(0.0, 60.0), more=st.floats(0.0, 60.0),
)  # fmt: skip
def test_more_margin_is_never_less_available(
    latitude: float, longitude: float, elevation: float, low: float, more: float
) -> None:
    here = links.gateway_availability(latitude, longitude, elevation, np.array([low, low + more]), 29e9)
    assert (here >= 0.95 - 1e-12).all()
    assert (here <= 0.99999 + 1e-12).all()
    assert here[1] >= here[0]


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.floats(-1.0, 1.0)] * 6), st.floats(6.5e6, 1e7), st.floats(6.5e6, 1e7))
def test_sight_does_not_depend_on_who_looks(axes: tuple[float, ...], one: float, two: float) -> None:
    a, b = np.array(axes[:3]), np.array(axes[3:])
    if min(np.linalg.norm(a), np.linalg.norm(b)) < 0.1:
        return
    a, b = one * a / np.linalg.norm(a), two * b / np.linalg.norm(b)
    assert links.clear(a, b) == links.clear(b, a)
    if links.clear(a, b):
        longest = links.sight_range(one - links.EARTH_EQUATOR_M, two - links.EARTH_EQUATOR_M)
        assert np.linalg.norm(b - a) <= longest + 1.0
