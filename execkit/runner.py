"""Run a notebook as a function: checked parameters in, an executed notebook out.

papermill does the running. Added here: an unknown parameter is refused instead of silently
injected, a secret is refused because papermill writes every parameter into the output twice, and a
request to terminate interrupts the kernel, so that its clean-up runs and the notebook is saved.
"""

from __future__ import annotations

import ast
import json
import logging
import math
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from execkit.errors import ExecKitError, FixRequest, InvalidInput
from execkit.redaction import by_value

_SECRET_NAME = re.compile(
    r"secret|passw|passphrase|token|credential|private|mnemonic|(^|_)(api_?)?key($|_)", re.I
)
_SECRET_TEXT = re.compile(r"[A-Za-z0-9+/=_\-]{24,}")


class NotebookFailed(ExecKitError):
    """A cell raised, or the kernel died; what ran until then is in the output notebook."""


def run_notebook(
    notebook: str | os.PathLike[str],
    parameters: Mapping[str, object],
    output: str | os.PathLike[str] | None = None,
    *,
    timeout_s: int | None = None,
) -> Path:
    """Execute `notebook` with `parameters` in its ``parameters`` cell; return the output's path.

    Parameters
    ----------
    parameters : values by name; only names that the notebook's ``parameters`` cell assigns.
    output : where the executed notebook goes; ``<stem>-<UTC time>.ipynb`` in the working directory
        when left out. It is kept when the run fails.
    timeout_s : for one cell; None waits for ever.

    Raises
    ------
    InvalidInput : no such notebook, unknown parameter, or a secret in one; nothing ran.
    NotebookFailed : a cell raised, timed out, or the kernel died.
    FixRequest : papermill or the notebook's kernel is not installed.
    """
    source = Path(notebook)
    known = known_parameters(source)
    for name, value in parameters.items():
        refuse_secret(name, value)
        if name not in known:
            listed = ", ".join(known) or "none"
            raise InvalidInput("parameter", name, f"{source.name} has no such parameter ({listed})")
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = Path(output) if output is not None else Path(f"{source.stem}-{stamp}.ipynb")
    if target.resolve() == source.resolve():
        raise InvalidInput("output", str(target), "it is the notebook itself: name another file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput("output", str(target), f"cannot be written ({error.strerror})") from None
    with _headless(), _terminate_as_interrupt():
        _execute(source, target, dict(parameters), timeout_s)
    return target


def known_parameters(notebook: Path) -> list[str]:
    """Names that the cell tagged ``parameters`` assigns, in order."""
    if notebook.is_dir():
        raise InvalidInput("notebook", str(notebook), "is a directory: name a notebook in it")
    if not notebook.is_file():
        raise InvalidInput("notebook", str(notebook), "there is no such file")
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        tagged = [c for c in cells if "parameters" in c.get("metadata", {}).get("tags", [])]
        lines = ast.parse("\n".join("".join(c["source"]) for c in tagged)).body
    except (ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:
        raise InvalidInput("notebook", str(notebook), f"is not a notebook ({error})") from None
    names = []
    for line in lines:
        targets = line.targets if isinstance(line, ast.Assign) else []
        targets = [line.target] if isinstance(line, ast.AnnAssign) else targets
        names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names


def refuse_secret(name: str, value: object) -> None:
    """Raise `InvalidInput` if a parameter's name or value looks like a secret.

    A value does if it has a run of 24 or more characters of mixed letters and digits with more than
    3.5 bits of entropy a character, as keys have and words and paths have not, or if it is one that
    this process has loaded. The message never repeats the value.
    """
    way_out = (
        "looks like a secret, and the output notebook would show it; keep it in the environment or "
        "the keyring, where execkit.secrets finds it by exchange and account, and pass those names"
    )
    if _SECRET_NAME.search(name):
        raise InvalidInput("parameter", name, way_out)
    text = str(value)
    if by_value(text) != text:
        raise InvalidInput("parameter", name, f"its value {way_out}")
    if os.path.exists(text):
        return
    for run in _SECRET_TEXT.findall(text):
        mixed = re.search(r"[0-9]", run) and re.search(r"[A-Za-z]", run)
        if mixed and _entropy_bits(run) > 3.5:
            raise InvalidInput("parameter", name, f"its value {way_out}")


def value_of(text: str) -> object:
    """A parameter as typed in a shell: numbers, true/false, null, JSON lists; text otherwise."""
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        value = json.loads(text)
    except ValueError:
        return text
    finite = not isinstance(value, float) or math.isfinite(value)
    return value if finite else text


def _entropy_bits(text: str) -> float:
    counts = Counter(text).values()
    return -sum(c / len(text) * math.log2(c / len(text)) for c in counts)


def _papermill() -> Any:
    try:
        import papermill
    except ImportError:
        raise FixRequest(
            "running notebooks needs papermill: pip install 'execkit[notebook]'"
        ) from None
    return papermill


def _execute(
    source: Path, target: Path, parameters: dict[str, object], timeout_s: int | None
) -> None:
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    where = f"the notebook so far is {target}"
    papermill = _papermill()
    # its own look at the parameters misses annotated ones; ours has refused what is not known
    log = logging.getLogger("papermill")
    log.addFilter(_is_not_about_parameters)
    try:
        papermill.execute_notebook(
            str(source), str(target), parameters, execution_timeout=timeout_s, log_output=False
        )
    except PapermillExecutionError as error:
        text = f"{error.ename}: {error.evalue}".splitlines()[0]
        raise NotebookFailed(f"cell {error.exec_count} raised {text}; {where}") from None
    except CellTimeoutError:
        raise NotebookFailed(f"a cell took longer than {timeout_s} s; {where}") from None
    except DeadKernelError:
        raise NotebookFailed(f"the kernel died, perhaps out of memory; {where}") from None
    except NoSuchKernel as error:
        raise FixRequest(
            f"there is no Jupyter kernel {error.name!r} here: pip install 'execkit[notebook]'"
        ) from None
    finally:
        log.removeFilter(_is_not_about_parameters)


def _is_not_about_parameters(record: logging.LogRecord) -> bool:
    return "unknown parameter" not in record.getMessage()


@contextmanager
def _headless() -> Iterator[None]:
    """Tell the kernel that nobody looks: no widgets, progress as text."""
    before = os.environ.get("EXECKIT_HEADLESS")
    os.environ["EXECKIT_HEADLESS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["EXECKIT_HEADLESS"]
        else:
            os.environ["EXECKIT_HEADLESS"] = before


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM becomes an interrupt: the kernel's clean-up runs, and the notebook is saved."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
