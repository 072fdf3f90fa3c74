"""Arrays of an ``.npz`` file, read without pickle."""

import io
import lzma
import zipfile
from pathlib import Path

import numpy as np

from music_fewshot.lc_protonets.corpora.corpus import Split, broken, read


def read_split(path: Path, inputs: str, dimensions: int, dtype: str) -> tuple[Split, tuple[str, ...], str]:
    """The split, the names of its labels and the digest of the file.

    ``inputs`` names the array of what is to be embedded, which has so many ``dimensions`` and is of ``dtype``. Raises
    OperatorError for a file that is missing or is not as told here.
    """
    content, digest = read(path)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            items, labels = arrays[inputs], arrays["labels"]
            ids, names = (tuple(map(str, arrays[key])) for key in ("ids", "label_names"))
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile, lzma.LZMAError) as error:
        raise broken(path, error) from error
    if items.dtype != dtype or items.ndim != dimensions or len(items) != len(ids) or not len(ids):
        raise broken(path, f"{inputs} are {items.dtype} {items.shape}")
    if labels.shape != (len(ids), len(names)) or not np.isin(labels, (0, 1)).all():
        raise broken(path, f"labels are {labels.dtype} {labels.shape}, not 0 and 1 for {len(ids)} items")
    if not np.isfinite(items).all():
        raise broken(path, f"{inputs} are not finite")
    return Split(ids, labels.astype(bool), items), names, digest
