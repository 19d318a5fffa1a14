"""The half that is written; scripts/blocking_half.py makes the blocking one of it."""
