"""What ``make conformance`` is built of, as far as it needs no network."""

from __future__ import annotations

import io
import tarfile

import pytest
import torch
from conformance.fetch import extract_tests
from conformance.testers import ClipBertModelTester

import clipbert_hf

HEADS = [name for name in clipbert_hf.__all__ if name.startswith("ClipBertFor")]


@pytest.mark.parametrize("name", ["ClipBertModel", *HEADS])
def test_the_tiny_models_are_small_and_take_their_inputs(name):
    tester = ClipBertModelTester(None)
    model_class = getattr(clipbert_hf, name)
    config, inputs = tester.prepare_config_and_inputs_for_common()
    model = model_class(config)
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_000_000
    output = model(**tester.prepare_for_class(inputs, model_class, return_labels=True), output_hidden_states=True)
    assert output.hidden_states[0].shape[1] == tester.seq_length
    assert name == "ClipBertModel" or torch.isfinite(output.loss)


def archive_of(path, files: dict[str, str]):
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("t-1/tests/test_link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return path


def test_only_tests_leave_the_archive_and_only_into_the_folder(tmp_path):
    files = {
        "t-1/tests/test_a.py": "a",
        "t-1/tests/data.json": "{}",
        "t-1/src/test_b.py": "b",
        "../tests/test_c.py": "c",
        "t-1/tests/../../test_d.py": "d",
        "/tests/test_e.py": "e",
    }
    target = tmp_path / "out" / "package"
    extract_tests(archive_of(tmp_path / "a.tar.gz", files), target)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.py")}
    assert "out/package/test_a.py" in written
    assert all(name.startswith("out/package/test_") for name in written)
    assert not {"test_b.py", "test_d.py", "test_link.py"} & {path.name for path in target.iterdir()}


def test_an_archive_without_tests_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"must hold tests/test_\*.py"):
        extract_tests(archive_of(tmp_path / "a.tar.gz", {"t-1/setup.py": ""}), tmp_path / "out")
