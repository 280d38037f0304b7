"""The loop: exact resumption, an orderly end on a signal, no checkpoint of a broken state."""

import json
import os
import shutil
import signal
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from prismlab.core import errors, trees
from prismlab.core.events import event_log, stop_signal
from prismlab.core.train import learner, metrics, objective, optim
from prismlab.core.train.checkpoints import checkpoint
from prismlab.core.train.loops import loop
from prismlab.core.train.steps import step

SCHEDULE = optim.Schedule(0.05, 2)
CLOCKED = ("time", "clips_per_second", "clips_per_second_per_chip", "data_wait", "memory_gib")
OPTIMIZER = optim.AdamW(SCHEDULE).build(8)


def _batches(start, steps=8):
    for index in range(start, steps):
        yield tiny.host_batch(index, size=2)


def _train(
    folder,
    state,
    batches,
    steps=8,
    optimizer=OPTIMIZER,
    checkpoint_every=100,
    log_every=3,
    gradients_every=None,
    show=lambda _: None,
):
    store = checkpoint.Checkpoints(folder / "checkpoints")
    log = event_log.EventLog(folder / "events.jsonl", resume_step=int(state.step))
    try:
        return loop.run(
            state,
            batches(log) if callable(batches) else batches,
            loop.Training(None, optimizer, SCHEDULE.build(8), steps),
            loop.Settings(
                checkpoint_every=checkpoint_every, log_every=log_every, gradients_every=gradients_every
            ),
            store,
            log,
            meta={"who": "test"},
            show=show,
        )
    finally:
        store.close()
        log.close()


def _start(optimizer=OPTIMIZER, tree=None):
    return step.init(tree or tiny.line_learner(), optimizer, (), key=jax.random.key(4))


def _restore(folder, like):
    store = checkpoint.Checkpoints(folder / "checkpoints")
    state, meta = store.restore(like)
    store.close()
    return state, meta


def _bits(state):
    flat = trees.flatten(state)
    flat["key"] = jax.random.key_data(flat["key"])
    return {name: np.asarray(value).tobytes() for name, value in flat.items()}


def _events(folder):
    kept = []
    for line in (folder / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        kept.append({k: v for k, v in event.items() if k not in CLOCKED and not k.startswith("step_seconds")})
    return kept


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Eight steps without a break, and the folder they wrote."""
    folder = tmp_path_factory.mktemp("straight")
    shown = []
    state = _train(folder, _start(), _batches(0), show=shown.append)
    return _bits(state), folder, shown


def test_the_first_the_last_and_every_third_step_are_logged(straight):
    _, folder, shown = straight
    logged = _events(folder)
    assert [event["step"] for event in logged] == [1, 3, 6, 8] == [report.step for report in shown]
    for event in logged:
        assert {"loss", "gradient_norm", "loss/bowl", "learning_rate"} <= event.keys()
        assert event["learning_rate"] == pytest.approx(float(SCHEDULE.build(8)(event["step"] - 1)), abs=1e-9)
    assert logged[-1]["loss"] < logged[0]["loss"]
    assert all(0 <= report.data_wait <= 1 and report.clips_per_second > 0 for report in shown)


def test_gradients_of_objectives_are_measured_at_some_lines_and_change_no_bit(straight, tmp_path):
    bits, folder, _ = straight
    state = _train(tmp_path, _start(), _batches(0), gradients_every=2)
    assert _bits(state) == bits
    measured = "objective_gradient_norm/bowl"
    events = _events(tmp_path)
    assert [event["step"] for event in events if measured in event] == [6]
    for event in events:
        event.pop(measured, None)
    assert events == _events(folder)
    with pytest.raises(errors.UserError, match=r"gradients_every must be at least 1, or None .* got 0"):
        loop.Settings(gradients_every=0)


def test_the_last_state_is_on_disk(straight):
    bits, folder, _ = straight
    state, meta = _restore(folder, _start())
    assert _bits(state) == bits
    assert meta == {"step": 8, "who": "test"}


@pytest.mark.parametrize("build", [optim.AdamW, optim.Adafactor])
def test_a_run_in_two_parts_equals_a_run_in_one(straight, tmp_path, build):
    optimizer = build(SCHEDULE).build(8)
    if build is optim.AdamW:
        wanted, folder, _ = straight
        wanted_events = _events(folder)
    else:
        wanted = _bits(_train(tmp_path / "one", _start(optimizer), _batches(0), optimizer=optimizer))
        wanted_events = _events(tmp_path / "one")
    _train(tmp_path / "two", _start(optimizer), _batches(0, 5), steps=5, optimizer=optimizer)
    state, _ = _restore(tmp_path / "two", _start(optimizer, tiny.line_learner(seed=99)))
    assert int(state.step) == 5
    assert _bits(_train(tmp_path / "two", state, _batches(5), optimizer=optimizer)) == wanted
    # Step 5 was the first part's last; apart from its line both logs are the same.
    assert [event for event in _events(tmp_path / "two") if event["step"] != 5] == wanted_events


def test_lines_are_in_the_order_of_steps_wherever_a_run_was_stopped(tmp_path):
    def noted(start, stop=8):
        def batches(log):
            for index, batch in enumerate(_batches(start, stop), start + 1):
                log.write(index, "batch", {})
                yield batch

        return batches

    _train(tmp_path / "one", _start(), noted(0), log_every=1)
    _train(tmp_path / "two", _start(), noted(0, 3), steps=3, log_every=1)
    state, _ = _restore(tmp_path / "two", _start())
    _train(tmp_path / "two", state, noted(3), log_every=1)
    order = [(event["step"], event["kind"]) for event in _events(tmp_path / "one")]
    assert order == [(index, kind) for index in range(1, 9) for kind in ("batch", "train")]
    assert order == [(event["step"], event["kind"]) for event in _events(tmp_path / "two")]


def test_a_stage_without_steps_saves_what_it_starts_from(tmp_path):
    wanted = _bits(_start())
    assert _bits(_train(tmp_path, _start(), iter(()), steps=0)) == wanted
    assert _bits(_restore(tmp_path, _start(tree=tiny.line_learner(5)))[0]) == wanted


def test_a_folder_deleted_under_a_run_ends_it_at_the_next_save_and_stays_deleted(tmp_path):
    folder = tmp_path / "stage"

    def batches():
        for index, batch in enumerate(_batches(0)):
            if index == 2:
                shutil.rmtree(folder)
            yield batch

    with pytest.raises(errors.UserError, match="was deleted while this process wrote to it"):
        _train(folder, _start(), batches(), checkpoint_every=4)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "USR2", "XCPU"])
def test_every_stop_signal_is_noted(name):
    number = signal.Signals[f"SIG{name}"]
    assert number in stop_signal.STOPPING
    before = signal.getsignal(number)
    with stop_signal.StopSignal() as stop:
        os.kill(os.getpid(), number)
        assert stop.came
    assert signal.getsignal(number) == before


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signal.StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.came
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("at", [4, 8])
def test_a_signal_saves_the_state_and_says_how_to_go_on(straight, tmp_path, at):
    def signalled():
        for index, batch in enumerate(_batches(0), start=1):
            if index == at:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(
        loop.Interrupted, match=f"stopped after step {at} of 8; run the same command to continue"
    ):
        _train(tmp_path, _start(), signalled())
    assert signal.getsignal(signal.SIGTERM) is before
    state, _ = _restore(tmp_path, _start())
    assert int(state.step) == at
    assert _bits(_train(tmp_path, state, _batches(at))) == straight[0]


def test_a_second_ctrl_c_does_not_wait():
    with stop_signal.StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.came
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


class Cliff(tiny.Bowl):
    """The bowl until the pixels say 255 everywhere; then a loss or a gradient that is not finite."""

    broken: str = "loss"

    def __call__(self, seen: Any, batch: Any, *, key: Any) -> tuple[metrics.Mean, dict]:
        """Return the bowl's loss, or one that breaks."""
        mean, parts = super().__call__(seen, batch, key=key)
        pooled = seen[objective.View("video")].pooled
        white = jnp.min(batch.video) > 0.999
        if self.broken == "loss":
            extra = jnp.where(white, jnp.inf, 0.0)
        else:  # the root of zero: its value is finite, its slope is not
            extra = jnp.sqrt(jnp.where(white, 0.0 * jnp.sum(pooled), 1.0))
        return metrics.Mean(mean.total + extra * mean.count, mean.count), parts


def _with_white(at, steps=8):
    for index, batch in enumerate(_batches(0, steps), start=1):
        yield {**batch, "video": np.full_like(batch["video"], 255)} if index == at else batch


@pytest.mark.parametrize(
    ("broken", "at"),
    [
        ("loss", 3),
        pytest.param("loss", 4, marks=pytest.mark.slow),
        pytest.param("loss", 8, marks=pytest.mark.slow),
        ("gradient", 4),
    ],
)
def test_a_state_that_is_not_finite_is_never_saved(tmp_path, broken, at):
    # Checkpoints are due at steps 2, 4, 6 and 8; the break comes between two, at one, or at the end.
    cliff = Cliff()
    object.__setattr__(cliff, "broken", broken)
    tree = learner.Learner(tiny.line_learner().towers, {"cliff": cliff})
    optimizer = optax.sgd(0.01)
    with pytest.raises(loop.Diverged, match=f"not finite at step {at}"):
        _train(tmp_path, _start(optimizer, tree), _with_white(at), optimizer=optimizer, checkpoint_every=2)
    assert checkpoint.newest(tmp_path / "checkpoints") == (at - 1) // 2 * 2
    state, _ = _restore(tmp_path, _start(optimizer, tree))
    assert all(np.isfinite(v).all() for v in map(np.asarray, trees.flatten(state.learner).values()))


def test_the_loaders_message_for_the_user_comes_through():
    def loader():
        yield tiny.host_batch()
        try:
            raise errors.UserError("clip 7 is broken: replace it")
        except errors.UserError as error:
            raise RuntimeError("worker 3 died") from error

    batches = loop.batches_of(loader())
    next(batches)
    with pytest.raises(errors.UserError, match="clip 7 is broken"):
        next(batches)

    def other():
        yield tiny.host_batch()
        raise RuntimeError("a defect of ours")

    batches = loop.batches_of(other())
    next(batches)
    with pytest.raises(RuntimeError, match="a defect of ours"):
        next(batches)
    assert len(list(loop.batches_of(iter([{}, {}])))) == 2
