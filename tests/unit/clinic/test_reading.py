from __future__ import annotations

from pathlib import Path

import pytest

from local.clinic import ClinicRefused, read_file
from local.clinic.problems import identity


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"as_of": "2027-01-01T00:00:00Z",\n "practice": }', "line 2, column 14"),
        (b"", "line 1, column 1"),
        (b"[]", "is not a JSON object"),
        (b'{"name": "\xff"}', "is not UTF-8 (byte 10)"),
        (b'{"patients": [], "patients": []}', "names the same key twice"),
        (b'{"practice": {"settings": {"rate": NaN}}}', "NaN is not a number"),
        (b"[" * 200_000, "too deeply nested"),
    ],
)
def test_a_file_that_is_no_json_object_is_refused_with_the_place(content: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "clinic.json"
    file.write_bytes(content)

    with pytest.raises(ClinicRefused, match="file: ") as refused:
        read_file(file)

    assert reason in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClinicRefused, match="file: cannot be read: No such file"):
        read_file(tmp_path / "nowhere.json")


@pytest.mark.parametrize("row", [{"id": "Ann Example"}, {"id": 7}, {"id": ["x"]}, {}, None, "text"])
def test_what_is_no_id_is_never_repeated(row: object) -> None:
    assert identity(row) is None
