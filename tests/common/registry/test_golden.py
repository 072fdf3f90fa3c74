from pathlib import Path

import numpy as np
import pytest

from common.errors import OperatorError
from common.registry.golden import read_golden, write_golden


def test_tensors_come_back_as_they_were(tmp_path: Path):
    path = tmp_path / "golden.npz"
    inputs, outputs = {"x": np.eye(3, dtype=np.float32), "n": np.array([1, 2])}, {"x2": np.array([True])}
    write_golden(path, inputs, outputs)
    first = path.read_bytes()
    for got, wanted in zip(read_golden(path), (inputs, outputs), strict=True):
        assert got.keys() == wanted.keys()
        for name, array in wanted.items():
            assert got[name].dtype == array.dtype
            np.testing.assert_array_equal(got[name], array)
    write_golden(path, inputs, outputs)
    assert path.read_bytes() == first


def test_unreadable_files_are_named(tmp_path: Path):
    path = tmp_path / "golden.npz"
    with pytest.raises(OperatorError, match=r"golden\.npz is missing"):
        read_golden(path)
    np.savez(path, other=np.zeros(1))
    with pytest.raises(OperatorError, match="'other'"):
        read_golden(path)
    np.savez(path, **{"in.x": np.array([{}], dtype=object)})
    with pytest.raises(OperatorError, match="cannot be read"):
        read_golden(path)


def test_every_truncation_is_an_operator_error(tmp_path: Path):
    path = tmp_path / "golden.npz"
    write_golden(path, {"x": np.ones(4)}, {"y": np.ones(4)})
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(OperatorError):
            read_golden(path)
