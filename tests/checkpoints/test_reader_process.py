"""The reader's process may die in any way; the parent always says so and goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from benign import bare
from crafting import GOOD_ZIP, entry, safetensors, zipped

from rnp_cli.checkpoints import LoadLimits, read_checkpoint, reader_process
from rnp_cli.checkpoints.scan import Scan, ScannedTensor
from rnp_cli.errors import InputRefused, RnpError

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and limits")
Pretend = Callable[[str], None]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    path.write_bytes(GOOD_ZIP)
    return path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for all temporary files, to see what is left in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Run a program of ours in the reader's place."""

    def replace(program: str) -> None:
        command = [sys.executable, "-I", "-S", "-c", program]
        monkeypatch.setattr(reader_process, "command", lambda task: command)

    return replace


def answer(**changes: object) -> str:
    tensor = ScannedTensor(name="w", dtype="float32", shape=(4,), nan=0, inf=0)
    scan = asdict(Scan.blank(size=9)) | {
        "sha256": "0" * 64,
        "format": "safetensors",
        "tensors": [asdict(tensor)],
    }
    return json.dumps({"scan": scan | changes, "graph": ""})


def says(text: str, tensors: bytes = safetensors({"w": entry()})) -> str:
    return f"import os; os.write(1, {tensors!r}); os.write(2, {text.encode()!r})"


def test_the_pretended_answer_is_sound(model: Path, pretend: Pretend) -> None:
    pretend(says(answer()))

    assert list(read_checkpoint(model).state_dict) == ["w"]


@posix
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT", "SIGBUS"])
def test_death_by_a_signal_is_a_refusal(
    name: str, model: Path, pretend: Pretend, temporary: Path
) -> None:
    pretend(f"import os; os.kill(os.getpid(), {int(signal.Signals[name])})")

    with pytest.raises(InputRefused, match=f"killed by {name}") as refusal:
        read_checkpoint(model)

    assert "nothing was executed" in refusal.value.hint
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    "program",
    ["", "raise SystemExit(3)", "raise RuntimeError", says(""), says("{}"), says("[]")],
)
def test_no_answer_is_a_refusal(program: str, model: Path, pretend: Pretend) -> None:
    pretend(program)

    with pytest.raises(InputRefused, match="no sound answer|ended with status"):
        read_checkpoint(model)


@pytest.mark.parametrize(
    "changes",
    [
        {"surprise": 1},
        {"size": "9"},
        {"sha256": "0"},
        {"findings": ["\x1b[2Jred"]},
        {"findings": ["x" * 10_000]},
        {"dropped": ["x"] * 11_000},
        {"globals": [{"name": "a.b", "severity": "fine"}]},
        {"refusal": {"message": "a\nb", "hint": ""}},
        {"tensors": []},
        {"tensors": [{"name": "\x1b", "dtype": "x", "shape": [], "nan": 0, "inf": 0}]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_malformed_answer_is_a_refusal(
    changes: dict[str, object], model: Path, pretend: Pretend
) -> None:
    pretend(says(answer(**changes)))

    with pytest.raises(InputRefused, match="no sound answer"):
        read_checkpoint(model)


@pytest.mark.parametrize(
    "tensors",
    [
        b"",
        bytes(7),
        b"\xff" * 64,
        safetensors({"other": entry()}),
        safetensors({"w": entry(shape=(2, 2))}),
        safetensors({"w": entry()}, bytes(8)),
        safetensors({"w": entry()}, bytes(24)),
        safetensors({"w": entry(), "more": entry(16, 32)}, bytes(32)),
    ],
    ids=["nothing", "short", "noise", "name", "shape", "truncated", "longer", "more"],
)
def test_malformed_tensors_are_a_refusal(
    tensors: bytes, model: Path, pretend: Pretend
) -> None:
    pretend(says(answer(), tensors))

    with pytest.raises(InputRefused, match="other tensors than it described"):
        read_checkpoint(model)


def test_impossible_booleans_are_a_refusal(model: Path, pretend: Pretend) -> None:
    described = {"name": "w", "dtype": "bool", "shape": [4], "nan": 0, "inf": 0}
    header = {"w": {"dtype": "BOOL", "shape": [4], "data_offsets": [0, 4]}}
    pretend(says(answer(tensors=[described]), safetensors(header, b"\x00\x01\x02\x03")))

    with pytest.raises(InputRefused, match="impossible values"):
        read_checkpoint(model)


def test_an_endless_answer_is_not_read(model: Path, pretend: Pretend) -> None:
    pretend("import os; os.write(2, b' ' * 3_000)")

    with pytest.raises(InputRefused, match="no sound answer"):
        read_checkpoint(model, LoadLimits(max_answer_bytes=2_000))


@posix
def test_the_clock_stops_a_reader_and_its_children(
    model: Path, pretend: Pretend, tmp_path: Path, temporary: Path
) -> None:
    marker = tmp_path / "marker"
    late = f"import time; time.sleep(3); open({str(marker)!r}, 'w')"
    spawn = f"subprocess.Popen([sys.executable, '-c', {late!r}])"
    pretend(f"import subprocess, sys, time; {spawn}; time.sleep(60)")
    started = time.monotonic()

    with pytest.raises(InputRefused, match="stopped after 1 seconds"):
        read_checkpoint(model, LoadLimits(wall_seconds=1))

    assert time.monotonic() - started < 3
    assert not list(temporary.iterdir())
    time.sleep(3)
    assert not marker.exists()


@posix
@pytest.mark.parametrize("megabytes", [0, 96])
def test_too_little_memory_is_a_refusal(
    megabytes: int, tmp_path: Path, temporary: Path
) -> None:
    if sys.platform == "darwin":
        pytest.skip("macOS does not limit address space")
    path = tmp_path / "model.pt"
    path.write_bytes(zipped({"a/data.pkl": b"\x80\x02" + b"]" * 2_000_000 + b"."}))
    limits = LoadLimits(spare_memory=1 + (megabytes << 20), max_stack=1 << 40)

    with pytest.raises(InputRefused, match="more memory"):
        read_checkpoint(path, limits)

    assert not list(temporary.iterdir())


@posix
def test_too_little_time_is_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    body = b"\x80\x02" + b"N0" * 20_000_000 + b"N."
    path.write_bytes(body)

    with pytest.raises(InputRefused, match="processor time"):
        read_checkpoint(path, LoadLimits(cpu_seconds=1, max_opcodes=1 << 40))


@posix
def test_nothing_leaks_into_the_reader(
    model: Path, pretend: Pretend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET", "x")
    seen = tmp_path / "seen"
    pretend(
        "import json, os; fds = []\n"
        "for fd in range(3, 256):\n"
        "    try: os.fstat(fd)\n"
        "    except OSError: continue\n"
        "    fds.append(fd)\n"
        f"open({str(seen)!r}, 'w').write(json.dumps("
        "[dict(os.environ), fds, os.getcwd(), os.getsid(0) == os.getpid()]))"
    )
    with tempfile.TemporaryFile() as file:
        os.set_inheritable(file.fileno(), True)
        with pytest.raises(InputRefused):
            read_checkpoint(model)

    environment, descriptors, folder, leads_session = json.loads(seen.read_text())
    # LC_CTYPE is what an interpreter sets for itself where there is no locale.
    assert set(environment) <= {"LC_CTYPE", "LD_LIBRARY_PATH", "SYSTEMROOT"}
    assert descriptors == []
    assert leads_session
    assert folder != str(Path.cwd())
    assert not Path(folder).exists()


def test_reading_leaves_nothing_behind(model: Path, temporary: Path) -> None:
    before = open_descriptors()

    read_checkpoint(model)

    assert not list(temporary.iterdir())
    assert open_descriptors() == before


def test_a_reader_that_cannot_start_is_no_fault_of_the_file(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_process, "command", lambda task: ["no such program"])

    with pytest.raises(RnpError, match="cannot be started") as error:
        read_checkpoint(model)

    assert not isinstance(error.value, InputRefused)


@posix
def test_a_confined_process_can_open_nothing() -> None:
    check = (
        "import os, socket, sys\n"
        "from rnp_cli.checkpoints.sandbox import Bounds, confine\n"
        "confine(Bounds(memory=1 << 30, cpu_seconds=5, file_bytes=1 << 20))\n"
        "for attempt in (lambda: open('/dev/null'), socket.socket, os.pipe):\n"
        "    try: attempt()\n"
        "    except OSError: continue\n"
        "    os._exit(1)\n"
        "'é\\x1b'.encode('unicode_escape')\n"
    )

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_the_reader_needs_the_standard_library_alone() -> None:
    start = (
        "import sys; sys.path.append(sys.argv[1]); import rnp_cli.checkpoints.worker;"
        "names = ('torch', 'numpy', 'onnx', 'pydantic');"
        "sys.exit(any(name in sys.modules for name in names))"
    )
    root = Path(reader_process.__file__).parents[2]
    command = [sys.executable, "-I", "-S", "-c", start, str(root)]

    assert subprocess.run(command, check=False).returncode == 0


def test_tensors_outlive_their_file_and_can_be_written_to(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(bare(), path)

    found = read_checkpoint(path).state_dict
    path.unlink()
    found["0.weight"].add_(1)

    assert torch.equal(found["0.weight"], bare()["0.weight"] + 1)


def open_descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0
