"""Run every notebook in place, and strip what differs between machines and runs.

python tests/notebooks/refresh.py [NOTEBOOK ...]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"


def refresh(path: Path) -> None:
    """Execute one notebook where it lies; raises on the first cell that fails."""
    book = nbformat.read(path, as_version=4)
    os.environ["EXECKIT_HEADLESS"] = "1"
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(FOLDER)}}).execute()
    for number, cell in enumerate(book.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            # progress goes to stderr and says nothing once the work is done
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    book.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    nbformat.write(book, path)


if __name__ == "__main__":
    for notebook in [Path(p) for p in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")):
        refresh(notebook)
        print(f"{notebook.name}: {notebook.stat().st_size / 1000:.0f} kB")
