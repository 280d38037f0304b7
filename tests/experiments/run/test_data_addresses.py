"""Changed data is never mistaken for the data that made a number."""

import dataclasses
import functools
import json
import pathlib
import shutil

import cli
import pytest
from user_lab import ABLATION, ablation, edit, finish, told

from prismlab.core import code_fingerprint, errors
from prismlab.core.weights import image_vit
from prismlab.data.loader import source
from prismlab.data.records import shards
from prismlab.data.video import folder
from prismlab.data.world import world
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.preview import explain
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.addresses import fingerprints, stages
from prismlab.experiments.store import host_agreement, store


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> tuple[pathlib.Path, pathlib.Path]:
    """Return a folder of videos and shards of it."""
    cache = tmp_path_factory.mktemp("packed")
    source.Rendered(world.World(clips=6, resolution=16, frames=2), workers=0).open(cache)
    return next(cache.glob("world-*")), next(cache.glob("shards-*"))


def repacked(videos: pathlib.Path, target: pathlib.Path, caption: str | None = None) -> None:
    records = list(folder.read_folder(videos))
    if caption is not None:
        records[3] = dataclasses.replace(records[3], caption=caption)
    shards.write_shards(records, target, 4)


def of_data(lab, kind: str, place: pathlib.Path) -> recipe.Ablation:
    text = pathlib.Path(cli.QUICK).read_text(encoding="utf-8")
    start, end = text.index("SOURCE = "), text.index("TOKENIZER = ")
    text = text[:start] + f"SOURCE = @source.{kind}()\nsource.{kind}.path = '{place}'\n" + text[end:]
    file = lab.parent / "data.gin"
    file.write_text(text + ABLATION.replace("ROWS", "'both': {}").replace("from adlab import losses\n", ""))
    return strict.load(str(file)).root


@pytest.mark.parametrize("kind", ["Shards", "Shards without hashes", "Folder"])
def test_changed_data_reruns_what_reads_it(lab, packed, tmp_path, kind):
    home = tmp_path / "data"
    if kind == "Folder":
        shutil.copytree(packed[0], home)
    else:
        repacked(packed[0], home)

    def forget_hashes() -> None:
        if kind.endswith("hashes"):
            manifest = json.loads((home / "manifest.json").read_text())
            for shard in manifest["shards"]:
                del shard["sha256"]
            (home / "manifest.json").write_text(json.dumps(manifest))

    forget_hashes()
    root = of_data(lab, kind.split()[0], home)
    finish(tmp_path / "w", root)
    (path,) = [
        each for each in home.rglob("*") if each.name in ("captions.jsonl", "shard-00000.array_record")
    ]
    path.touch()  # the same bytes
    assert told(tmp_path / "w", root) == ["all 2 stages and 1 evaluations are reused"]
    if kind == "Folder":
        video = sorted((home / "videos").iterdir())[3]
        video.write_bytes(video.read_bytes()[:-1] + b"!")
    else:
        shutil.rmtree(home)
        repacked(packed[0], home, caption="another caption")
        forget_hashes()
    content = "content of data.sources.clean changed, content of data.tokenizer.sources[0] changed"
    assert told(tmp_path / "w", root) == [
        f"stage1 (seed 0): runs; {content}",
        f"stage2 (seed 0): runs; {content}",
        "2 of 2 stages and 1 of 1 evaluations run; the rest is reused",
    ]


def test_data_that_changes_during_a_run_is_not_used(lab, packed, tmp_path):
    home = tmp_path / "data"
    repacked(packed[0], home)
    root = of_data(lab, "Shards", home)
    prints = fingerprints.Fingerprints(cli.CACHE)
    planned = stages.lines(root.experiments(), root.seeds, prints)[0].stages[0]
    known = planned.inputs["data"]
    prints.check(stages.data_of(planned.stage), known, "stage1")
    shutil.rmtree(home)
    repacked(packed[0], home, caption="another caption")
    with pytest.raises(errors.UserError, match=r"stage1: the content of data\.sources\.clean.*run the same"):
        prints.check(stages.data_of(planned.stage), known, "stage1")


def test_hosts_with_other_data_or_code_of_the_user_are_told_apart(lab, packed, tmp_path):
    home = tmp_path / "data"
    repacked(packed[0], home)
    root = of_data(lab, "Shards", home)
    before = host_agreement.contents(root)
    shutil.rmtree(home)
    repacked(packed[0], home, caption="another caption")
    edit(lab / "judge.py", "0.5", "0.25")
    code_fingerprint.forget()
    after = host_agreement.contents(root)
    assert {key for key in before if before[key] != after[key]} == {
        "code adlab.judge",
        *(f"data 'both' {stage}.data.{path}" for stage in ("stage1", "stage2")
          for path in ("sources.clean", "tokenizer.sources[0]")),
    }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Silent:
    """A source that does not state its content."""

    path: str = "somewhere"

    def open(self, cache):
        raise AssertionError("not opened for an address")


def test_a_source_that_states_no_content_is_named(lab, tmp_path):
    root = ablation(lab, "'one': {'stages': ('stage1',)}")
    stage = root.base.stages[0]
    data = dataclasses.replace(stage.data, sources={"clean": Silent()})
    prints = fingerprints.Fingerprints(tmp_path)
    assert prints.data(dataclasses.replace(stage, data=data)) == {}
    (line,) = [
        line for line in explain.text([], store.of(tmp_path), prints.unstated) if "content_digest" in line
    ]
    assert line.startswith(f"{__name__}.Silent has no content_digest")


def test_a_file_named_in_the_configuration_counts_by_content(lab, tmp_path):
    model = tmp_path / "words.model"
    model.write_bytes(b"one")
    line = ablation(lab).base.stages[0].data
    line = dataclasses.replace(
        line, tokenizer=dataclasses.replace(line.tokenizer, sources=(), model=str(model))
    )
    found = fingerprints.Fingerprints(tmp_path / "cache").data(line)
    assert set(found) == {"tokenizer.model"}
    model.write_bytes(b"two")
    assert fingerprints.Fingerprints(tmp_path / "cache").data(line) != found


def test_weights_in_a_folder_count_by_content(tmp_path):
    (tmp_path / "vit").mkdir()
    weights = tmp_path / "vit" / "model.safetensors"
    weights.write_bytes(b"one")
    start = functools.partial(image_vit.started, weights=str(tmp_path / "vit"))
    found = fingerprints.Fingerprints(tmp_path / "cache").data(start)
    assert set(found) == {"weights"}
    weights.write_bytes(b"two")
    assert fingerprints.Fingerprints(tmp_path / "cache").data(start) != found
