from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_nets import write_flat
from torch import Tensor

from rnp_cli.data import stream
from rnp_cli.data.classifier import InputSpec
from rnp_cli.data.conventions import CONVENTIONS
from rnp_cli.data.decode import decode
from rnp_cli.data.stream import stream_images
from rnp_cli.data.walk import Found

SPEC = InputSpec(channels=3, size=(4, 4), fit="crop", convention=CONVENTIONS[0])


class Counting:
    """Decodes as ever, and counts the images that somebody still holds."""

    def __init__(self) -> None:
        self.held = self.most = 0

    def __call__(self, paths: Sequence[Path], **how: Any) -> Tensor:
        image = decode(paths, **how)
        self.held += 1
        self.most = max(self.most, self.held)
        weakref.finalize(image, self._let_go)
        return image

    def _let_go(self) -> None:
        self.held -= 1


@pytest.fixture
def shades(tmp_path: Path) -> list[Found]:
    files = [tmp_path / f"{number}.png" for number in range(10)]
    for number, file in enumerate(files):
        write_flat(file, number / 10)
    return [Found(file) for file in files]


@pytest.mark.parametrize("times", [1, 30])
def test_many_files_need_no_more_memory_than_few(
    shades: list[Found], monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    counting = Counting()
    monkeypatch.setattr(stream, "decode", counting)
    seen = 0

    for batch in stream_images((f for f in shades * times), SPEC, batch_size=4):
        assert batch.images is not None
        seen += len(batch.images)

    assert seen == 10 * times
    assert counting.most <= 4


def test_a_file_that_is_no_image_comes_back_with_the_reason(
    shades: list[Found], tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("no image")
    files = [shades[3], Found(tmp_path / "text.png"), Found(tmp_path / "x", "a link")]

    first, second = stream_images([*files, files[1]], SPEC, batch_size=3)

    assert first.images is not None
    assert first.images.shape == (1, 3, 4, 4)
    assert [bool(file.refused) for file in first.files] == [False, True, True]
    assert str(first.files[1].refused).startswith("cannot be read")
    assert first.files[2].refused == "a link"
    assert second.images is None
