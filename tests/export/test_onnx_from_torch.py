from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from exporting import METADATA, Branching, Fickle, Net, centred, made

from rnp_cli.checkpoints import read_checkpoint, read_onnx_metadata
from rnp_cli.errors import RnpError, UsageError
from rnp_cli.export.model import Prepared
from rnp_cli.export.onnx_from_torch import prepare, require
from rnp_cli.export.safetensors import tensors_sha256


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(made())


@pytest.fixture(scope="module")
def blob(prepared: Prepared) -> bytes:
    return prepared.content(METADATA)


def test_the_model_answers_as_the_network_for_any_number_of_images(
    blob: bytes,
) -> None:
    model = made()

    session = onnxruntime.InferenceSession(blob, providers=["CPUExecutionProvider"])

    assert [entry.name for entry in session.get_inputs()] == ["images"]
    assert session.get_inputs()[0].shape == ["batch", 1, 6, 6]
    assert [entry.name for entry in session.get_outputs()] == ["logits"]
    for count in (1, 2, 7):
        fed = centred(model.trial.images[:count])
        (given,) = session.run(None, {"images": fed.numpy()})
        assert torch.allclose(torch.from_numpy(given), model.network(fed), atol=1e-5)


def test_it_says_its_opset_and_carries_the_metadata(
    prepared: Prepared, blob: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"

    path.write_bytes(blob)

    assert read_onnx_metadata(path) == METADATA
    assert read_checkpoint(path).graph is not None
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert [used.version for used in proto.opset_import] == [prepared.opset]
    assert prepared.format == "ONNX"
    read = read_checkpoint(path).state_dict
    assert tensors_sha256(prepared.tensors) == tensors_sha256(read)


def test_equal_models_give_equal_bytes_that_name_no_folder_in_silence(
    blob: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    again = prepare(made()).content(METADATA)

    assert again == blob
    assert str(Path(__file__).parent).encode() not in blob
    assert b"stack_trace" not in blob
    assert capfd.readouterr() == ("", "")


def test_what_no_graph_can_do_is_told() -> None:
    with pytest.raises(RnpError, match="could not be exported to ONNX") as error:
        prepare(made(Branching))

    assert ".safetensors" in error.value.hint


def test_a_model_that_answers_otherwise_is_not_given_out() -> None:
    prepared = prepare(made(Fickle))

    with pytest.raises(RnpError, match="does not answer as the sanitized model"):
        prepared.content({})


def test_probabilities_are_called_that() -> None:
    prepared = prepare(replace(made(Net), output="log-probabilities"))

    proto = onnx.ModelProto.FromString(prepared.content({}))
    assert [value.name for value in proto.graph.output] == ["log_probabilities"]


@pytest.mark.parametrize("missing", ["onnxruntime", "onnxscript"])
def test_what_is_not_installed_is_named_with_its_extra(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(UsageError, match=missing) as error:
        require()

    assert "rnp-cli[onnx]" in error.value.hint
