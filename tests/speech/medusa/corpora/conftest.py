"""Small corpora in the layouts of the real ones."""

import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

Table = list[dict[str, str]]
EMODB = {
    "train": [("03a", "03", "happiness", "90.00"), ("08a", "08", "anger", "100.00"), ("08b", "08", "neutral", "80")],
    "dev": [("14a", "14", "fear", "85.00")],
    "test": [("15a", "15", "boredom", "95.00")],
}
COLUMNS = ("id", "speaker", "emotion", "recognised_pct")


@pytest.fixture
def tables() -> dict[str, Table]:
    """Rows of a set like EmoDB, by split, to be spoiled."""
    return {
        split: [
            dict(zip(COLUMNS, row, strict=True)) | {"file": f"{row[0]}.opus", "text": f"Satz {row[0]}"} for row in rows
        ]
        for split, rows in EMODB.items()
    }


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """``written(tables, name)``: a data folder with the set; its sound files say their own names."""

    def write(tables: Mapping[str, Table], name: str = "emodb", left_out: Sequence[str] = ()) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for split, rows in tables.items():
            head = list(rows[0])
            lines = ["\t".join(head), *("\t".join(row.values()) for row in rows)]
            (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
            with tarfile.open(folder / f"{split}.tar", "w") as tar:
                for row in rows:
                    if row["id"] not in left_out:
                        content = f"sound of {row['id']}".encode()
                        member = tarfile.TarInfo(row["file"])
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))
        return tmp_path

    return write
