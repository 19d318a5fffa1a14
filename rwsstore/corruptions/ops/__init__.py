"""Numerical building blocks that several corruptions share: pure functions on tensors."""
