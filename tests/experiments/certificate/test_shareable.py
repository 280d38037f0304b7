"""No path of a machine, no host and no account leaves it with a certificate."""

import pytest

from prismlab.experiments.certificate import shareable


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("/srv/alice/videos", "alice"),
        ("~alice/videos", "alice"),
        ("../alice/videos", "alice"),
        ("C:\\Users\\alice", "alice"),
        ("gs://alices-bucket/run", "alice"),
        ("source.Folder.root = '/srv/al ice/my videos'", "ice/my"),
        ("{'a': '/srv/alice', 'b': (\"/srv/alice b\", 3)}", "alice"),
        ("--xla_gpu_cuda_data_dir=/opt/alice --xla_foo=2", "alice"),
        ("grpc://node-7.example.org:8476", "example"),
        ("see file:///srv/alice.", "alice"),
    ],
)
def test_paths_and_urls_become_hashes(text, secret):
    found = shareable.text(text)
    assert secret not in found
    assert "<path " in found
    assert shareable.text(found) == found


@pytest.mark.parametrize(
    "text",
    ["towers/video/encoder", "stage1/recipe.Stage.steps", "@stage1/recipe.Stage()", "a / b", "1/2", "%A/b",
     "",
     "('towers/text', 'stage1')", "{'video': @video.VideoTower}", "Intel(R) Xeon(R) CPU @ 2.20GHz",
     "--xla_cpu_enable_fast_math=false"],
)  # fmt: skip
def test_other_texts_stay(text):
    assert shareable.text(text) == text


def test_equal_paths_have_equal_hashes():
    one, other = shareable.text("/srv/a"), shareable.text("/srv/b")
    assert one != other
    assert shareable.tree({"/srv/a": ["/srv/a", 1, None]}) == {one: [one, 1, None]}


def test_places_keep_the_name_of_the_file():
    assert shareable.place("mine.gin:3") == "mine.gin:3"
    assert shareable.place("/srv/alice/mine.gin:3") == shareable.place("../alice/mine.gin:3") == "mine.gin:3"
    assert shareable.place("binding 'STEPS=8'") == "command line"
