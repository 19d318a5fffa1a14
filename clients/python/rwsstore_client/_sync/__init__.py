# Generated from _async/__init__.py by scripts/blocking_half.py
"""The half that is written; scripts/blocking_half.py makes the blocking one of it."""
