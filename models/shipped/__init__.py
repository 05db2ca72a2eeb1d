"""Files made by the workshop and shipped with llmos, each with its card."""
