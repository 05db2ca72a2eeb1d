"""Mechanism: process table, scheduler, sandbox, signals, limits, meters."""
