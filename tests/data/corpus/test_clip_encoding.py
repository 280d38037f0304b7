"""Encodings take films of any rate."""

from fractions import Fraction

import numpy as np
import pytest

from prismlab.data.corpus import clip_encoding
from prismlab.data.corpus.inputs import media
from prismlab.data.video import decode
from prismlab.data.video.containers import opening
from tests.data.video import films


@pytest.mark.parametrize("seconds", [0.001, 1.0, 90.5, 3600.0, 86_400.0])
def test_slow_and_fast_films_are_encoded(seconds: float) -> None:
    video = films.written("matroska", "ffv1", [seconds * number for number in range(4)], sides=(32,))
    medium = media.Medium("film", "video", (media.Cut("clip", "some words"),), read=lambda: [video])
    ((_, made),) = clip_encoding.H264(short_side=16)(medium, opening.Limits())
    assert isinstance(made, clip_encoding.Made), made
    times = decode.frame_times(made.record.video)
    np.testing.assert_allclose(times, seconds * np.arange(4), rtol=1e-2)


def test_a_rate_is_never_zero() -> None:
    assert clip_encoding._exact(1 / 3600) == Fraction(1, 3600)
    assert clip_encoding._exact(30000 / 1001) == Fraction(30000, 1001)
    assert clip_encoding._exact(1e-7) == Fraction(1, 10**7)
