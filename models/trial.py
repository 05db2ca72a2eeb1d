"""Work on files that may be damaged, in a child (``python -m llmos.models.trial``) that prints one line of JSON.

Measuring is done there too: a file in a new format may crash llama.cpp, and what was measured leaves nothing behind.

Whatever a file makes llama.cpp do there, here it is an error message.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import faults, gguf
from .faults import Damaged, EngineFault, ModelFault

_PATIENCE = 120.0  # seconds, and one more for every _PACE bytes
_PACE = 20e6
_TEMPLATE_ROOM = 2**30  # bytes of memory that trying a chat template may take


def quantise(source: Path, target: Path, file_type: int, watch: Callable[[], None]) -> None:
    """Write a file in the format of that number; ``watch`` is called some twenty times a second."""
    _run(["quantise", str(source), str(target), str(file_type)], source, watch)


def probe(path: Path) -> None:
    """Load all weights with their checks, compute one token, and try the chat template."""
    _run(["probe", str(path)], path, lambda: None)


def measure(what: str, path: Path, request: dict[str, Any], watch: Callable[[], None], patience: float) -> Any:
    """What `tuning.measuring` answers to a request; ``patience`` are seconds that it has beyond those to load."""
    return _run(["measure", what, json.dumps(request)], path, watch, patience)


def _run(command: list[str], path: Path, watch: Callable[[], None], patience: float = 0.0) -> Any:
    """What the child answers. Raises the fault that it reports or, where it dies, `Damaged` with what its log says."""
    limit = time.monotonic() + _PATIENCE + patience + path.stat().st_size / _PACE
    with os.fdopen(os.memfd_create("log"), "w+", errors="replace") as log, _child(command, log) as child:
        while True:
            try:
                out, _ = child.communicate(timeout=0.05)
                break
            except subprocess.TimeoutExpired:
                watch()
                if time.monotonic() > limit:
                    raise EngineFault(f"llama.cpp does not finish with {path.name}", hint="try again") from None
        log.seek(0)
        return _judge(child.returncode, out, log.read(), path)


@contextmanager
def _child(command: list[str], log: Any) -> Iterator[subprocess.Popen[str]]:
    # -P: the folder we are in must not be searched for modules.
    line = [sys.executable, "-P", "-m", "llmos.models.trial", str(os.getpid()), *command]
    # A session of its own: a Ctrl-C on the terminal is for us, who end it; it must not look like a damaged file.
    child = subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
            child.communicate()


def _judge(code: int, out: str, log: str, path: Path) -> Any:
    try:
        told = json.loads(out)
    except json.JSONDecodeError:
        told = {}
    if code == 0 and "ok" in told:
        return told["ok"]
    if told:
        raise getattr(faults, told["kind"])(told["message"], hint=told["hint"])
    if code == -signal.SIGKILL:
        raise EngineFault(f"{path.name}: the system ended llama.cpp", hint="there may be too little memory for it")
    how = f"died of {signal.Signals(-code).name}" if code < 0 else "refuses it"
    raise Damaged(f"{path.name}: llama.cpp {how}: {_last_words(log)}", hint="download it again, or choose another")


def _last_words(log: str) -> str:
    """The last line that tells of an error, else the last one."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower() or "assert" in line.lower()]
    return (telling or lines or ["it said nothing"])[-1][:300]


# -- inside the child --


def _quantise(source: str, target: str, number: str) -> None:
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = int(number)
    parameters.allow_requantize = True
    parameters.nthread = len(os.sched_getaffinity(0))
    code = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters))
    if code != 0:
        raise SystemExit(3)


def _probe(name: str) -> None:
    import llama_cpp

    from .chat import ChatTemplate

    file = gguf.check(Path(name))
    with _little_memory():
        ChatTemplate(file.chat_template)
    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_default_params()
    parameters.check_tensors = True
    model = llama_cpp.llama_model_load_from_file(name.encode(), parameters)
    if not model:
        raise SystemExit(3)
    setup = llama_cpp.llama_context_default_params()
    setup.n_ctx = setup.n_batch = setup.n_ubatch = 64
    setup.n_threads = setup.n_threads_batch = len(os.sched_getaffinity(0))
    setup.embeddings = not file.generates
    context = llama_cpp.llama_init_from_model(model, setup)
    compute = llama_cpp.llama_decode if file.generates else llama_cpp.llama_encode
    token = (llama_cpp.llama_token * 1)(0)
    if not context or compute(context, llama_cpp.llama_batch_get_one(token, 1)) != 0:
        raise SystemExit(4)


def _measure(what: str, request: str) -> Any:
    from .tuning import measuring

    return measuring.WORK[what](**json.loads(request))


@contextmanager
def _little_memory() -> Iterator[None]:
    """A template may not take all memory there is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = used + _TEMPLATE_ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most if hard < 0 else min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _main(parent: str, command: str, *arguments: str) -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: end with the parent, however that ends
    if os.getppid() != int(parent):  # which it did before we could say so
        return
    work: dict[str, Callable[..., Any]] = {"quantise": _quantise, "probe": _probe, "measure": _measure}
    try:
        answer = {"ok": work[command](*arguments)}
    except ModelFault as fault:
        answer = {"kind": type(fault).__name__, "message": fault.message, "hint": fault.hint}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
