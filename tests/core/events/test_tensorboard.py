"""The TensorBoard copy holds the numbers of the log, and never stops the run when it cannot be written."""

import errno

import pytest
from tensorboardX import event_file_writer, proto, record_writer

from prismlab.core.events import event_log, tensorboard


def events(folder):
    """Parse the events of the only file in a folder."""
    (path,) = folder.iterdir()
    data, found = path.read_bytes(), []
    while data:
        size = int.from_bytes(data[:8], "little")
        found.append(proto.event_pb2.Event.FromString(data[12 : 12 + size]))
        data = data[12 + size + 4 :]
    return found


def test_it_gets_the_numbers_and_hides_later_steps(tmp_path):
    mirror = tensorboard.TensorBoard(tmp_path / "board", resume_step=4)
    with event_log.EventLog(tmp_path / "events.jsonl", tensorboard=mirror) as log:
        log.write(5, "train", {"loss": 0.5, "note": "word"})
    version, start, scalar = events(tmp_path / "board")
    assert version.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (5, proto.event_pb2.SessionLog.START)
    assert (scalar.step, scalar.summary.value[0].tag) == (5, "train/loss")
    assert scalar.summary.value[0].simple_value == 0.5


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
@pytest.mark.parametrize("method", ["write", "flush", "close"])
def test_a_full_disk_ends_the_copy_with_one_line_and_not_the_log(tmp_path, monkeypatch, method, code):
    said = []
    mirror = tensorboard.TensorBoard(tmp_path / "board", warn=said.append)

    def fail(*_):
        raise OSError(code, "no space")

    monkeypatch.setattr(record_writer.RecordWriter, method, fail)
    with event_log.EventLog(tmp_path / "events.jsonl", tensorboard=mirror) as log:
        for step in range(1, 30):
            log.write(step, "train", {"loss": 1.0})
            log.flush(sync=True)
    assert len(event_log.read(tmp_path / "events.jsonl")) == 29
    assert len(said) == 1
    assert "training continues without them" in said[0]


def test_a_folder_that_cannot_be_made_is_no_reason_to_stop(tmp_path):
    (tmp_path / "board").write_text("a file")
    said = []
    mirror = tensorboard.TensorBoard(tmp_path / "board", resume_step=0, warn=said.append)
    mirror.write(1, "train", {"loss": 1.0})
    mirror.flush()
    mirror.close()
    assert len(said) == 1


def test_nothing_is_written_in_another_thread(tmp_path, monkeypatch):
    # A thread behind a bounded queue blocks the training thread forever once it has died.
    monkeypatch.setattr(event_file_writer, "_EventLoggerThread", None)
    mirror = tensorboard.TensorBoard(tmp_path / "board")
    mirror.write(1, "train", {"loss": 1.0})
    mirror.close()
    assert len(events(tmp_path / "board")) == 2
