"""`verify` finds a flipped bit, other flags, another batch order and edited code, and says which it is."""

import dataclasses
import json
import pathlib
import re
import shutil

import cli
import numpy as np
import pytest

from prismlab.core import errors
from prismlab.core.io import checked_json
from prismlab.core.parallel import cores
from prismlab.data.loader import stream
from prismlab.experiments import main
from prismlab.experiments.certificate import certify, environment, statement
from prismlab.experiments.recipe.addresses import fingerprints
from prismlab.experiments.verification import certificates, replay, stored_bits, ulp, verify

REAL = replay.replay


@pytest.fixture
def as_trained(whole, monkeypatch) -> None:
    """Let this process have the flags of the command that trained the shared run."""
    folder = next(whole.glob("stages/stage1-*"))
    recorded = dict(statement.read(folder).environment.variables)
    monkeypatch.setattr(environment, "variables", lambda environ: recorded)


@pytest.fixture(scope="module")
def replayed(whole, usual_promotion_of_module) -> replay.Replayed:
    """Return the last step of stage 1, trained again."""
    seen = []

    def keep(*given, **more):
        seen.append(REAL(*given, **more))
        return seen[-1]

    patch = pytest.MonkeyPatch()
    patch.setattr(replay, "replay", keep)
    with patch.context():
        verify.stage(next(whole.glob("stages/stage1-*")), 1, None, cli.CACHE)
    patch.undo()
    return seen[0]


@pytest.fixture(scope="module")
def usual_promotion_of_module():
    import jax

    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def folder(whole, tmp_path) -> pathlib.Path:
    shutil.copytree(whole, tmp_path / "w", ignore=shutil.ignore_patterns("tensorboard"))
    return next((tmp_path / "w").glob("stages/stage1-*"))


@pytest.fixture
def stand_in(monkeypatch, replayed, as_trained):
    """Return a function that replaces the replay by its known result, changed."""

    def replace(change=lambda each: each, shift: float = 0.0) -> None:
        steps = {at: change(each) for at, each in replayed.steps.items()}
        moved = lambda value: value + value.dtype.type(shift) if shift else value
        arrays = {
            at: {name: moved(value) for name, value in found.items()} for at, found in replayed.arrays.items()
        }
        monkeypatch.setattr(replay, "replay", lambda *_, **__: replay.Replayed(steps, arrays))

    return replace


def rewrite(folder: pathlib.Path, change) -> None:
    plain = json.loads((folder / statement.NAME).read_text())
    change(plain)
    (folder / statement.NAME).write_text(json.dumps(checked_json.sealed(plain)))


def test_an_untouched_stage_is_equal_bit_by_bit(whole, replayed, stand_in):
    folder = next(whole.glob("stages/stage1-*"))
    (recorded,) = [each for each in statement.read(folder).steps if each.step == 8]
    assert replayed.steps[8] == recorded
    stand_in()
    found = verify.stage(folder, 5, None, cli.CACHE)
    assert found.causes == ()
    assert found.lines == ("steps 8 to 8, replayed from step 7: 1 logged step and 1 checkpoint equal",)


@pytest.mark.slow
def test_a_stage_with_parents_is_replayed(whole, as_trained):
    folder = next(whole.glob("stages/stage2-*"))
    found = verify.stage(folder, 1, 7, cli.CACHE)
    assert found.causes == (), found
    assert "equal" in found.lines[0]


def test_a_flipped_bit_of_a_checkpoint_is_named(folder, stand_in):
    stand_in()
    data = max((folder / "checkpoints/8/learner").rglob("d/*"), key=lambda path: path.stat().st_size)
    kept = data.read_bytes()
    for place in range(len(kept) // 3, len(kept), len(kept) // 64):  # not in a byte that no array uses
        data.write_bytes(kept[:place] + bytes([kept[place] ^ 4]) + kept[place + 1 :])
        found = verify.stage(folder, 1, None, cli.CACHE)
        if found.causes:
            break
    assert re.search(
        r"stored bits: checkpoint 8(: flipped bits in learner/| cannot be read)", found.causes[0]
    )


def test_the_array_with_the_flipped_bit_is_named():
    arrays = {"a/b": np.ones(3, np.float32), "c": np.arange(4, dtype=np.int32)}
    sums = {"learner": stored_bits.checksums.of(arrays)}
    assert stored_bits.damaged({"learner": arrays}, sums) == []
    arrays["a/b"].view(np.uint32)[1] ^= 1 << 9
    assert stored_bits.damaged({"learner": arrays}, sums) == ["learner/a/b"]


def test_a_checkpoint_that_was_replaced_is_named(folder, stand_in):
    stand_in()
    shutil.rmtree(folder / "checkpoints/8")
    assert "stored bits: checkpoint 8 is missing" in verify.stage(folder, 1, 6, cli.CACHE).causes
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"step": 8, "time": 0, "kind": "x"}\n')
    assert (
        "stored bits: events.jsonl is not the file that was certified"
        in verify.stage(folder, 1, 6, cli.CACHE).causes
    )


def test_another_flag_is_named(folder, stand_in):
    flags = statement.read(folder).environment.variables["XLA_FLAGS"]

    def other(plain):
        own = plain["predicate"]["buildDefinition"]["internalParameters"]["variables"]
        own["XLA_FLAGS"] = flags.replace("level=0", "level=3")

    rewrite(folder, other)
    stand_in()
    equal = verify.stage(folder, 1, None, cli.CACHE)
    assert equal.causes == ()
    told = "environment: XLA_FLAGS --xla_backend_optimization_level: 3 -> 0"
    assert f"numbers are equal although {told}" in equal.lines
    stand_in(lambda each: dataclasses.replace(each, loss=each.loss * 1.5), shift=1e-3)
    found = verify.stage(folder, 1, None, cli.CACHE)
    assert found.causes == (told,)
    assert "first difference at step 8: loss" in found.lines[1]
    assert re.match(r"checkpoint 8: \d+ of \d+ arrays differ; first \S+: \d+ of \d+ numbers, at most \d+ ulp",
                    found.lines[2])  # fmt: skip


def test_another_batch_order_is_named(whole, as_trained, monkeypatch):
    kept = stream._seed_of
    monkeypatch.setattr(stream, "_seed_of", lambda seed, *names: kept(seed + 1, *names))
    found = verify.stage(next(whole.glob("stages/stage1-*")), 1, None, cli.CACHE)
    assert found.causes == ("data or batch order: other clips, or the same in another order",)
    assert "first difference at step 8: batch" in found.lines[1]


def test_edited_code_is_named(whole, stand_in, monkeypatch):
    kept = fingerprints.Fingerprints.code
    changed = lambda own, value, always: (
        kept(own, value, always) | {"prismlab.objectives.contrastive": "0" * 16}
    )
    monkeypatch.setattr(fingerprints.Fingerprints, "code", changed)
    stand_in(lambda each: dataclasses.replace(each, gradient_norm=0.5))
    found = verify.stage(next(whole.glob("stages/stage1-*")), 1, None, cli.CACHE)
    assert found.causes == ("code: objectives/contrastive.py changed",)


def test_a_difference_without_a_cause_is_called_unknown(whole, stand_in):
    stand_in(lambda each: dataclasses.replace(each, loss=float("nan")))
    found = verify.stage(next(whole.glob("stages/stage1-*")), 1, None, cli.CACHE)
    assert found.causes[0].startswith("unknown: ")


def test_the_recipe_of_a_stage_must_be_there(folder, stand_in):
    (folder / certify.RECIPE).unlink()
    with pytest.raises(errors.UserError, match=r"has no config\.gin"):
        verify.stage(folder, 1, None, cli.CACHE)


def test_the_command_trains_on_as_many_cores(folder, stand_in, monkeypatch):
    stand_in()
    seen = []
    monkeypatch.setattr(cores, "keep_to", seen.append)
    set_cores = lambda plain: plain["predicate"]["buildDefinition"]["internalParameters"].update(cores=3)
    rewrite(folder, set_cores)
    main.main(["verify", str(folder), "--steps", "1"])
    assert seen == [3]
    shutil.copytree(folder.parent.parent, folder.parents[2] / "other")
    (other,) = (folder.parents[2] / "other").glob("stages/stage2-*")
    rewrite(other, lambda plain: plain["predicate"]["buildDefinition"]["internalParameters"].update(cores=1))
    assert certificates.cores(folder.parents[2] / "other") == {1, 3}


def test_the_command_says_what_it_found(folder, stand_in, monkeypatch, capsys):
    stand_in()
    assert main.main(["verify", str(folder)]) == 0
    assert "1 of 1 results are as certified" in capsys.readouterr().out
    facts = json.loads((folder / "stage.json").read_text())
    (folder / "stage.json").write_text(json.dumps(facts | {"accepted_code": ["core/x.py"]}))
    assert main.main(["verify", str(folder)]) == 0
    facts["inputs"]["seed"] = 1
    (folder / "stage.json").write_text(json.dumps(facts))
    assert main.main(["verify", str(folder)]) == 3
    told = "cause: stored bits: stage.json does not hold the inputs that were certified"
    assert told in capsys.readouterr().out
    assert main.main(["verify", str(folder), "--steps", "0"]) == 2


def test_differences_of_two_stages_and_of_two_work_directories(whole, folder):
    def other(plain):
        build = plain["predicate"]["buildDefinition"]
        build["externalParameters"]["inputs"]["configuration"]["steps"] = 9
        build["externalParameters"]["address"] = "0" * 16
        build["internalParameters"]["versions"]["jax"] = "1.0"
        next(
            each for each in build["resolvedDependencies"] if each["name"].endswith("objectives.contrastive")
        )["digest"]["content"] = "0"

    assert certificates.difference(whole, folder.parent.parent) == ["nothing differs"]
    rewrite(folder, other)
    before = next(whole.glob("stages/stage1-*"))
    lines = certificates.difference(before, folder)
    version = statement.read(before).environment.versions["jax"]
    assert lines == [
        "configuration: steps: 8 -> 9",
        "code: objectives/contrastive.py changed",
        f"environment: version of jax: {version} -> 1.0",
    ]
    lines = certificates.difference(whole, folder.parent.parent)
    assert lines[0] == "configuration: steps: 8 -> 9 (stage1 0)"


def test_scores_and_tables_are_compared_with_their_certificates(tmp_path):
    certify.table(tmp_path, "t", {}, {}, [])
    assert verify.files(tmp_path / statement.NAME).causes == ()
    (tmp_path / "table.json").write_text("{}")
    certify.table(tmp_path, "t", {}, {}, [])
    (tmp_path / "table.json").write_text("[]")
    assert verify.files(tmp_path / statement.NAME).causes == (
        "stored bits: table.json is not the file that was certified",
    )


def test_a_certificate_leads_to_no_file_elsewhere(tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "w").mkdir()
    certify.table(tmp_path / "w", "t", {}, {}, [])
    digest = certify.digest_of(tmp_path / "secret")
    rewrite(
        tmp_path / "w",
        lambda plain: plain.update(subject=[{"name": "../secret", "digest": {"sha256": digest}}]),
    )
    assert verify.files(tmp_path / "w" / statement.NAME).causes == (
        "stored bits: ../secret is not the file that was certified",
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_distances_in_ulp(dtype):
    a = np.array([1.0, -0.0, 2.0], dtype)
    assert ulp.distance(a, a.copy()) is None
    b = np.array([np.nextafter(a[0], a[0] + 1), 0.0, 2.0], dtype)
    assert ulp.distance(a, b) == ulp.Distance(2, 3, 1)
    near = np.array([np.nextafter(a.dtype.type(0), a.dtype.type(-1))] * 3, dtype)
    assert ulp.distance(np.abs(near), near) == ulp.Distance(3, 3, 2)
    assert ulp.distance(a, np.array([np.nan, -0.0, 2.0], dtype)) == ulp.Distance(1, 3, None)
    assert ulp.distance(np.array([1, 2]), np.array([1, 3])) == ulp.Distance(1, 2, None)


@pytest.mark.slow
def test_a_really_different_flag_is_found(whole):
    flags = cli.environment()["XLA_FLAGS"]
    other = flags.replace("--xla_backend_optimization_level=0", "--xla_backend_optimization_level=3")
    other += " --xla_cpu_enable_fast_math=true"
    done = cli.run("verify", next(whole.glob("stages/stage1-*")), env=cli.environment(XLA_FLAGS=other))
    assert "environment: XLA_FLAGS --xla_cpu_enable_fast_math: absent -> true" in done.stdout, done.stderr
    assert done.returncode in (0, 3)
    same = cli.run("verify", whole)
    assert same.returncode == 0, same.stdout + same.stderr
