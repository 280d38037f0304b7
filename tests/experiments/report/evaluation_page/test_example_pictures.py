"""Examples of the evaluation page: places in percent, overlapping segments in lanes of their own."""

from prismlab.experiments.report.evaluation_page import example_pictures

PLAIN = {"key": "clip", "picture": "aGVsbG8=", "lines": [["says", "a star"]]}


def test_a_caption_has_neither_boxes_nor_lines_of_time():
    found = example_pictures.of(PLAIN)
    assert found.picture == "data:image/jpeg;base64,aGVsbG8="
    assert found.lines == (("says", "a star"),)
    assert (found.keyframe, found.boxes, found.seconds, found.times) == ("", (), 0.0, ())


def test_segments_lie_on_a_line_of_time_and_overlapping_ones_in_lanes():
    spans = [[0.0, 3.0, 0, 1.0], [2.0, 4.0, 1, 0.5], [3.0, 6.0, 2, 0.01]]
    time = {"seconds": 12.0, "classes": 4, "rows": [["annotated", spans[:1]], ["says", spans], ["no", []]]}
    found = example_pictures.of({**PLAIN, "time": time})
    (_, one, _), (name, lanes, bars), (_, none, empty) = found.times
    assert (name, one, lanes, none, empty) == ("says", 1, 2, 1, ())
    assert [(bar.start, bar.width, bar.number, bar.lane) for bar in bars] == [
        (0.0, 25.0, 1, 0), (16.67, 16.67, 2, 1), (25.0, 25.0, 3, 0),
    ]  # fmt: skip
    assert [bar.hue for bar in bars] == [0, 90, 180]
    assert [bar.strength for bar in bars] == [1.0, 0.5, 0.2]  # always visible


def test_boxes_are_percent_of_the_keyframe():
    boxes = [["detected", 2, [0.25, 0.5, 0.75, 1.0]]]
    found = example_pictures.of({**PLAIN, "keyframe": "aGVsbG8=", "boxes": boxes})
    assert found.keyframe == found.picture
    assert found.boxes == (example_pictures.Frame("detected", 2, 25.0, 50.0, 50.0, 50.0),)
