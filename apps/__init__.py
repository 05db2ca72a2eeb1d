"""Userland: a folder for each app; `system` is where the machine is put together."""
