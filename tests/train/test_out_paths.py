"""Where a command is to write is looked at before it works."""

from pathlib import Path

import pytest

from train.annotations import DataError
from train.out_paths import check_file, check_folder


def test_what_can_be_written_is_left_as_it_is_and_its_folder_is_there(tmp_path: Path) -> None:
    check_file(tmp_path / "new" / "deep" / "x.csv")
    check_folder(tmp_path / "other")
    assert [path.name for path in (tmp_path / "new" / "deep").iterdir()] == []
    assert list((tmp_path / "other").iterdir()) == []
    (tmp_path / "old.csv").write_text("old")
    check_file(tmp_path / "old.csv")
    assert (tmp_path / "old.csv").read_text() == "old"
    check_file(Path("/dev/null"))


def test_what_is_of_another_kind_or_lies_below_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(DataError, match="expected a file to write, got a folder"):
        check_file(tmp_path)
    with pytest.raises(DataError, match="expected a folder to write to, got a file"):
        check_folder(file)
    with pytest.raises(DataError, match=r"cannot be written \(Not a directory\)"):
        check_folder(file / "below")
    with pytest.raises(DataError, match=r"cannot be written \(File name too long\)"):
        check_file(tmp_path / ("x" * 300) / "x.csv")
    with pytest.raises(DataError, match=r"cannot be written \(File name too long\)"):
        check_file(tmp_path / ("x" * 300))


@pytest.mark.parametrize("make", [check_file, check_folder])
def test_a_folder_that_takes_no_files_is_refused(make: object, tmp_path: Path) -> None:
    """`/proc` takes none from anybody, root included."""
    assert callable(make)
    with pytest.raises(DataError, match="cannot be written"):
        make(Path("/proc/new"))
