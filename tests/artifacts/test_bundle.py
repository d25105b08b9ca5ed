"""The model file: equal inputs give equal bytes, and no damage goes unnoticed."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file

from rnncli.artifacts import bundle
from rnncli.artifacts.atomic import sha256_file
from rnncli.artifacts.bundle import ModelFile, load_model, save_model
from rnncli.errors import ArtifactError, RnncliError, UsageError

SAVE = """
import sys, numpy as np
from pathlib import Path
from rnncli.artifacts.bundle import ModelFile, save_model
order = sys.argv[2]
tensors = {name: np.arange(ord(name), dtype=np.float32) for name in order}
meta = {key: {"z": [1.5, None], "a": key} for key in order}
print(save_model(Path(sys.argv[1]), ModelFile("classifier", tensors, meta)))
"""


def example():
    tensors = {
        "weight": np.arange(12, dtype=np.float32).reshape(3, 4),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "scalar": np.array(2.5),
        "none": np.zeros((0, 7), dtype=np.float32),
        "vocabulary": np.frombuffer("größe\n".encode(), dtype=np.uint8),
    }
    return ModelFile("classifier", tensors, {"labels": ["neg", "größe"], "lr": 1e-3, "sha256": "0" * 64})


def assert_same(found, expected):
    assert (found.kind, found.meta) == (expected.kind, expected.meta)
    assert set(found.tensors) == set(expected.tensors)
    for name, tensor in expected.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert found.tensors[name].shape == tensor.shape
        np.testing.assert_array_equal(found.tensors[name], tensor)


def test_round_trip_by_file_and_by_folder(tmp_path):
    digest = save_model(tmp_path / "model.safetensors", example())
    assert digest == sha256_file(tmp_path / "model.safetensors")
    assert_same(load_model(tmp_path), example())
    assert_same(load_model(tmp_path / "model.safetensors", kind="classifier"), example())


def test_loaded_tensors_outlive_the_file(tmp_path):
    """Arrays are copies: writable, and untouched when the file is replaced."""
    path = tmp_path / "m.safetensors"
    save_model(path, example())
    loaded = load_model(path)
    path.unlink()
    loaded.tensors["weight"] += 1
    np.testing.assert_array_equal(loaded.tensors["weight"], example().tensors["weight"] + 1)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
arrays = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


@settings(deadline=None, max_examples=60)
@given(
    tensors=st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda s: s != "__metadata__"), arrays, max_size=4),
    meta=st.dictionaries(st.text(), json_values, max_size=4),
)
def test_anything_is_read_back(tmp_path_factory, tensors, meta):
    path = tmp_path_factory.mktemp("any") / "m.safetensors"
    save_model(path, ModelFile("embeddings", tensors, meta))
    assert_same(load_model(path), ModelFile("embeddings", tensors, meta))


def test_equal_inputs_give_equal_bytes_in_any_process(tmp_path):
    """Neither hash randomisation nor the order of insertion shows in the file."""
    digests = set()
    for seed, order in (("1", "azbk"), ("2", "kbza"), ("3", "zakb")):
        path = tmp_path / f"{seed}.safetensors"
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", SAVE, str(path), order], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == sha256_file(path)
        digests.add(done.stdout)
    assert len(digests) == 1


def test_every_flipped_byte_is_noticed(tmp_path):
    """All offsets of a small file, with three bit patterns: always one ArtifactError line, never other content."""
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    save_model(good, ModelFile("classifier", {"w": np.arange(5, dtype=np.float32)}, {"labels": ["é", "b"]}))
    raw = good.read_bytes()
    for offset in range(len(raw)):
        for pattern in (0x01, 0x20, 0x80):  # 0x20 turns letters to the other case, digits of the digest included
            bad.write_bytes(raw[:offset] + bytes([raw[offset] ^ pattern]) + raw[offset + 1 :])
            with pytest.raises(ArtifactError) as caught:
                load_model(bad)
            assert "\n" not in str(caught.value)


def test_padding_of_the_header_is_covered(tmp_path):
    """JSON does not care which white space pads the header; the checksum does."""
    path = tmp_path / "m.safetensors"
    for n in range(9):
        save_model(path, ModelFile("classifier", {"w" * (n + 1): np.zeros(2)}, {}))
        raw = bytearray(path.read_bytes())
        end = 8 + int.from_bytes(raw[:8], "little")
        if raw[end - 1 : end] == b" ":
            raw[end - 1] = ord("\n")
            path.write_bytes(raw)
            with pytest.raises(ArtifactError, match="damaged"):
                load_model(path)
            return
    pytest.fail("no padded header came up")


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 20, 200, -1])
def test_truncated_and_extended_files_are_noticed(tmp_path, keep):
    path = tmp_path / "m.safetensors"
    save_model(path, example())
    raw = path.read_bytes()
    path.write_bytes(raw[:keep])
    with pytest.raises(ArtifactError):
        load_model(path)
    path.write_bytes(raw + b"\0")
    with pytest.raises(ArtifactError):
        load_model(path)


def test_what_is_not_ours(tmp_path):
    (tmp_path / "text").write_text("hello world, this is not a model\n")
    save_file({"w": np.zeros(2)}, tmp_path / "foreign")
    save_file({"w": np.zeros(2)}, tmp_path / "half", metadata={"rnncli": '{"format":"rnncli"}'})
    save_file({"w": np.zeros(2)}, tmp_path / "garbage", metadata={"rnncli": "[[["})
    for name, words in (
        ("text", "not a model"),
        ("foreign", "did not write"),
        ("half", "incomplete"),
        ("garbage", "damaged"),
    ):
        with pytest.raises(ArtifactError, match=words):
            load_model(tmp_path / name)


def test_missing_files_are_usage_errors(tmp_path):
    with pytest.raises(UsageError, match="no such model"):
        load_model(tmp_path / "none")
    with pytest.raises(UsageError, match=r"no model\.safetensors in this folder"):
        load_model(tmp_path)


def test_wrong_kind_and_newer_version_say_so(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    save_model(path, ModelFile("embeddings", {}, {}))
    with pytest.raises(ArtifactError, match=r"is an embeddings model; this command needs a classifier"):
        load_model(path, kind="classifier")
    monkeypatch.setattr(bundle, "FORMAT_VERSION", 2)
    save_model(path, ModelFile("embeddings", {}, {}))
    monkeypatch.setattr(bundle, "FORMAT_VERSION", 1)
    with pytest.raises(ArtifactError, match="newer rnncli; upgrade"):
        load_model(path)


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    digest = save_model(path, example())

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "save_file", full)
    with pytest.raises(RnncliError, match="No space left"):
        save_model(path, ModelFile("classifier", {}, {}))
    assert sha256_file(path) == digest
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]


def test_not_a_number_in_meta_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_model(tmp_path / "m", ModelFile("classifier", {}, {"loss": float("nan")}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        save_model(tmp_path / "m.safetensors", example())
    finally:
        os.umask(before)
    assert (tmp_path / "m.safetensors").stat().st_mode & 0o777 == 0o644
