"""Which source each batch comes from: fair at every prefix, independent of the length, homogeneous."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.data.loader import example, mixture

quick = settings(max_examples=50, deadline=None)
shares = st.lists(st.floats(0.05, 20.0), min_size=1, max_size=7).map(tuple)


def alternate(weights, batch_size, steps, host=0, hosts=1, clips=None):
    plan = mixture.Plan(tuple(map(str, range(len(weights)))), ((0, weights),))
    return mixture.Alternate(plan, example.HostPlace(batch_size, host, hosts), steps, clips)


@quick
@given(shares, st.integers(1, 300))
def test_every_prefix_is_within_one_batch_of_its_shares(weights, steps):
    source, turn = mixture.schedule(weights, steps)
    given_so_far = np.cumsum(np.eye(len(weights), dtype=int)[source], axis=0)
    wanted = np.outer(np.arange(1, steps + 1), np.asarray(weights) / np.sum(weights))
    assert np.abs(given_so_far - wanted).max() < 1.0 + 1e-6
    assert np.array_equal(turn, given_so_far[np.arange(steps), source] - 1)


@pytest.mark.parametrize("small", [4, 8, 40])
def test_many_small_sources_beside_large_ones_are_served_in_time(small):
    weights = (1.0,) * small + (float(small), small / 2, small / 3)
    source, _ = mixture.schedule(weights, 400)
    behind = np.outer(np.arange(1, 401), np.asarray(weights) / np.sum(weights)) - np.cumsum(
        np.eye(len(weights))[source], axis=0
    )
    assert np.abs(behind).max() < 1.0


@quick
@given(shares, st.integers(0, 60), st.integers(0, 60))
def test_a_prefix_does_not_depend_on_the_length(weights, short, more):
    for few, many in zip(mixture.schedule(weights, short), mixture.schedule(weights, short + more)):
        assert np.array_equal(few, many[:short])


@quick
@given(shares, st.integers(1, 20), st.integers(1, 5), st.floats(0.1, 10))
def test_scaling_all_weights_changes_nothing(weights, steps, power, factor):
    scaled = tuple(weight * 2.0**power for weight in weights)
    assert np.array_equal(mixture.schedule(weights, steps)[0], mixture.schedule(scaled, steps)[0])


@quick
@given(shares, st.integers(1, 9), st.integers(1, 30))
def test_global_batches_are_homogeneous_and_read_each_source_in_order(weights, batch_size, steps):
    chosen = alternate(weights, batch_size, steps)
    assert len(chosen) == steps * batch_size
    items = [chosen[index] for index in range(len(chosen))]
    for step in range(steps):
        assert len({source for source, _ in items[step * batch_size : (step + 1) * batch_size]}) == 1
    for source in range(len(weights)):
        read = [item for home, item in items if home == source]
        assert read == list(range(len(read)))


def test_equal_weights_take_turns_from_the_first():
    assert mixture.schedule((1.0, 1.0, 1.0), 7)[0].tolist()[:3] == [0, 1, 2]
    assert mixture.schedule((3.0, 1.0), 8)[0].tolist().count(0) == 6


@pytest.mark.parametrize(
    ("weights", "told"),
    [({"a": 1.0}, "exactly the sources"), ({"a": 1, "b": 1, "c": 1}, "exactly"),
     ({"a": 1, "b": 0}, "positive"),
     ({"a": 1, "b": float("nan")}, "positive"), ({"a": 1, "b": float("inf")}, "positive")],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused(weights, told):
    with pytest.raises(errors.UserError, match=told):
        mixture.weights_of(["a", "b"], weights)


def test_weights_follow_the_names_not_the_mapping():
    assert mixture.weights_of(["a", "b"], {"b": 2.0, "a": 1.0}) == (1.0, 2.0)
    assert mixture.weights_of(["a", "b"], None) == (1.0, 1.0)


names = ("a", "b", "c")
weights_of_some = st.dictionaries(st.sampled_from(names), st.floats(0.05, 20.0), min_size=1)
phases = st.lists(st.tuples(st.integers(1, 40), weights_of_some), max_size=4)


def planned(first, later):
    starts = np.cumsum([gap for gap, _ in later]).tolist()
    return mixture.Plan.of(names, first, [mixture.Phase(s, w) for s, (_, w) in zip(starts, later)])


@quick
@given(st.fixed_dictionaries(dict.fromkeys(names, st.floats(0.05, 20.0))), phases, st.integers(1, 200))
def test_each_phase_keeps_its_own_weights_at_each_of_its_prefixes(first, later, steps):
    plan = planned(first, later)
    source, turn = plan.schedule(steps)
    so_far = np.cumsum(np.eye(3, dtype=int)[source], axis=0)
    assert np.array_equal(turn, so_far[np.arange(steps), source] - 1)  # no batch of a source twice
    edges = [start for start, _ in plan.phases if start < steps] + [steps]
    for (start, weights), end in zip(plan.phases, edges[1:]):
        inside = np.eye(3, dtype=int)[source[start:end]].cumsum(axis=0)
        wanted = np.outer(np.arange(1, end - start + 1), np.asarray(weights) / np.sum(weights))
        assert np.abs(inside - wanted).max() < 1.0 + 1e-6
        assert not inside[:, np.asarray(weights) == 0].any()
    assert np.isclose(plan.declared(steps).sum(), steps)


@quick
@given(st.fixed_dictionaries(dict.fromkeys(names, st.floats(0.05, 20.0))), phases, st.integers(0, 99))
def test_a_prefix_of_phases_does_not_depend_on_the_length(first, later, steps):
    plan = planned(first, later)
    for few, many in zip(plan.schedule(steps), plan.schedule(150)):
        assert np.array_equal(few, many[:steps])


@pytest.mark.parametrize(
    ("later", "told"),
    [
        ([mixture.Phase(5, {"d": 1.0})], "names .'d'."),
        ([mixture.Phase(5, {"a": 1.0}), mixture.Phase(5, {"b": 1.0})], "increasing"),
        ([mixture.Phase(5, {"a": 0.0})], "positive"),
    ],
)
def test_phases_that_do_not_fit_are_refused(later, told):
    with pytest.raises(errors.UserError, match=told):
        mixture.Plan.of(names, None, later)


@quick
@given(shares, st.sampled_from([1, 2, 4, 8]), st.integers(1, 12))
def test_hosts_share_out_the_items_of_one(weights, hosts, steps):
    whole = alternate(weights, 8, steps)
    parts = [alternate(weights, 8, steps, host, hosts) for host in range(hosts)]
    own = 8 // hosts
    for step in range(steps):
        together = [part[step * own + place] for part in parts for place in range(own)]
        assert together == [whole[step * 8 + place] for place in range(8)]


def mixed(weights, batch_size, steps, host=0, hosts=1, seed=3):
    plan = mixture.Plan(tuple(map(str, range(len(weights)))), ((0, weights),))
    return mixture.Mixed(plan, example.HostPlace(batch_size, host, hosts), steps, seed)


@quick
@given(shares, st.integers(1, 9), st.integers(1, 30))
def test_mixed_batches_read_each_source_in_order_and_leave_nothing_out(weights, batch_size, steps):
    chosen = mixed(weights, batch_size, steps)
    items = [chosen[index] for index in range(len(chosen))]
    assert len(items) == steps * batch_size
    per_step = [items[step * batch_size : (step + 1) * batch_size] for step in range(steps)]
    for source in range(len(weights)):
        own = [item for batch in per_step for item in sorted(n for home, n in batch if home == source)]
        assert own == list(range(len(own)))
        assert chosen.batches(steps)[source] == len(own) / batch_size
    assert items == [mixed(weights, batch_size, steps + 7)[index] for index in range(len(items))]


def test_mixed_batches_hold_the_sources_in_their_shares_and_in_random_places():
    chosen = mixed((1.0, 3.0), 16, 500)
    homes = np.asarray([chosen[index][0] for index in range(len(chosen))]).reshape(500, 16)
    assert homes.mean() == pytest.approx(0.75, abs=0.02)  # four standard errors
    np.testing.assert_allclose(homes.mean(axis=0), 0.75, atol=0.08)
    assert homes.sum(axis=1).std() == pytest.approx((16 * 0.75 * 0.25) ** 0.5, rel=0.15)
    parts = [mixed((1.0, 3.0), 16, 500, host, 2) for host in range(2)]
    assert [parts[0][index] for index in range(8)] + [parts[1][index] for index in range(8)] == [
        chosen[index] for index in range(16)
    ]


def test_sources_of_a_later_phase_may_wait():
    later = (mixture.Phase(2, {"b": 1.0}),)
    plan = mixture.Plan.of(["a", "b"], {"a": 1.0}, later)
    assert plan.schedule(4)[0].tolist() == [0, 0, 1, 1]
    assert plan.draws(5, 3, 0).tolist() == [[5, 0], [5, 0], [0, 5]]
    with pytest.raises(errors.UserError, match=r"weights must name exactly the sources \['a'\], got \['c'\]"):
        mixture.Plan.of(["a", "b"], {"c": 1.0}, later)
