"""Errors as RFC 9457 problems: one shape on every route."""

__all__ = [
    "MEDIA_TYPE",
    "PROBLEMS",
    "Problem",
    "ProblemError",
    "ProblemKind",
    "describe",
    "problem_examples",
    "problem_response",
    "problem_responses",
]

from rwsstore_service.problems.problem import (
    MEDIA_TYPE,
    PROBLEMS,
    Problem,
    ProblemError,
    ProblemKind,
    describe,
    problem_examples,
    problem_response,
    problem_responses,
)
