"""The processor and its workshop: engines, model files, formats. Imports nothing of ours."""
