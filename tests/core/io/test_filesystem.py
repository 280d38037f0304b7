"""Work directories: what is done differently in a bucket has the same effect as on a disk."""

import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import jax
import jax.numpy as jnp
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core import errors, trees
from prismlab.core.events import event_log, telemetry
from prismlab.core.io import buckets, file_errors, filesystem, locks
from prismlab.core.train.checkpoints import checkpoint
from prismlab.core.train.steps import step


@pytest.mark.parametrize(
    "text",
    ["s3://bucket/run", "gs://", "gs:///run", "gs:/bucket/run", "http://x/y", "gs://b//x", "gs://b/[1]"],
)
def test_another_url_is_refused_with_what_is_known(text):
    with pytest.raises(errors.UserError, match="gs://BUCKET/FOLDER"):
        filesystem.parse_path(text)


@given(st.text("ab:/.~ ", min_size=1, max_size=8))
def test_what_is_no_url_is_a_path(text):
    if ":/" not in text and text.strip() and not text.startswith("~"):
        assert filesystem.parse_path(text) == pathlib.Path(text)
        assert not filesystem.is_remote(filesystem.parse_path(text))


def test_a_path_stays_what_it_is(tmp_path):
    remote = filesystem.parse_path("gs://bucket/run/")
    assert str(filesystem.absolute(filesystem.as_path(str(remote / "stages")))) == "gs://bucket/run/stages"
    assert filesystem.as_path(remote) is remote
    assert filesystem.is_remote(remote)
    assert filesystem.absolute(pathlib.Path("run")).is_absolute()
    assert filesystem.as_path(tmp_path) is tmp_path


def test_a_missing_gcsfs_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(errors.UserError, match=r"pip install -e '\.\[gs\]'"):
        filesystem.parse_path("gs://bucket/run")


def test_of_many_who_create_a_file_one_succeeds(somewhere):
    gate, won = threading.Barrier(8), []
    somewhere.mkdir(parents=True, exist_ok=True)

    def one(number):
        gate.wait()
        try:
            locks.create(somewhere / "claim", str(number).encode())
            won.append(str(number))
        except FileExistsError:
            pass

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [(somewhere / "claim").read_text()] == won


def test_a_renewed_file_is_younger_and_says_the_same(somewhere):
    somewhere.mkdir(parents=True, exist_ok=True)
    locks.create(somewhere / "claim", b"owner")
    before = locks.modified_time(somewhere / "claim")
    assert abs(before - time.time()) < 60
    time.sleep(0.05)
    locks.touch(somewhere / "claim", b"owner")
    assert before < locks.modified_time(somewhere / "claim") < before + 60
    assert (somewhere / "claim").read_bytes() == b"owner"
    with pytest.raises(FileNotFoundError):
        locks.modified_time(somewhere / "none")


def test_files_are_written_whole_and_lengthened(somewhere):
    assert filesystem.read_if_exists(somewhere / "a/log") == b""
    filesystem.append(somewhere / "a/log", b"one\n")
    filesystem.append(somewhere / "a/log", b"two\n")
    assert filesystem.read_if_exists(somewhere / "a/log") == b"one\ntwo\n"
    filesystem.write_atomic(somewhere / "a/log", b"three\n")
    assert (somewhere / "a/log").read_text() == "three\n"
    assert [path.name for path in (somewhere / "a").iterdir()] == ["log"]


def test_what_others_wrote_is_seen_at_once(bucket):
    folder = filesystem.parse_path("gs://bucket/run")
    filesystem.write_atomic(folder / "one", b"")
    assert len(list(folder.iterdir())) == 1
    script = "from prismlab.core.io import filesystem; filesystem.write_atomic('gs://bucket/run/two', b'x')"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=pathlib.Path(__file__).parents[3])
    assert sorted(path.name for path in folder.iterdir()) == ["one", "two"]
    assert (folder / "two").read_bytes() == b"x"


def test_a_log_is_the_same_in_both_and_reaches_as_far_as_the_last_sync(somewhere):
    path = somewhere / "stage/events.jsonl"
    log = event_log.EventLog(path, resume_step=0, clock=lambda: 1.0)
    for at in range(1, 6):
        log.write(at, "train", {"loss": at / 2})
        if at == 3:
            log.flush(sync=True)
    assert [event["step"] for event in event_log.read(path)] == [1, 2, 3]  # a killed process leaves this
    with event_log.EventLog(path, resume_step=2, clock=lambda: 1.0) as again:
        again.write(3, "train", {"loss": 9.0})
    assert path.read_bytes().splitlines() == [
        json.dumps({"step": at, "time": 1.0, "kind": "train", "loss": loss}).encode()
        for at, loss in ((1, 0.5), (2, 1.0), (3, 9.0))
    ]
    log.close()


def test_a_long_log_in_a_bucket_is_never_read_whole_into_memory(bucket, monkeypatch):
    import gcsfs  # takes half a second, which only this process should need

    line = json.dumps({"step": 1, "time": 1.0, "kind": "train", "note": "x" * 2**16}).encode() + b"\n"
    filesystem.write_atomic("gs://bucket/run/events.jsonl", 100 * line)
    whole = lambda *_, **__: pytest.fail("read or written whole")
    for name in ("_cat_file", "_pipe_file"):
        monkeypatch.setattr(gcsfs.GCSFileSystem, name, whole)
    monkeypatch.setattr(filesystem, "read_if_exists", whole)
    bucket.requests.clear()
    with event_log.EventLog("gs://bucket/run/events.jsonl", clock=lambda: 2.0) as log:
        log.write(2, "train", {})
    written = bucket.objects["run/events.jsonl"][0]
    assert written == 100 * line + b'{"step": 2, "time": 2.0, "kind": "train"}\n'
    assert any("uploadType=resumable" in request for request in bucket.requests)  # in pieces


def test_a_log_that_cannot_be_opened_leaves_no_temporary_files(bucket, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bucket.refuse = True
    with pytest.raises(errors.UserError, match="Forbidden"):
        event_log.EventLog("gs://bucket/run/events.jsonl")
    assert not list(tmp_path.iterdir())


def state_at(at):
    return step.TrainState(jnp.int32(at), tiny.line_learner(at), (), jax.random.key(at))


def test_a_checkpoint_in_a_bucket_is_that_of_a_disk(somewhere):
    store = checkpoint.Checkpoints(somewhere / "checkpoints")
    for at in (1, 2, 3):
        state = state_at(at)
        store.save(state, {"at": at})
    store.wait()
    assert checkpoint.newest(somewhere / "checkpoints") == 3
    assert sorted(path.name for path in (somewhere / "checkpoints").iterdir()) == ["2", "3"]
    back, meta = store.restore(state_at(0))
    store.close()
    assert meta == {"step": 3, "at": 3}
    assert trees.digest(trees.flatten(back.learner)) == trees.digest(trees.flatten(state.learner))
    at, arrays = checkpoint.read_learner(somewhere / "checkpoints")
    assert (at, trees.digest(arrays)) == (3, trees.digest(trees.flatten(state.learner)))


def test_a_checkpoint_that_was_cut_off_does_not_count(bucket):
    folder = filesystem.parse_path("gs://bucket/run/checkpoints")
    store = checkpoint.Checkpoints(folder)
    for at in (1, 2):
        store.save(state_at(at), {})
    store.wait()
    store.close()
    del bucket.objects["run/checkpoints/2/commit_success.txt"]  # what Orbax writes last
    assert checkpoint.newest(folder) == 1
    again = checkpoint.Checkpoints(folder)
    assert again.latest() == 1
    again.close()


@pytest.mark.long
def test_a_profile_is_brought_to_the_bucket(bucket):
    profile = telemetry.Profile((1, 1), filesystem.parse_path("gs://bucket/run/profile"))
    profile.at(1)
    jnp.zeros(3).block_until_ready()
    profile.at(2)
    assert any(name.endswith(".xplane.pb") for name in bucket.objects)
    assert all(name.startswith("run/profile/plugins/") for name in bucket.objects)


def test_what_a_bucket_refuses_is_one_line(bucket):
    with pytest.raises(errors.UserError, match="gs://elsewhere/run: bucket request failed"):
        filesystem.check_reachable(filesystem.parse_path("gs://elsewhere/run"))
    filesystem.check_reachable(filesystem.parse_path("gs://bucket/run"))  # empty as it is
    bucket.refuse = True
    for ask in (
        lambda: filesystem.check_reachable(filesystem.parse_path("gs://bucket/run")),
        lambda: filesystem.write_atomic("gs://bucket/run/x", b"x"),
        lambda: filesystem.read_if_exists(filesystem.parse_path("gs://bucket/run/x")),
    ):
        with pytest.raises(errors.UserError, match="Forbidden") as raised:
            ask()
        assert "\n" not in str(raised.value)


def test_errors_of_a_disk_go_through(tmp_path):
    with pytest.raises(ZeroDivisionError), file_errors.translate_errors(tmp_path):
        raise ZeroDivisionError
    with pytest.raises(FileExistsError), file_errors.translate_errors("gs://bucket/x"):
        raise FileExistsError
    with (
        pytest.raises(KeyError),
        file_errors.translate_errors("gs://bucket/x"),
    ):  # an error of our code
        raise KeyError


def test_a_checkpoint_that_a_bucket_keeps_back_is_not_called_damaged(bucket):
    folder = filesystem.parse_path("gs://bucket/run/checkpoints")
    store = checkpoint.Checkpoints(folder)
    store.save(state_at(1), {})
    store.wait()
    store.close()
    del bucket.objects["run/checkpoints/1/learner/manifest.ocdbt"]
    with pytest.raises(buckets.Unreachable, match="try again"):
        checkpoint.read_learner(folder)


def test_a_damaged_log_in_a_bucket_is_named_by_its_own_name(bucket):
    filesystem.write_atomic("gs://bucket/run/events.jsonl", b"no event\n{}\n")
    with pytest.raises(errors.UserError, match=r"gs://bucket/run/events\.jsonl"):
        event_log.EventLog("gs://bucket/run/events.jsonl")
