"""Progress reaches the listener, with the time left, and nobody else."""

from prismlab.experiments.recipe import progress


def test_only_reports_within_the_block_are_heard():
    heard = []
    progress.report("before")
    with progress.heard(heard.append):
        progress.report("within")
    progress.report("after")
    assert heard == ["within"]


def test_a_counter_reports_the_time_left_every_few_seconds(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    heard = []
    with progress.heard(heard.append):
        counter = progress.Counter("clips", 100)
        for second in range(1, 101):
            now[0] = float(second)
            counter.add()
    assert heard[:2] == ["clips: 10 of 100, 2 min left", "clips: 20 of 100, 80 s left"]
    assert len(heard) == 9


def test_durations_are_in_words():
    assert [progress.duration(each) for each in (0.2, 89, 600, 7200)] == ["1 s", "89 s", "10 min", "2.0 h"]


def test_a_loop_reports_how_much_is_left(monkeypatch):
    now, heard = [0.0], []
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.heard(heard.append):
        for number in progress.counted(range(3), "steps", 3):
            now[0] = 20.0 * (number + 1)
    assert heard == ["steps: 1 of 3, 40 s left", "steps: 2 of 3, 20 s left"]
