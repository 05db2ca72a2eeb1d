"""The machine behind HTTP, in the words of OpenAI's API: every request is a turn of a process."""
