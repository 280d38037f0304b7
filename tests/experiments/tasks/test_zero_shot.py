"""Zero-shot tasks on the truth itself and on shuffled captions; variants, counts and refusals."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.data.loader import tokenizer
from prismlab.experiments.tasks import caption_pool, multiple_choice, prompts, retrieval, zero_shot
from prismlab.experiments.tasks.features import clip_vectors, text_pass
from prismlab.experiments.tasks.interface import items, protocols
from prismlab.experiments.tasks.metrics import average_precision
from prismlab.experiments.tasks.metrics.ranking import median_rank, recall

METRICS = (recall.RecallAt(1), recall.RecallAt(5), recall.RecallAt(10), median_rank.MedianRank())
CLASSES = tuple(f"class {index}" for index in range(5))
CLIPS = 300


def vector(text: str) -> np.ndarray:
    """Return the vector of a text: random, the same for equal texts, of unit length."""
    seed = list(tokenizer.canonicalise(text).encode())
    drawn = np.random.default_rng(seed).standard_normal(32).astype(np.float32)
    return drawn / np.linalg.norm(drawn)


class Texts:
    """Stands for the text tower."""

    def __init__(self, towers, tokenizer, cache, batch_size):
        """Take what TextPass takes."""

    def __call__(self, texts):
        """Return the vectors."""
        return np.stack([vector(text) for text in texts])

    def cut(self, texts):
        """Return how many texts are longer than five words."""
        return sum(len(text.split()) > 5 for text in texts)


@dataclasses.dataclass(frozen=True)
class Given:
    """A reader of given items; `shown` is the text that each clip shows."""

    items: tuple[items.Item, ...]
    classes: tuple[str, ...] = ()

    def read(self, split, cache):
        """Return the items."""
        return items.ItemSet("given/test", self.items, self.classes, load=None)


@pytest.fixture
def oracle(monkeypatch):
    """Let the vector of a clip be that of the text that it shows, with a little noise."""
    monkeypatch.setattr(text_pass, "TextPass", Texts)

    def of(found, *others):
        rng = np.random.default_rng(0)
        shown = np.stack([vector(item.extra["shown"]) for item in found.items])
        noise = 0.02 * rng.standard_normal(shown.shape).astype(np.float32)
        return clip_vectors.ClipVectors(found, shown + noise, {})

    monkeypatch.setattr(clip_vectors, "of", of)


def world(*, shuffled: bool = False, captions: int = 1, options: int = 0, clips: int = CLIPS) -> Given:
    """Return clips that show what their captions say, or what those of another clip say."""
    rng = np.random.default_rng(1)
    order = rng.permutation(clips) if shuffled else np.arange(clips)
    found = []
    for index in range(clips):
        texts = tuple(f"clip {index} seen {number}" for number in range(captions))
        shown, answer = f"clip {order[index]} seen 0", None
        if options:
            others = rng.choice([each for each in range(clips) if each != index], options - 1, replace=False)
            answer = int(rng.integers(options))
            wrong = [f"clip {each} seen 0" for each in others]
            texts = (*wrong[:answer], *texts, *wrong[answer:])
            shown = rng.choice(texts) if shuffled else shown
        found.append(items.Item(f"c{index}", texts=texts, answer=answer, extra={"shown": str(shown)}))
    return Given(tuple(found))


def labelled(*, shuffled: bool = False) -> Given:
    """Return clips that show their class in a template, or another class."""
    rng = np.random.default_rng(2)
    labels = rng.integers(len(CLASSES), size=CLIPS)
    shown = rng.integers(len(CLASSES), size=CLIPS) if shuffled else labels
    found = [
        items.Item(f"c{i}", labels=(int(labels[i]),), extra={"shown": f"a video of {CLASSES[shown[i]]}."})
        for i in range(CLIPS)
    ]
    return Given(tuple(found), CLASSES)


def scores(task):
    return task({"video": None, "text": None}, seed=0, cache=None)


def test_retrieval_of_the_truth_is_perfect_in_both_directions(oracle):
    found = scores(retrieval.Retrieval(world(), metrics=METRICS))
    assert list(found)[:5] == [
        "text_to_video_R@1", "text_to_video_R@5", "text_to_video_R@10", "text_to_video_median rank",
        "video_to_text_R@1",
    ]  # fmt: skip
    assert {score.value for score in found.values()} == {1.0}
    assert found["text_to_video_R@5"].protocol["chance"] == pytest.approx(5 / CLIPS, abs=1e-4)
    assert found["text_to_video_median rank"].protocol["chance"] == (CLIPS + 1) / 2
    one = found["text_to_video_R@1"]
    assert one.outcomes["keys"][:2] == ["c0 caption 0", "c1 caption 0"]
    assert one.outcomes["ranks"] == [1] * CLIPS


@pytest.mark.parametrize("scores_by", retrieval.SCORES)
def test_retrieval_of_shuffled_captions_is_at_chance(oracle, scores_by):
    found = scores(retrieval.Retrieval(world(shuffled=True), metrics=METRICS, scores=scores_by))
    for name, score in found.items():
        chance = score.protocol["chance"]
        deviation = CLIPS / np.sqrt(4 * CLIPS) if "median" in name else np.sqrt(chance * (1 - chance) / CLIPS)
        assert abs(score.value - chance) < 3.5 * deviation, name
        assert name.endswith(" (dual softmax)") == (scores_by == "dual softmax")


def test_zero_shot_classification_of_the_truth_and_of_shuffled_classes(oracle):
    (true,) = scores(zero_shot.ZeroShot(labelled())).values()
    assert true.value == 1.0
    (false,) = scores(zero_shot.ZeroShot(labelled(shuffled=True))).values()
    assert abs(false.value - 0.2) < 3 * np.sqrt(0.2 * 0.8 / CLIPS)
    assert false.protocol["chance"] == 0.2
    assert len(false.outcomes["outcomes"][0]) == CLIPS


def test_clips_retrieved_by_class_are_scored_by_average_precision(oracle):
    metrics = (average_precision.MeanAveragePrecision(),)
    (true,) = scores(zero_shot.ZeroShot(labelled(), metrics=metrics)).values()
    assert true.value == 1.0
    (false,) = scores(zero_shot.ZeroShot(labelled(shuffled=True), metrics=metrics)).values()
    assert abs(false.value - false.protocol["chance"]) < 0.05
    assert false.protocol["chance"] == pytest.approx(0.2, abs=0.03)


def test_multiple_choice_of_the_truth_and_of_shuffled_captions(oracle):
    (true,) = scores(multiple_choice.MultipleChoice(world(options=4))).values()
    assert true.value == 1.0
    (false,) = scores(multiple_choice.MultipleChoice(world(options=4, shuffled=True))).values()
    assert abs(false.value - 0.25) < 3 * np.sqrt(0.25 * 0.75 / CLIPS)
    assert false.protocol["chance"] == 0.25
    assert false.protocol["options"] == "4 to 4, mean 4.00"


def repeated() -> Given:
    """Return four clips of which the first and the third have the same caption, but for its case."""
    texts = ("A red disc", "a blue ring", "a red disc.", "a green bar")
    return Given(
        tuple(items.Item(f"c{i}", texts=(text,), extra={"shown": text}) for i, text in enumerate(texts))
    )


@pytest.mark.parametrize(
    ("same", "text_to_video", "video_to_text", "pool"),
    [("miss", 0.75, 0.5, 4), ("hit", 1, 1, 4), ("drop", 1, 1, 3)],
)
def test_repeated_captions_count_as_asked(oracle, same, text_to_video, video_to_text, pool):
    found = scores(retrieval.Retrieval(repeated(), same_caption=same))
    assert found["text_to_video_R@1"].value == text_to_video  # one of two equal queries finds its clip first
    assert found["video_to_text_R@1"].value == video_to_text  # equal captions tie, which is a miss
    told = found["text_to_video_R@1"].protocol
    assert (told["pool"], told["captions of several clips"]) == (pool, 0 if same == "drop" else 2)
    assert told["such captions"] == same


def test_any_of_several_captions_is_right_for_a_clip(oracle):
    found = scores(retrieval.Retrieval(world(captions=3, clips=20)))
    assert (found["text_to_video_R@1"].n, found["video_to_text_R@1"].n) == (60, 20)
    assert found["video_to_text_R@1"].value == 1.0  # the clip shows one of its three captions
    assert found["text_to_video_R@1"].value < 0.5
    first = scores(retrieval.Retrieval(world(captions=3, clips=20), captions="first"))
    assert {score.n for score in first.values()} == {20}
    assert {score.value for score in first.values()} == {1.0}


def test_empty_captions_and_clips_without_captions_are_counted(oracle):
    one, two, three = world(clips=3).items
    odd = Given((one, dataclasses.replace(two, texts=(" ", "...")), dataclasses.replace(three, texts=())))
    found = scores(retrieval.Retrieval(odd))
    told = found["video_to_text_R@1"].protocol
    assert (told["pool"], told["captions"], told["queries"], told["empty captions"]) == (3, 1, 1, 2)
    with pytest.raises(errors.UserError, match="given/test: no clip has a caption"):
        scores(retrieval.Retrieval(Given(odd.items[1:])))


def test_long_captions_are_counted(oracle):
    long = dataclasses.replace(world(clips=2).items[0], texts=("one two three four five six",))
    found = scores(retrieval.Retrieval(Given((long, world(clips=2).items[1]))))
    assert found["text_to_video_R@1"].protocol["captions cut"] == 1


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=3), min_size=1, max_size=5),
    st.sampled_from(caption_pool.SAME),
)
def test_right_captions_and_right_clips_are_one_relation(texts, same):
    found = items.ItemSet(
        "x", tuple(items.Item(f"c{i}", texts=tuple(each)) for i, each in enumerate(texts)), (), load=None
    )
    pool = caption_pool.Pool.of(found, same)
    for caption, clips in enumerate(pool.clips_of):
        for clip in range(len(found)):
            assert (clip in clips) == (caption in pool.captions_of[clip])
            own = pool.captions[caption] in found.items[clip].texts
            assert (clip in clips) <= own
            assert same != "hit" or (clip in clips) == own


def test_the_vector_of_a_class_is_the_mean_of_its_templates():
    made = prompts.Templates(("a video of {}.", "{}"))
    found = made.vectors(("red", "blue"), lambda texts: np.stack([vector(text) for text in texts]))
    mean = vector("a video of red.") + vector("red")
    np.testing.assert_allclose(found[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_the_templates_of_clip_for_kinetics():
    assert len(set(prompts.KINETICS)) == 28
    assert {"a photo of {}.", "a demonstration of a person practicing {}."} <= set(prompts.KINETICS)


def test_a_template_may_hold_the_question(oracle):
    asked = multiple_choice.MultipleChoice(world(options=2), template="{question}? {}.")
    item = items.Item("q", texts=("a", "b"), answer=0, extra={"question": "why"})
    assert asked._text(item, "because {}") == "why? because {}."


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: retrieval.Retrieval(world(), protocol=protocols.Protocol()), "pooling='attention'; set"),
        (lambda: retrieval.Retrieval(world(), scores="best"), "scores must be one of"),
        (lambda: retrieval.Retrieval(world(), same_caption="merge"), "same_caption must be one of"),
        (lambda: retrieval.Retrieval(world(), metrics=()), "expected a metric"),
        (lambda: prompts.Templates(("a video",)), "templates need one {} each, got 'a video'"),
        (lambda: multiple_choice.MultipleChoice(world(), template="x"), "needs one {}"),
        (lambda: scores(multiple_choice.MultipleChoice(world())), "has 1 options and the answer None"),
        (lambda: scores(zero_shot.ZeroShot(world())), "needs 2 classes"),
    ],
)
def test_what_cannot_be_meant_is_refused(oracle, make, told):
    with pytest.raises(errors.UserError, match=told.replace("{}", r"\{\}")):
        make()
