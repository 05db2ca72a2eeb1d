"""A model behind a server that speaks OpenAI's protocol: asked over HTTP, on the event loop, with no thread."""
