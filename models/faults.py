"""What can go wrong with a model, its file or the engine; the kernel translates these for users."""


class ModelFault(Exception):
    """Base: ``message`` is one line, ``hint`` says what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Damaged(ModelFault):
    """The file is not a sound GGUF; the message says where."""


class Unsupported(ModelFault):
    """The architecture or a feature is not one that the engine serves."""


class NoSuchModel(ModelFault):
    """No model of that name, or no such file."""


class TooLong(ModelFault):
    """A prompt of ``tokens`` does not fit into ``room`` tokens."""

    def __init__(self, tokens: int, room: int) -> None:
        super().__init__(f"{tokens} tokens do not fit into {room}", hint=f"shorten it by {tokens - room} tokens")
        self.tokens = tokens
        self.room = room


class Full(ModelFault):
    """The disk is full or may not be written."""


class Remote(ModelFault):
    """A hub or the network failed."""


class ServerFault(Remote):
    """A server of models failed. ``again``: asking once more may help; ``wait``: the seconds it asks us to wait."""

    def __init__(self, message: str, *, hint: str = "", again: bool = False, wait: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.again = again
        self.wait = wait


class TooSlow(ServerFault):
    """A server gave no token within the time it has for one."""


class Told(ServerFault):
    """A server is alive, and says that it cannot serve just now."""


class Resting(Remote):
    """A server is not asked for another ``seconds``, since it kept failing."""

    def __init__(self, message: str, *, hint: str = "", seconds: float) -> None:
        super().__init__(message, hint=hint)
        self.seconds = seconds


class Refused(ModelFault):
    """What was asked for is not something that this model or its server does."""


class BadGrammar(ModelFault):
    """A grammar or schema cannot be used."""


class BadTemplate(ModelFault):
    """A chat template cannot be rendered."""


class EngineFault(ModelFault):
    """The engine was asked for something impossible, or failed at a step."""
