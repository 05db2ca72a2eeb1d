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


class BadGrammar(ModelFault):
    """A grammar or schema cannot be used."""


class BadTemplate(ModelFault):
    """A chat template cannot be rendered."""


class EngineFault(ModelFault):
    """The engine was asked for something impossible, or failed at a step."""
