import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from media.call_directory import CallDirectory
from media.recording_writer import DiskWriter, QueuedFile, ReplacedFile, WavFile
from tests.support.files import PATIENCE_S, BlockedFile, blocked, finish, running_writer


def stereo(count: int, first: int = 0) -> bytes:
    left = np.arange(first, first + count)
    return np.stack((left, -left), 1).astype("<i2").tobytes()


def read(path: str | Path) -> tuple[list[list[int]], int]:
    samples, rate_hz = soundfile.read(path, dtype="int16")
    return samples.tolist(), rate_hz


def test_a_wav_file_as_another_library_reads_it(tmp_path: Path) -> None:
    with running_writer() as (writer, damage):
        file = WavFile(CallDirectory(tmp_path, "call"), "r.wav", rate_hz=16000)
        for first in range(0, 500, 100):
            assert writer.write(file, stereo(100, first))
        report = finish(writer, file)
    assert report.path == str(tmp_path / "call" / "r.wav")
    assert report.size_bytes == 44 + 2000 == Path(report.path).stat().st_size
    assert (report.damage, damage) == (None, [])
    assert read(report.path) == ([[n, -n] for n in range(500)], 16000)


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    with running_writer() as (writer, _):
        file = QueuedFile(CallDirectory(tmp_path, "call"), "events")
        writer.write(file, b"x")
        path = Path(finish(writer, file).path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_without_data_is_not_made(tmp_path: Path) -> None:
    with running_writer() as (writer, _):
        file = WavFile(CallDirectory(tmp_path, "call"), "r.wav", rate_hz=8000)
        assert writer.write(file, b"")
        report = finish(writer, file)
    assert (report.path, report.size_bytes, report.damage) == ("", 0, None)
    assert list(tmp_path.iterdir()) == []


def test_many_files_at_once_keep_their_own_order(tmp_path: Path) -> None:
    with running_writer() as (writer, damage):
        files = [QueuedFile(CallDirectory(tmp_path, str(n)), "log") for n in range(50)]
        for line in range(40):
            for file in files:
                writer.write(file, f"{line}\n".encode())
        for file in files:
            content = Path(finish(writer, file).path).read_text()
            assert content == "".join(f"{line}\n" for line in range(40))
        counts = writer.counts
    assert damage == []
    assert (counts.queued_bytes, counts.open_files, counts.lost_bytes) == (0, 0, 0)
    assert counts.written_bytes == 50 * len("".join(f"{line}\n" for line in range(40)))


def test_a_replaced_file_is_always_one_whole_version(tmp_path: Path) -> None:
    with running_writer() as (writer, _):
        file = ReplacedFile(CallDirectory(tmp_path, "call"), "t.json")
        for version in range(200):
            writer.write(file, b"%d" % version * 1000)
        report = finish(writer, file)
    assert Path(report.path).read_bytes() == b"199" * 1000
    assert report.size_bytes == 3000
    assert os.listdir(tmp_path / "call") == ["t.json"]


def test_stop_writes_and_closes_what_is_open(tmp_path: Path) -> None:
    writer = DiskWriter(batch_ms=60_000)
    writer.start()
    file = WavFile(CallDirectory(tmp_path, "call"), "r.wav", rate_hz=8000)
    writer.write(file, stereo(10))
    assert writer.stop(PATIENCE_S)
    assert writer.stop(PATIENCE_S)
    assert len(read(tmp_path / "call" / "r.wav")[0]) == 10
    assert not writer.write(file, stereo(10))
    assert writer.counts.open_files == 0


def test_finish_after_stop_still_reports(tmp_path: Path) -> None:
    writer = DiskWriter(batch_ms=1)
    writer.start()
    file = QueuedFile(CallDirectory(tmp_path, "call"), "log")
    writer.write(file, b"x")
    assert writer.stop(PATIENCE_S)
    assert finish(writer, file).size_bytes == 1


def test_a_full_queue_costs_the_file_a_gap_of_silence_and_not_its_alignment(
    tmp_path: Path,
) -> None:
    with running_writer(queue_limit_bytes=15_000) as (writer, damage):
        recording = WavFile(CallDirectory(tmp_path, "call"), "r.wav", rate_hz=8000)
        neighbour = QueuedFile(CallDirectory(tmp_path, "other"), "log")
        with blocked(writer, BlockedFile(CallDirectory(tmp_path, "slow"), "log")):
            assert writer.write(recording, stereo(100, 1))
            assert not writer.write(recording, stereo(150, 101))
            assert not writer.write(recording, stereo(150, 251))
            assert writer.write(recording, stereo(100, 401))
            assert writer.write(neighbour, b"small")
            assert writer.counts.queued_bytes == 806
        report = finish(writer, recording)
        assert finish(writer, neighbour).damage is None
        assert writer.counts.lost_bytes == 1200
    samples = [row[0] for row in read(report.path)[0]]
    assert samples == [*range(1, 101), *[0] * 300, *range(401, 501)]
    assert report.damage is not None
    assert report.damage.code == "queue_full"
    assert [(one.file, one.code) for one in damage] == [("r.wav", "queue_full")]


def test_a_file_that_floods_the_queue_costs_its_neighbours_nothing(tmp_path: Path) -> None:
    with running_writer(queue_limit_bytes=1_000_000) as (writer, damage):
        flood = QueuedFile(CallDirectory(tmp_path, "flood"), "events")
        recording = WavFile(CallDirectory(tmp_path, "neighbour"), "r.wav", rate_hz=8000)
        with blocked(writer, BlockedFile(CallDirectory(tmp_path, "slow"), "log")):
            for first in range(0, 10_000, 500):
                taken = [writer.write(flood, b"x" * 1000) for _ in range(500)]
                assert writer.write(recording, stereo(500, first))
            assert not any(taken)
        assert finish(writer, flood).damage is not None
        report = finish(writer, recording)
    assert report.damage is None
    assert [row[0] for row in read(report.path)[0]] == list(range(10_000))
    assert [(one.file, one.code) for one in damage] == [("events", "queue_full")]


def test_there_is_room_for_a_neighbour_however_many_files_flood_the_queue(tmp_path: Path) -> None:
    with running_writer(queue_limit_bytes=1_000_000) as (writer, _):
        floods = [QueuedFile(CallDirectory(tmp_path, str(n)), "events") for n in range(200)]
        late = QueuedFile(CallDirectory(tmp_path, "late"), "log")
        with blocked(writer, BlockedFile(CallDirectory(tmp_path, "slow"), "log")):
            for _ in range(10_000):
                if not any([writer.write(flood, b"x" * 100) for flood in floods]):
                    break
            else:
                pytest.fail("the queue takes everything")
            # They share nearly all of it, in equal parts.
            assert 900_000 < writer.counts.queued_bytes < 1_000_000
            shares = {flood.queued_bytes for flood in floods}
            assert max(shares) - min(shares) <= 100
            assert writer.write(late, b"y" * min(shares))
        assert finish(writer, late).damage is None
        assert all(finish(writer, flood).size_bytes == flood.size_bytes for flood in floods)
        assert writer.counts.queued_bytes == 0
        assert {flood.queued_bytes for flood in floods} == {0}


def test_a_file_whose_flood_is_over_has_its_share_again(tmp_path: Path) -> None:
    with running_writer(queue_limit_bytes=100_000) as (writer, _):
        file = QueuedFile(CallDirectory(tmp_path, "call"), "log")
        with blocked(writer, BlockedFile(CallDirectory(tmp_path, "slow"), "log")):
            assert writer.write(file, b"x" * 5000)
            assert not writer.write(file, b"x" * 5000)
        finish(writer, QueuedFile(CallDirectory(tmp_path, "marker"), "log"))
        assert writer.write(file, b"x" * 5000)
        assert finish(writer, file).size_bytes == 10_000


def test_what_is_in_no_version_of_a_file_stays_its_damage(tmp_path: Path) -> None:
    with running_writer() as (writer, damage):
        file = ReplacedFile(CallDirectory(tmp_path, "call"), "t.json")
        writer.write(file, b"first")
        writer.damaged(file, "too_long", "longer than 5 bytes")
        writer.damaged(file, "too_long", "longer than 5 bytes")
        writer.write(file, b"again")
        report = finish(writer, file)
        assert writer.counts.damaged_files == 1
    assert Path(report.path).read_bytes() == b"again"
    assert report.damage == damage[0]
    assert [(one.file, one.code) for one in damage] == [("t.json", "too_long")]


def test_a_stop_that_takes_too_long_says_so(tmp_path: Path) -> None:
    writer = DiskWriter(batch_ms=1)
    writer.start()
    with blocked(writer, BlockedFile(CallDirectory(tmp_path, "slow"), "log")):
        assert not writer.stop(0.05)
    assert writer.stop(PATIENCE_S)


def fill_disk(monkeypatch: pytest.MonkeyPatch, path_end: str, room_bytes: int) -> None:
    """The next files whose path ends so take ``room_bytes`` and then the disk is full."""
    real_open, real_write = os.open, os.write
    room: dict[int, int] = {}

    def open_file(path: Any, flags: int, mode: int = 0o777) -> int:
        descriptor = real_open(path, flags, mode)
        if str(path).endswith(path_end):
            room[descriptor] = room_bytes
        else:
            room.pop(descriptor, None)
        return descriptor

    def write_file(descriptor: int, data: Any) -> int:
        if descriptor not in room:
            return real_write(descriptor, data)
        if not room[descriptor]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real_write(descriptor, data[: room[descriptor]])
        room[descriptor] -= written
        return written

    monkeypatch.setattr("media.recording_writer.os.open", open_file)
    monkeypatch.setattr("media.recording_writer.os.write", write_file)


def test_a_full_disk_ends_that_recording_and_leaves_it_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk(monkeypatch, "full.wav", 44 + 400 + 100)
    with running_writer() as (writer, damage):
        full = WavFile(CallDirectory(tmp_path, "a"), "full.wav", rate_hz=8000)
        sound = WavFile(CallDirectory(tmp_path, "b"), "sound.wav", rate_hz=8000)
        marker = QueuedFile(CallDirectory(tmp_path, "c"), "log")
        writer.write(full, stereo(100))
        finish(writer, marker)  # the first piece was a batch of its own
        for _ in range(3):
            assert writer.write(full, stereo(100))
            writer.write(sound, stereo(100))
        report, other = finish(writer, full), finish(writer, sound)
        assert writer.counts.queued_bytes == 0
    assert report.damage is not None
    assert report.damage.code == "disk_error"
    assert "space" in report.damage.detail
    assert len(damage) == 1
    assert read(report.path)[0] == [[n, -n] for n in range(100)]
    assert other.damage is None
    assert len(read(other.path)[0]) == 300


def test_a_version_that_was_not_written_is_made_good_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_writer() as (writer, damage):
        file = ReplacedFile(CallDirectory(tmp_path, "call"), "t.json")
        marker = QueuedFile(CallDirectory(tmp_path, "c"), "log")
        writer.write(file, b"first")
        finish(writer, marker)
        with monkeypatch.context() as patch:
            fill_disk(patch, "t.json.draft", 3)
            writer.write(file, b"second")
            finish(writer, QueuedFile(CallDirectory(tmp_path, "d"), "log"))
        assert (tmp_path / "call" / "t.json").read_bytes() == b"first"
        writer.write(file, b"third")
        report = finish(writer, file)
    assert Path(report.path).read_bytes() == b"third"
    assert report.damage is None
    assert [one.code for one in damage] == ["disk_error"]


def test_a_last_version_that_was_lost_is_damage_and_the_one_before_stays(tmp_path: Path) -> None:
    with running_writer(queue_limit_bytes=100) as (writer, _):
        file = ReplacedFile(CallDirectory(tmp_path, "call"), "t.json")
        with blocked(writer, BlockedFile(CallDirectory(tmp_path, "slow"), "log")):
            assert writer.write(file, b"small")
            assert not writer.write(file, b"large" * 100)
        report = finish(writer, file)
    assert Path(report.path).read_bytes() == b"small"
    assert report.damage is not None
    assert report.damage.code == "queue_full"


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    base = tmp_path / "file"
    base.write_text("not a directory")
    with running_writer() as (writer, damage):
        file = WavFile(CallDirectory(base, "call"), "r.wav", rate_hz=8000)
        writer.write(file, stereo(1))
        report = finish(writer, file)
        good = QueuedFile(CallDirectory(tmp_path, "call"), "log")
        writer.write(good, b"x")
        assert finish(writer, good).damage is None
    assert report.path == ""
    assert [one.code for one in damage] == ["disk_error"]


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    directory = CallDirectory(tmp_path, "call")
    directory.make()
    target = tmp_path / "precious"
    target.write_text("keep")
    (tmp_path / "call" / "r.wav").symlink_to(target)
    with running_writer() as (writer, _):
        file = WavFile(directory, "r.wav", rate_hz=8000)
        writer.write(file, stereo(1))
        report = finish(writer, file)
    assert report.damage is not None
    assert target.read_text() == "keep"


def test_a_file_in_the_way_is_not_overwritten(tmp_path: Path) -> None:
    directory = CallDirectory(tmp_path, "call")
    (directory.make() / "r.wav").write_text("keep")
    with running_writer() as (writer, _):
        file = WavFile(directory, "r.wav", rate_hz=8000)
        writer.write(file, stereo(1))
        report = finish(writer, file)
    assert report.damage is not None
    assert (tmp_path / "call" / "r.wav").read_text() == "keep"


def test_a_recording_does_not_outgrow_its_header(tmp_path: Path) -> None:
    with running_writer() as (writer, damage):
        file = WavFile(CallDirectory(tmp_path, "call"), "r.wav", rate_hz=8000, limit_bytes=1000)
        for _ in range(5):
            writer.write(file, stereo(100))
        report = finish(writer, file)
    assert [one.code for one in damage] == ["too_long"]
    assert 44 <= report.size_bytes <= 1000
    assert len(read(report.path)[0]) == (report.size_bytes - 44) // 4


CHILD = """
import sys, pathlib
from media.call_directory import CallDirectory
from media.recording_writer import DiskWriter, WavFile
writer = DiskWriter(batch_ms=1); writer.start()
file = WavFile(CallDirectory(pathlib.Path(sys.argv[1]), "call"), "r.wav", rate_hz=8000)
second = b"\\x01\\x02\\x03\\x04" * 8000
written = 0
while True:
    writer.write(file, second)
    written += len(second)
    while writer.counts.written_bytes < written:
        pass
    print(written // len(second), flush=True)
"""


def test_a_killed_process_leaves_a_valid_file(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    try:
        seconds = 0
        for line in child.stdout:
            seconds = int(line)
            if seconds >= 5:
                break
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(PATIENCE_S)
        child.stdout.close()
    assert seconds == 5
    with soundfile.SoundFile(tmp_path / "call" / "r.wav") as file:
        assert (file.channels, file.samplerate, file.subtype) == (2, 8000, "PCM_16")
        assert file.frames >= 5 * 8000
        samples = file.read(dtype="int16")
    assert (samples == [0x0201, 0x0403]).all()
