from __future__ import annotations

import errno
import io
import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from stylize.errors import OutputError
from stylize.images import atomic
from stylize.images.atomic import (
    check_writable,
    new_file,
    numbered_names,
    remove_leftovers,
    reserved,
    scratch_folder,
    stale_partial,
    write_atomically,
)
from stylize.images.read import read_picture
from stylize.images.write import write_picture
from stylize.runs.result import Result

SMOOTH = torch.linspace(0.1, 0.9, 32).expand(1, 3, 24, 32)


class TestFiles:
    @staticmethod
    def _refuse(monkeypatch, error: BaseException, function: str = "fsync") -> None:
        def refuse(*_, **__):
            raise error

        monkeypatch.setattr(os, function, refuse)

    @pytest.mark.parametrize("function", ["fsync", "replace"])
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
    def test_a_refusal_leaves_everything_as_it_was(self, tmp_path, monkeypatch, function, code):
        path = tmp_path / "out.png"
        path.write_bytes(b"the one before")
        self._refuse(monkeypatch, OSError(code, os.strerror(code)), function)
        with pytest.raises(OutputError) as caught:
            write_picture(path, SMOOTH)
        assert str(caught.value) == f"cannot write {path}: {os.strerror(code).lower()}"
        assert os.listdir(tmp_path) == ["out.png"]
        assert path.read_bytes() == b"the one before"

    def test_an_interrupt_leaves_nothing(self, tmp_path, monkeypatch):
        self._refuse(monkeypatch, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            write_picture(tmp_path / "out.png", SMOOTH)
        assert not os.listdir(tmp_path)

    def test_a_file_is_replaced(self, tmp_path):
        path = tmp_path / "out.png"
        write_picture(path, SMOOTH)
        write_picture(path, 1 - SMOOTH)
        assert (read_picture(path).pixels - (1 - SMOOTH)).abs().max() < 0.01
        assert os.listdir(tmp_path) == ["out.png"]

    @pytest.mark.skipif(os.name == "nt", reason="permissions are of another kind there")
    @pytest.mark.parametrize("mask", [0o022, 0o077])
    def test_the_umask_is_honoured(self, tmp_path, mask):
        before = os.umask(mask)
        try:
            write_picture(tmp_path / "out.png", SMOOTH)
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "out.png").stat().st_mode) == 0o666 & ~mask

    def test_a_symbolic_link_stays_one(self, tmp_path):
        (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
        write_picture(tmp_path / "link.png", SMOOTH)
        assert (tmp_path / "link.png").is_symlink()
        assert read_picture(tmp_path / "real.png").size == (24, 32)

    @pytest.mark.parametrize("token", [None, "one"])
    @pytest.mark.parametrize("exists", [False, True])
    def test_a_link_that_is_not_followed_is_replaced(self, tmp_path, token, exists):
        (tmp_path / "there").mkdir()
        precious = tmp_path / "there" / "precious"
        if exists:
            precious.write_bytes(b"kept")
        (tmp_path / "out").symlink_to(precious)
        write_atomically(tmp_path / "out", b"new", token=token, follow_links=False)
        assert not (tmp_path / "out").is_symlink()
        assert (tmp_path / "out").read_bytes() == b"new"
        assert os.listdir(tmp_path / "there") == ["precious"] * exists
        assert not exists or precious.read_bytes() == b"kept"

    @pytest.mark.parametrize("write", [check_writable, lambda path: write_picture(path, SMOOTH)])
    class TestPlaces:
        def test_no_folder(self, tmp_path, write):
            with pytest.raises(OutputError, match="no such file or directory"):
                write(tmp_path / "gone" / "out.png")

        def test_a_folder_in_the_way(self, tmp_path, write):
            (tmp_path / "out.png").mkdir()
            with pytest.raises(OutputError, match="not a regular file"):
                write(tmp_path / "out.png")

        @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
        def test_a_pipe_is_not_replaced(self, tmp_path, write):
            os.mkfifo(tmp_path / "out.png")
            with pytest.raises(OutputError, match="not a regular file"):
                write(tmp_path / "out.png")
            assert stat.S_ISFIFO((tmp_path / "out.png").stat().st_mode)

        def test_a_name_too_long(self, tmp_path, write):
            with pytest.raises(OutputError, match="name too long"):
                write(tmp_path / f"{'n' * 300}.png")
            assert not os.listdir(tmp_path)

        def test_no_permission(self, tmp_path, monkeypatch, write):
            def refuse(*_):
                raise PermissionError(errno.EACCES, "Permission denied")

            monkeypatch.setattr(Path, "open", refuse)
            with pytest.raises(OutputError, match="permission denied"):
                write(tmp_path / "out.png")

    def test_trying_leaves_nothing(self, tmp_path):
        check_writable(tmp_path / "out.png")
        assert not os.listdir(tmp_path)
        (tmp_path / "out.png").write_bytes(b"kept")
        check_writable(tmp_path / "out.png")
        assert (tmp_path / "out.png").read_bytes() == b"kept"

    def test_a_stream_that_refuses(self):
        class Full(io.BytesIO):
            def write(self, _):
                raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(OutputError, match="No space left"):
            write_picture(Full(), SMOOTH)


class TestTokens:
    def test_what_a_killed_run_left_is_replaced(self, tmp_path):
        path = tmp_path / "out.png"
        partial = stale_partial(path, "a_B-1")
        assert partial == tmp_path / ".stylize-a_B-1.part"
        partial.write_bytes(b"half of it")
        write_picture(path, SMOOTH, token="a_B-1")
        assert os.listdir(tmp_path) == ["out.png"]
        assert read_picture(path).size == (24, 32)

    def test_a_painting_passes_it_on(self, tmp_path):
        stale_partial(tmp_path / "out.png", "one").write_bytes(b"half of it")
        Result(SMOOTH, None, {"tool": "stylize"}, False).save(
            tmp_path / "out.png", token="one", overwrite=True
        )
        assert os.listdir(tmp_path) == ["out.png"]

    def test_the_temporary_name(self, tmp_path):
        path = tmp_path / "out.png"
        with new_file(path, overwrite=True, token="one") as file:
            assert file.partial == stale_partial(path, "one")
            assert file.partial.read_bytes() == b""
            with new_file(tmp_path / "other.png", overwrite=True, token="two"):
                assert len(os.listdir(tmp_path)) == 2
        assert sorted(os.listdir(tmp_path)) == ["other.png", "out.png"]

    def test_a_link_put_there_leads_nowhere(self, tmp_path):
        (tmp_path / "precious").write_bytes(b"kept")
        stale_partial(tmp_path / "out.png", "one").symlink_to(tmp_path / "precious")
        write_atomically(tmp_path / "out.png", b"new", token="one")
        assert (tmp_path / "precious").read_bytes() == b"kept"
        assert not (tmp_path / "out.png").is_symlink()

    def test_next_to_the_file_that_a_link_means(self, tmp_path):
        there = tmp_path / "there"
        there.mkdir()
        (tmp_path / "out.png").symlink_to(there / "real.png")
        stale_partial(there / "real.png", "one").write_bytes(b"half of it")
        write_atomically(tmp_path / "out.png", b"new", token="one")
        assert os.listdir(there) == ["real.png"]

    def test_a_folder_in_the_way(self, tmp_path):
        stale_partial(tmp_path / "out.png", "one").mkdir()
        with pytest.raises(OutputError, match=r"cannot write .*out\.png"):
            write_atomically(tmp_path / "out.png", b"new", token="one")
        assert os.listdir(tmp_path) == [".stylize-one.part"]

    @pytest.mark.parametrize("token", ["", "a/b", "..", "a.b", "é", "a\n", "a" * 81])
    def test_no_token(self, tmp_path, token):
        with pytest.raises(ValueError, match="token"):
            write_atomically(tmp_path / "out.png", b"new", token=token)
        assert not os.listdir(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="folders are not synced there")
class TestSync:
    @pytest.fixture
    def synced(self, monkeypatch):
        """What was synced, by inode, in turn."""
        found, real = [], os.fsync

        def note(descriptor):
            found.append(os.fstat(descriptor).st_ino)
            real(descriptor)

        monkeypatch.setattr(os, "fsync", note)
        return found

    def test_first_the_file_then_the_folder(self, tmp_path, synced):
        path = tmp_path / "out.png"
        write_atomically(path, b"new")
        assert synced == [path.stat().st_ino, tmp_path.stat().st_ino]

    def test_a_folder_that_cannot_be_synced(self, tmp_path, monkeypatch):
        real = os.fsync

        def refuse(descriptor):
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "Invalid argument")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", refuse)
        write_atomically(tmp_path / "out.png", b"new")
        assert (tmp_path / "out.png").read_bytes() == b"new"

    def test_no_descriptor_is_left_open(self, tmp_path):
        before = os.dup(0)
        os.close(before)
        write_atomically(tmp_path / "out.png", b"new")
        after = os.dup(0)
        os.close(after)
        assert after == before


def no_links(*_, **__):
    raise OSError(errno.EPERM, "Operation not permitted")


class TestCreation:
    """Without leave to overwrite nothing is ever replaced, whatever the file system can do."""

    @pytest.fixture(params=["links", "a rename", "a copy"])
    def way(self, request, monkeypatch):
        if request.param != "links":
            monkeypatch.setattr(os, "link", no_links)
        if request.param == "a copy":
            monkeypatch.setattr(atomic, "_rename_without_replacing", lambda *_: False)

    def test_a_new_file(self, tmp_path, way):
        assert write_atomically(tmp_path / "a.png", b"new", overwrite=False) == tmp_path / "a.png"
        assert (tmp_path / "a.png").read_bytes() == b"new"
        assert os.listdir(tmp_path) == ["a.png"]

    def test_the_next_free_name(self, tmp_path, way):
        for index in range(3):
            found = write_atomically(tmp_path / "a.png", b"%d" % index, overwrite=False)
            assert found == tmp_path / ("a.png", "a-2.png", "a-3.png")[index]
        assert [(tmp_path / name).read_bytes() for name in sorted(os.listdir(tmp_path))] == [
            b"1",
            b"2",
            b"0",
        ]

    def test_a_file_that_appears_meanwhile(self, tmp_path, way):
        with new_file(tmp_path / "a.png", overwrite=False) as file:
            file.partial.write_bytes(b"ours")
            (tmp_path / "a.png").write_bytes(b"theirs")
        assert file.final == tmp_path / "a-2.png"
        assert file.final.read_bytes() == b"ours"
        assert (tmp_path / "a.png").read_bytes() == b"theirs"

    def test_links_are_taken_names(self, tmp_path, way):
        (tmp_path / "precious").write_bytes(b"kept")
        (tmp_path / "a.png").symlink_to("precious")
        (tmp_path / "a-2.png").symlink_to("nothing")
        assert write_atomically(tmp_path / "a.png", b"x", overwrite=False).name == "a-3.png"
        assert (tmp_path / "precious").read_bytes() == b"kept"
        assert not (tmp_path / "nothing").exists()

    def test_threads_lose_nothing(self, tmp_path, way):
        with ThreadPoolExecutor(8) as pool:
            texts = [b"%d" % index for index in range(24)]
            found = list(
                pool.map(lambda t: write_atomically(tmp_path / "a", t, overwrite=False), texts)
            )
        assert [path.read_bytes() for path in found] == texts
        assert len(os.listdir(tmp_path)) == len(texts)

    def test_a_copy_that_fails_leaves_nothing(self, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "link", no_links)
        monkeypatch.setattr(atomic, "_rename_without_replacing", lambda *_: False)
        monkeypatch.setattr("shutil.copyfileobj", full)
        with pytest.raises(OutputError, match="no space left"):
            write_atomically(tmp_path / "a.png", b"x", overwrite=False)
        assert not os.listdir(tmp_path)

    def test_names_as_long_as_they_may_be(self, tmp_path):
        path = tmp_path / ("ü" * 125 + ".png")
        path.touch()
        assert write_atomically(path, b"x", overwrite=False).name.endswith("ü-2.png")

    def test_numbers(self):
        names = [
            path.name for path, _ in zip(numbered_names(Path("d/a.b.png")), range(3), strict=False)
        ]
        assert names == ["a.b.png", "a.b-2.png", "a.b-3.png"]


@pytest.mark.skipif(os.name != "posix", reason="no such locks there")
class TestLeftovers:
    def test_what_is_ours_and_unlocked_goes(self, tmp_path):
        keep = ["a.part", ".stylize-xyz.part", ".stylize-0123456789abcdef.parts", "yarn.lock"]
        for name in [*keep, ".stylize-0123456789abcdef.part", ".stylize-0123456789abcdef.lock"]:
            (tmp_path / name).touch()
        remove_leftovers(tmp_path)
        assert sorted(os.listdir(tmp_path)) == sorted(keep)

    def test_links_and_folders_stay(self, tmp_path):
        (tmp_path / "precious").touch()
        (tmp_path / ".stylize-0123456789abcdef.part").symlink_to("precious")
        (tmp_path / ".stylize-1123456789abcdef.part").mkdir()
        remove_leftovers(tmp_path)
        assert len(os.listdir(tmp_path)) == 3

    @pytest.mark.parametrize("ending", ["part", "lock", "work"])
    def test_only_what_is_locked_stays(self, tmp_path, ending):
        fcntl = pytest.importorskip("fcntl")
        path = tmp_path / f".stylize-0123456789abcdef.{ending}"
        path.mkdir() if ending == "work" else path.touch()
        descriptor = os.open(path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        remove_leftovers(tmp_path)
        assert path.exists()
        os.close(descriptor)
        remove_leftovers(tmp_path)
        assert not path.exists()

    def test_folders(self, tmp_path):
        with scratch_folder(tmp_path) as folder, scratch_folder(tmp_path) as other:
            (folder / "frame").touch()
            remove_leftovers(tmp_path)
            assert (folder / "frame").exists()
            assert folder != other
        assert not os.listdir(tmp_path)

    def test_a_writer_whose_file_was_taken_for_a_leftover(self, tmp_path, monkeypatch):
        """Between its creation and its lock."""
        real, calls = atomic.lock, []

        def late(descriptor):
            if not calls:
                calls.append(descriptor)
                remove_leftovers(tmp_path)
            return real(descriptor)

        monkeypatch.setattr(atomic, "lock", late)
        write_atomically(tmp_path / "a.png", b"x")
        assert calls
        assert os.listdir(tmp_path) == ["a.png"]

    def test_what_is_being_written_stays(self, tmp_path):
        with new_file(tmp_path / "a.png", overwrite=False) as file:
            remove_leftovers(tmp_path)
            assert file.partial.exists()
            file.partial.write_bytes(b"x")
        assert os.listdir(tmp_path) == ["a.png"]

    def test_a_killed_writer(self, tmp_path):
        program = (
            "import os, signal, sys; from pathlib import Path\n"
            "from stylize.images.atomic import new_file\n"
            "with new_file(Path(sys.argv[1]), overwrite=False) as file:\n"
            "    file.partial.write_bytes(b'half')\n"
            "    os.kill(os.getpid(), signal.SIGKILL)"
        )
        words = [sys.executable, "-c", program, str(tmp_path / "a.png")]
        assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
        assert len(os.listdir(tmp_path)) == 1
        check_writable(tmp_path / "a.png")
        assert not os.listdir(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="no such locks there")
def test_reservations(tmp_path):
    with reserved(tmp_path / "a.png") as first:
        assert first
        with reserved(tmp_path / "a.png") as second, reserved(tmp_path / "b.png") as other:
            assert (second, other) == (False, True)
        assert not (tmp_path / "a.png").exists()
        with reserved(tmp_path / "a.png") as third:
            assert not third
    with reserved(tmp_path / "a.png") as again:
        assert again
    assert not os.listdir(tmp_path)
