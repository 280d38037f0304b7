"""Certificates of the shared run: what they say, what they leave out, and how hostile ones are read."""

import dataclasses
import json
import pathlib
import platform
import re
import shutil
import subprocess

import cli
import pytest

from prismlab.core import errors
from prismlab.core.io import checked_json
from prismlab.experiments.certificate import attempts, certify, contents, environment, statement


@pytest.fixture(scope="module")
def folder(whole) -> pathlib.Path:
    return next(whole.glob("stages/stage2-*"))


def test_a_stage_is_certified(folder):
    found = statement.read(folder)
    done = json.loads((folder / "done.json").read_text())
    assert found.subjects["checkpoints/8/learner"] == done["digest"]
    assert found.subjects["events.jsonl"] == certify.digest_of(folder / "events.jsonl")
    assert set(found.parents) == {"init_from", "teacher"}
    assert found.parents["teacher"] == folder.parent.glob("stage1-*").__next__().name[-16:]
    assert found.code["prismlab.objectives.masked"]
    assert [each.step for each in found.steps] == list(range(1, 9))
    assert all(len(each.batch) == 8 and len(each.parameters) == 16 for each in found.steps)
    assert len({each.batch for each in found.steps}) > 4
    assert found.cost.clips == 8 * 4
    assert found.environment.devices == 1
    assert "--xla_backend_optimization_level=0" in found.environment.variables["XLA_FLAGS"]
    assert [(each.start, each.end, each.outcome) for each in found.attempts] == [(0, 8, "done")]
    assert found.cost.device_seconds > 0 == found.cost.failed_device_seconds


def test_each_value_has_its_origin(folder):
    found = {each.name: (each.value, each.origin) for each in statement.read(folder).bindings}
    assert found["STEPS"] == ("8", "command line")
    value, origin = found["loader.Line.resolution"]
    assert value == "%RESOLUTION"
    assert re.fullmatch(r"(tests/experiments/)?quick\.gin:\d+", origin)
    assert found["optim.AdamW.weight_decay"][1] == "default"


def test_the_file_is_an_in_toto_statement_without_paths_or_hosts(folder):
    text = (folder / statement.NAME).read_text()
    plain = json.loads(text)
    assert (plain["_type"], plain["predicateType"]) == (statement.STATEMENT, statement.PREDICATE)
    assert set(plain["predicate"]) == {"buildDefinition", "runDetails"}
    for secret in (str(cli.REPOSITORY), str(cli.SHARED), str(pathlib.Path.home())):
        assert secret == "/" or secret not in text
    assert not re.search(rf"\b{re.escape(platform.node())}\b", text)


def test_it_is_read_as_it_was_written(folder, tmp_path):
    found = statement.read(folder)
    statement.write(found, tmp_path / "x.json")
    assert statement.read(tmp_path / "x.json") == found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda plain: plain["predicate"].pop("runDetails"), "expected runDetails"),
        (lambda plain: plain.update(subject=[{"name": 3}]), "expected text"),
        (lambda plain: plain["predicate"]["buildDefinition"].update(buildType="x"), "as buildType"),
        (
            lambda plain: plain["predicate"]["buildDefinition"]["internalParameters"].update(cores=1e999),
            "cores",
        ),
        (lambda plain: plain["predicate"]["runDetails"]["byproducts"].clear(), "no certificate"),
    ],
)
def test_a_hostile_certificate_is_one_line(folder, tmp_path, change, told):
    plain = json.loads((folder / statement.NAME).read_text())
    change(plain)
    (tmp_path / statement.NAME).write_text(json.dumps(checked_json.sealed(plain)))
    with pytest.raises(errors.UserError, match=told) as caught:
        statement.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_damaged_or_missing_certificate_is_one_line(folder, tmp_path):
    text = (folder / statement.NAME).read_text()
    (tmp_path / statement.NAME).write_text(text.replace('"stage2"', '"stage3"', 1))
    with pytest.raises(errors.UserError, match="damaged or edited"):
        statement.read(tmp_path)
    (tmp_path / statement.NAME).write_bytes(b"[" * statement.LARGEST + b"[[")
    with pytest.raises(errors.UserError, match="expected at most"):
        statement.read(tmp_path)
    (tmp_path / statement.NAME).unlink()
    with pytest.raises(errors.UserError, match=r"has no certificate\.json"):
        statement.read(tmp_path)


def test_many_steps_are_thinned():
    steps = [contents.StepDigest(step) for step in range(1, 5001)]
    kept, every = contents.thinned(steps, 1)
    assert every == 16
    assert len(kept) <= contents.MOST_STEPS
    assert (kept[0].step, kept[1].step, kept[-1].step) == (1, 16, 5000)


def test_killed_and_failed_attempts_keep_their_time(folder, tmp_path):
    shutil.copy(folder / "events.jsonl", tmp_path)
    last = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()][-1]
    with attempts.attempt(tmp_path, 0, 8):
        running = attempts.read(tmp_path)
    assert [each.outcome for each in running] == ["running"]
    killed = dataclasses.replace(running[0], began=last["time"] - 100)  # as if the process had ended there
    attempts._write(tmp_path, [killed])
    with pytest.raises(KeyError), attempts.attempt(tmp_path, 6, 8):
        raise KeyError
    with attempts.attempt(tmp_path, 8, 8):
        pass
    found = attempts.read(tmp_path)
    assert [(each.start, each.end, each.outcome) for each in found] == [
        (0, 8, "killed"), (6, 8, "failed"), (8, 8, "done"),
    ]  # fmt: skip
    assert found[0].seconds == pytest.approx(100, abs=0.01)
    # Two of the eight steps of the first attempt were repeated.
    assert certify.wasted(found) == pytest.approx(found[0].device_seconds / 4)


def test_flags_that_only_write_files_or_name_places_are_left_out():
    given = {
        "XLA_FLAGS": "--xla_b=2 --xla_a=1 --xla_dump_to=x --xla_b=3 "
        "--xla_force_host_platform_device_count=4",
        "JAX_COMPILATION_CACHE_DIR": "/srv/cache", "JAX_COORDINATOR_ADDRESS": "node7:1", "HOME": "/root",
        "JAX_ENABLE_X64": "1",
    }  # fmt: skip
    found = environment.variables(given)
    found.pop("JAX_DISABLE_MOST_OPTIMIZATIONS")  # of the tests
    assert found == {"JAX_ENABLE_X64": "1", "XLA_FLAGS": "--xla_a=1 --xla_b=3"}


def test_the_state_of_the_checkout(tmp_path):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True,
                       capture_output=True)  # fmt: skip

    environment.source.cache_clear()
    assert environment.source(tmp_path) == environment.Source()  # no repository, no lock
    (tmp_path / "core").mkdir()
    (tmp_path / "core/code_fingerprint.py").write_text("")
    (tmp_path / "requirements.lock").write_text("jax")
    git("init", "-q")
    environment.source.cache_clear()
    assert environment.source(tmp_path).commit is None  # the repository of another project
    git("add", ".")
    git("commit", "-qm", "x")
    environment.source.cache_clear()
    clean = environment.source(tmp_path)
    assert (len(clean.commit), clean.changes, clean.untracked, len(clean.lock)) == (40, None, 0, 64)
    (tmp_path / "core/code_fingerprint.py").write_text("x = 1")
    (tmp_path / "new.py").write_text("")
    environment.source.cache_clear()
    edited = environment.source(tmp_path)
    assert (len(edited.changes), edited.untracked) == (64, 1)
    environment.source.cache_clear()
