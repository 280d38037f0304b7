"""The world keeps its promises: no motion in one frame, reversal flips it, labels are independent."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.data.world import captions, sprites, truth, world

FEW = settings(max_examples=15, deadline=None)
INDEX = st.integers(0, 10_000)


def _probe_accuracy(features: np.ndarray, labels: np.ndarray, classes: int, train: int) -> float:
    """Return the test accuracy of a ridge regression on one-hot labels."""
    mean, scale = features[:train].mean(0), features[:train].std(0) + 1e-6
    x = (features - mean) / scale
    gram = x[:train].T @ x[:train] + train / 10 * np.eye(x.shape[1], dtype=np.float32)
    weights = np.linalg.solve(
        gram, x[:train].T @ (np.eye(classes, dtype=np.float32)[labels[:train]] - 1 / classes)
    )
    return float(((x[train:] @ weights).argmax(1) == labels[train:]).mean())


@pytest.mark.slow  # renders 1,200 clips
def test_one_frame_carries_no_motion_but_shows_the_background() -> None:
    made = world.World(resolution=16)
    videos, scenes = [made.video(i) for i in range(1200)], [made._scene(i) for i in range(1200)]
    motion = np.array([truth.MOTIONS.index(scene.motions[0]) for scene in scenes])
    background = np.array([truth.BACKGROUNDS.index(scene.background) for scene in scenes])
    for frame in (0, 7):
        pixels = np.stack([video[frame].ravel() for video in videos]).astype(np.float32)
        assert _probe_accuracy(pixels, motion, 8, 700) <= 1 / 8 + 0.06
        # The same probe does see what a frame shows.
        assert _probe_accuracy(pixels, background, 4, 700) >= 0.6


def _first(made: world.World, motion: str, background: str = "plain") -> int:
    scenes = ((i, made._scene(i)) for i in range(10_000))
    return next(i for i, scene in scenes if scene.motions[0] == motion and scene.background == background)


@pytest.mark.parametrize(
    ("motion", "axis", "way"), [("right", 2, 2), ("left", 2, -2), ("down", 1, 2), ("up", 1, -2)]
)
def test_translation_rolls_the_torus(motion: str, axis: int, way: int) -> None:
    made = world.World(travel=7 * 2 / 32)
    video = made.clean_video(_first(made, motion))
    np.testing.assert_allclose(video[1:], np.roll(video[:-1], way, axis=axis), atol=2e-4)
    assert np.abs(video[1:] - video[:-1]).max() > 0.2


@pytest.mark.parametrize("species", truth.SPECIES)
def test_a_growing_angle_turns_clockwise(species: str) -> None:
    sprite = sprites.Sprite(species, "red", np.array([0.03, -0.02, 0.01, 0.03], np.float32))
    half, angle = np.full(4, 0.5, np.float32), np.arange(4, dtype=np.float32) * np.float32(np.pi / 2)
    canvas = np.zeros((1, 32, 32, 3), np.float32)
    video = sprites.paint(canvas, sprite, sprites.Poses(half, half, angle, np.full(4, 0.3, np.float32)))
    np.testing.assert_allclose(video[1:], np.rot90(video[:-1], -1, axes=(1, 2)), atol=1e-4)
    assert not np.allclose(video[1], video[0], atol=1e-2)


def test_the_labels_of_turning_and_scaling_say_what_the_picture_does() -> None:
    made = world.World(turn=7 / 4, growth=0.05)
    for motion, quarters in (("clockwise", -1), ("counterclockwise", 1)):
        index = _first(made, motion)
        video = made.clean_video(index)
        # A quarter turn a frame about a centre between pixels: compare the eye's direction, by its centroid.
        white = (video.min(-1) > 0.9).astype(np.float64)
        grid = (np.arange(32) + 0.5) / 32
        angle = (
            np.arctan2(
                (white * np.sin(2 * np.pi * grid)[None, :, None]).sum((1, 2)),
                (white * np.cos(2 * np.pi * grid)[None, :, None]).sum((1, 2)),
            ),
            np.arctan2(
                (white * np.sin(2 * np.pi * grid)).sum((1, 2)), (white * np.cos(2 * np.pi * grid)).sum((1, 2))
            ),
        )
        y, x = (np.unwrap(values) for values in angle)
        x, y = x - x[:4].mean(), y - y[:4].mean()
        crossed = x[:-1] * y[1:] - y[:-1] * x[1:]
        assert (np.sign(crossed) == -quarters).all()
    for motion, sign in (("growing", 1), ("shrinking", -1)):
        video = made.clean_video(_first(made, motion))
        area = (video.max(-1) - video.min(-1)).sum((1, 2))
        assert np.sign(area[-1] - area[0]) == sign


@FEW
@given(index=INDEX, distractors=st.integers(0, 2), segments=st.integers(1, 2))
def test_moving_backwards_shows_the_frames_backwards(index: int, distractors: int, segments: int) -> None:
    made = world.World(resolution=16, distractors=distractors, segments=segments)
    forwards, backwards = made.clean_video(index), made.clean_video(index, backwards=True)
    np.testing.assert_array_equal(backwards, forwards[::-1])


def test_reversal_is_the_neighbour() -> None:
    pairs = {(motion, truth.reversal(motion)) for motion in truth.MOTIONS}
    assert pairs == {
        pair
        for a, b in (
            ("right", "left"),
            ("down", "up"),
            ("clockwise", "counterclockwise"),
            ("growing", "shrinking"),
        )
        for pair in ((a, b), (b, a))
    }


@pytest.mark.slow  # draws 1,500 clips
def test_labels_are_independent_and_uniform() -> None:
    made = world.World(speeds=(0.5, 1.0))
    truths = [made.truth(i) for i in range(1500)]
    names = ("species", "colour", "background", "motion", "speed")
    columns = {name: np.unique([getattr(t, name) for t in truths], return_inverse=True)[1] for name in names}
    for name, size in zip(names, (10, 6, 4, 8, 2)):
        counts = np.bincount(columns[name])
        assert len(counts) == size
        assert scipy.stats.chisquare(counts).pvalue > 1e-3, name
    for a, b in itertools.combinations(names, 2):
        table = np.zeros((columns[a].max() + 1, columns[b].max() + 1))
        np.add.at(table, (columns[a], columns[b]), 1)
        assert scipy.stats.chi2_contingency(table).pvalue > 1e-3, (a, b)
    # Where the sprite starts says nothing on where it goes.
    start = np.array([t.boxes[0] for t in truths])
    for motion in range(8):
        own = start[columns["motion"] == motion]
        assert (np.abs(own.mean(0) - start.mean(0)) < 4 * start.std(0) / np.sqrt(len(own))).all()


@FEW
@given(index=INDEX, seed=st.integers(-5, 5), clips=st.integers(1, 10**6))
def test_a_clip_depends_on_seed_split_and_index_alone(index: int, seed: int, clips: int) -> None:
    one = world.World(clips=clips, seed=seed, resolution=16)
    other = world.World(seed=seed, resolution=16)
    other.video(index + 1)
    np.testing.assert_array_equal(one.video(index), other.video(index))
    assert one.truth(index).labels() == other.truth(index).labels()
    assert one.caption(index) == other.caption(index)
    for changed in (
        world.World(seed=seed + 1, resolution=16),
        world.World(seed=seed, resolution=16, split="test"),
    ):
        assert not np.array_equal(one.video(index), changed.video(index))
    assert not np.array_equal(one.video(index), one.video(index + 1))


@FEW
@given(index=INDEX)
def test_one_knob_leaves_the_other_draws_alone(index: int) -> None:
    plain = world.World(resolution=16)
    named = world.World(resolution=16, motion_captions=1.0, caption_noise=0.5)
    np.testing.assert_array_equal(plain.video(index), named.video(index))
    crowded, quiet = (
        plain.truth(index),
        world.World(resolution=16, distractors=3, pixel_noise=0.0).truth(index),
    )
    np.testing.assert_array_equal(crowded.boxes, quiet.boxes)
    assert (crowded.species, crowded.motion) == (quiet.species, quiet.motion)


@FEW
@given(
    index=INDEX,
    frames=st.integers(2, 9),
    segments=st.integers(1, 4),
    resolution=st.sampled_from([16, 18, 40]),
)
def test_shapes_segments_and_questions(index: int, frames: int, segments: int, resolution: int) -> None:
    made = world.World(resolution=resolution, frames=frames, segments=segments, fps=4)
    shown, video = made.truth(index), made.video(index)
    assert video.shape == (frames * segments, resolution, resolution, 3)
    assert video.dtype == np.uint8
    assert shown.boxes.shape == (frames * segments, 4)
    assert (shown.boxes >= 0).all()
    assert (shown.boxes <= 1).all()
    assert (shown.boxes[:, 2:] > shown.boxes[:, :2]).all()
    assert [start for start, _, _ in shown.segments] == [i * frames / 4 for i in range(segments)]
    assert [end for _, end, _ in shown.segments] == [(i + 1) * frames / 4 for i in range(segments)]
    assert shown.segments[0][2] == shown.motion
    assert all(a[2] != b[2] for a, b in itertools.pairwise(shown.segments))
    answers = [pair["answer"] for pair in shown.questions]
    assert answers[:3] == [shown.species, shown.colour, shown.background]
    assert len({pair["question"] for pair in shown.questions}) == len(answers)


def test_boxes_are_tight_around_a_sprite_inside_the_frame() -> None:
    made, seen = world.World(resolution=64, smallest=0.1, largest=0.2), 0
    for index in range(500):
        shown = made.truth(index)
        # The only species whose box tells a turn from its mirror image.
        if shown.background != "plain" or (index > 80 and shown.species != "ell"):
            continue
        video = made.clean_video(index)
        for frame, box in zip(video, shown.boxes):
            if box.min() < 0.02 or box.max() > 0.98:
                continue
            painted = np.abs(frame - 0.45).max(-1) > 0.2
            rows, columns = np.flatnonzero(painted.any(1)), np.flatnonzero(painted.any(0))
            found = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            np.testing.assert_allclose(box * 64, found, atol=1.5)
            seen += 1
    assert seen > 20


def test_distractors_have_an_appearance_of_their_own() -> None:
    made, other = world.World(distractors=2, largest=0.21), 0
    for index in range(40):
        saturated = made.clean_video(index)[0].reshape(-1, 3)
        saturated = saturated[np.ptp(saturated, axis=1) > 0.5]
        own = np.array(sprites.RGB[made.truth(index).colour])
        other += (np.abs(saturated - own).max(1) > 0.45).sum() > 5
    assert other > 20


def test_pixel_noise_has_the_stated_deviation() -> None:
    made = world.World(pixel_noise=0.05)
    noise = np.concatenate([made.video(i) - 255 * made.clean_video(i) for i in range(30)]) / 255
    inner = noise[np.abs(noise) < 0.2]
    assert abs(inner.std() - 0.05) < 0.004
    quiet = world.World(pixel_noise=0.0)
    # Half a level of rounding, and the last digit of float32.
    assert np.abs(quiet.video(3) - 255 * quiet.clean_video(3)).max() <= 0.501


def test_held_out_pairs_are_shown_by_the_test_split_only() -> None:
    pairs = (("star", "left"), ("disc", "growing"))
    for split, expected in (("train", set()), ("test", set(pairs))):
        made = world.World(split=split, held_out=pairs)
        shown = {(scene.sprite.species, scene.motions[0]) for scene in map(made._scene, range(700))}
        assert shown & set(pairs) == expected


def test_share_of_captions_that_name_the_motion() -> None:
    made = world.World(motion_captions=0.3)
    texts = [made.caption(i) for i in range(600)]
    named = np.mean([any(f" {p} on" in text for p in captions.MOTION_PHRASES.values()) for text in texts])
    assert abs(named - 0.3) < 0.05


@pytest.mark.parametrize(
    ("knobs", "word"),
    [
        ({"resolution": 33}, "even resolution"),
        ({"split": "val"}, "split"),
        ({"motion_captions": 1.5}, "motion_captions"),
        ({"frames": 1}, "frames"),
        ({"largest": 0.5}, "largest"),
        ({"speeds": ()}, "speeds"),
        ({"held_out": (("cat", "left"),)}, "held_out"),
        ({"held_out": tuple(itertools.product(truth.SPECIES, truth.MOTIONS))}, "held_out"),
        ({"caption_forms": 9}, "caption_forms"),
    ],
)
def test_wrong_knobs_are_named(knobs: dict, word: str) -> None:
    with pytest.raises(errors.UserError, match=word):
        world.World(**knobs)


def test_the_boxes_of_a_clip_are_kept_and_cannot_be_changed():
    described = world.World(clips=3)
    boxes = described.truth(1).boxes
    assert boxes is described.truth(1).boxes
    with pytest.raises(ValueError, match="read-only"):
        boxes[0] = 0
