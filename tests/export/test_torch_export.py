from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import torch
from exporting import METADATA, Branching, Fickle, centred, made

from rnp_cli.checkpoints import read_checkpoint, read_exported_metadata
from rnp_cli.errors import RnpError
from rnp_cli.export.torch_export import prepare


def test_the_archive_answers_as_the_network_for_any_number_of_images() -> None:
    model = made()

    blob = prepare(model).content(METADATA)
    program = torch.export.load(io.BytesIO(blob)).module()

    for count in (1, 2, 7):
        fed = centred(model.trial.images[:count])
        assert torch.allclose(program(fed), model.network(fed), atol=1e-6)


def test_its_weights_and_metadata_are_read_back(tmp_path: Path) -> None:
    model = made()
    prepared = prepare(model)
    path = tmp_path / "model.pt2"

    path.write_bytes(prepared.content(METADATA))

    assert (prepared.format, prepared.opset) == ("torch.export", None)
    assert read_exported_metadata(path) == METADATA
    back = read_checkpoint(path).state_dict
    assert back.keys() == prepared.tensors.keys() == model.state_dict.keys()
    assert all(torch.equal(back[name], t) for name, t in model.state_dict.items())


def test_equal_models_give_equal_bytes_that_name_no_folder_in_silence(
    capfd: pytest.CaptureFixture[str],
) -> None:
    first, again = (prepare(made()).content(METADATA) for _ in range(2))

    assert again == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    assert str(Path(__file__).parent).encode() not in content
    assert b"stack_trace" not in content
    assert capfd.readouterr() == ("", "")


def test_what_no_graph_can_do_is_told() -> None:
    with pytest.raises(RnpError, match=r"could not be exported to torch\.export") as e:
        prepare(made(Branching))

    assert ".safetensors" in e.value.hint


def test_an_archive_that_answers_otherwise_is_not_given_out() -> None:
    prepared = prepare(made(Fickle))

    with pytest.raises(RnpError, match="does not answer as the sanitized model"):
        prepared.content({})
