"""What archives that lie about say about a data set that is not where it should be."""

import zipfile
from pathlib import Path


def advice(root: Path) -> str:
    """What to do about the ZIP files in a folder, as the end of a sentence; empty without any."""
    archives = sorted(root.glob("*.zip"))
    broken = [path.name for path in archives if not zipfile.is_zipfile(path)]
    if broken:
        return f"; {', '.join(broken)} is no whole archive: download it again, then unzip it"
    if archives:
        return f"; found the archives {', '.join(path.name for path in archives)}: unzip them first"
    return ""
