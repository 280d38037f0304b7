"""What a run tells of itself: speed, waiting, the late host, the leaf that made a step compile again."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core.events import telemetry


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    held = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(telemetry.time, "perf_counter", lambda: held.now)
    return held


def steps(meter, clock, waits, works, clips=8):
    for wait, work in zip(waits, works, strict=True):
        meter.start_wait()
        clock.now += wait
        meter.got_batch(clips)
        meter.dispatched()
        clock.now += work
        meter.finished()


def test_speed_and_waiting_are_shares_of_the_clock(clock):
    meter = telemetry.Meter()
    steps(meter, clock, [1.0, 1.0], [3.0, 3.0])
    told = meter.lap()
    assert told["clips_per_second"] == pytest.approx(16 / 8)
    assert told["clips_per_second_per_chip"] == pytest.approx(2 / jax.device_count())
    assert told["data_wait"] == pytest.approx(0.25)
    assert told["step_seconds_50"] == pytest.approx(4.0)
    assert "mfu" not in told
    assert meter.host_seconds == pytest.approx(1.0)


def test_a_lap_forgets_the_one_before(clock):
    meter = telemetry.Meter()
    steps(meter, clock, [4.0], [4.0])
    meter.lap()
    steps(meter, clock, [0.0], [2.0])
    assert meter.lap()["data_wait"] == pytest.approx(0.0)


@given(st.lists(st.floats(0.5, 100), min_size=1, max_size=20))
def test_percentiles_lie_within_the_steps(seconds):
    held = types.SimpleNamespace(now=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(telemetry.time, "perf_counter", lambda: held.now)
        meter = telemetry.Meter()
        steps(meter, held, [0.0] * len(seconds), seconds)
        told = meter.lap()
    assert min(seconds) - 1e-6 <= told["step_seconds_50"] <= told["step_seconds_90"] <= max(seconds) + 1e-6


def test_mfu_is_operations_over_peak(clock, monkeypatch):
    monkeypatch.setattr(telemetry, "peak_of", lambda device: 1e12)
    meter = telemetry.Meter(flops=2e12 * jax.device_count())
    steps(meter, clock, [0.0, 0.0], [4.0, 4.0])
    assert meter.lap()["mfu"] == pytest.approx(0.5)


def test_peaks_go_by_the_whole_kind_and_are_not_guessed():
    kind = lambda name: types.SimpleNamespace(device_kind=name)
    assert telemetry.peak_of(kind("TPU v5 lite")) == 197e12
    assert telemetry.peak_of(kind("TPU v5p")) == 459e12
    assert telemetry.peak_of(kind("NVIDIA H100 80GB HBM3")) == 989e12
    assert telemetry.peak_of(kind("NVIDIA GeForce RTX 4090")) == 165.2e12
    for unknown in ("cpu", "NVIDIA GeForce RTX 4090 D", "NVIDIA H100 something", "NVIDIA L40", "TPU v5x"):
        assert telemetry.peak_of(kind(unknown)) is None


def test_the_late_host_is_named():
    assert telemetry.late(np.array([0.1, 0.9, 0.1])) == pytest.approx(
        {"slowest_host": 1.0, "slowest_host_seconds": 0.8}
    )
    assert telemetry.late(np.array([0.3])) == {}


def call(seen, step, *arguments):
    seen.before()
    step(*arguments)
    return seen.after(*arguments)


def test_a_recompilation_names_the_leaf_that_changed():
    step, seen = jax.jit(lambda state, batch: state["w"] + batch["video"].sum()), telemetry.Recompiles()
    state, batch = {"w": jnp.zeros(3)}, {"video": jnp.zeros((4, 2))}
    assert [call(seen, step, state, batch) for _ in range(4)] == [None] * 4
    told = call(seen, step, state, {"video": jnp.zeros((5, 2))})
    assert "video: float32[4, 2]" in told
    assert "-> float32[5, 2]" in told
    assert seen.count == 1


def test_what_compiles_beside_the_step_is_not_the_step():
    step, seen = jax.jit(lambda x: x + 1), telemetry.Recompiles()
    x = jnp.zeros(3)
    for _ in range(3):
        call(seen, step, x)
    seen.before()
    step(x)
    jax.jit(lambda y: y * 3.25)(jnp.zeros(7)).block_until_ready()  # as a checkpoint's thread may
    assert seen.after(x) is None
    assert seen.count == 0


def test_a_profile_covers_the_steps_asked_for(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: told.append(("start", step)))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: told.append(("stop", step)))
    profile = telemetry.Profile((3, 4), tmp_path)
    for step in range(1, 8):
        profile.at(step)
    profile.close()
    assert told == [("start", 3), ("stop", 5)]
    telemetry.Profile(None, tmp_path).at(3)
    assert len(told) == 2
