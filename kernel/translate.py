"""Faults from below become errors for users, here and nowhere else."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..memory import faults as memory
from ..models import faults as models
from .errors import BadInput, HomeHeld, LimitExceeded, ModelUnusable, NotFound, OSFault, Storage, TimedOut, Unavailable

_MODELS: dict[type, type[OSFault]] = {
    models.Damaged: ModelUnusable,
    models.Unsupported: ModelUnusable,
    models.NoSuchModel: NotFound,
    models.TooLong: LimitExceeded,
    models.Full: Storage,
    models.Remote: Unavailable,
    models.TooSlow: TimedOut,
    models.Refused: BadInput,
    models.BadGrammar: BadInput,
    models.BadTemplate: ModelUnusable,
    models.EngineFault: Unavailable,
}
_MEMORY: dict[type, type[OSFault]] = {
    memory.NotText: BadInput,
    memory.Missing: NotFound,
    memory.Full: Storage,
    memory.Damaged: Storage,
    memory.BadPath: BadInput,
    memory.TooLarge: LimitExceeded,
    memory.Held: HomeHeld,
}
_OF_THE_SYSTEM: dict[int, tuple[type[OSFault], str]] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), (Storage, "free some room")),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), (Storage, "check the permissions")),
    errno.EIO: (Storage, "check the disk"),
    errno.ENOENT: (NotFound, "check the spelling and where you are"),
    errno.ENAMETOOLONG: (BadInput, "give a shorter name"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), (Unavailable, "close what is open elsewhere, or raise ulimit -n")),
}


def translate(fault: BaseException) -> OSFault | None:
    """The user's error for a fault from below; None for what is a bug."""
    if isinstance(fault, OSFault):
        return fault
    if isinstance(fault, models.ModelFault):
        return _of(fault, _MODELS)(fault.message, hint=fault.hint)
    if isinstance(fault, memory.MemoryFault):
        return _of(fault, _MEMORY)(fault.message, hint=fault.hint)
    if isinstance(fault, OSError):
        where = f" ({fault.filename})" if fault.filename else ""
        kind, hint = _OF_THE_SYSTEM.get(fault.errno or 0, (Unavailable, "try again"))
        return kind(f"{fault.strerror or fault}{where}", hint=hint)
    return None


def _of(fault: Exception, table: Mapping[type, type[OSFault]]) -> type[OSFault]:
    """The entry of the nearest class; a kind that no table names is a part that is broken."""
    return next((table[kind] for kind in type(fault).__mro__ if kind in table), Unavailable)


@contextmanager
def translated() -> Iterator[None]:
    """Raise the user's error in place of a fault from below; bugs pass."""
    try:
        yield
    except (models.ModelFault, memory.MemoryFault, OSError) as fault:
        better = translate(fault)
        assert better is not None
        raise better from fault
