"""llmos: an operating system whose processor is a language model. Nothing is imported here, on purpose."""

__version__ = "0.1.0"
