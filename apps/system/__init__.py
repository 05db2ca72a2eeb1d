"""Boot, registry, CLI, shell: the one place that may import everything."""
