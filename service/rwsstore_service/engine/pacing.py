"""When it pays to wait a little for more jobs."""

__all__ = ["Pace"]

_SHARE = 0.5
_MOST_PASSED = 32


class Pace:
    """Knows how long the next batch may wait for the clients of the last one.

    Clients that were answered together ask again together, if not all at the same moment. So after
    a batch of several jobs, and never else, the next one waits for as many, and as came meanwhile:
    no longer than a bound after that batch ended, nor than half of what it took. One batch of all
    takes less time than two that take turns, each computed while the others' requests are read by
    the same cores. A wait that brings nobody is not repeated after the next batch, then not after
    the next two, four, up to 32, until one brings somebody again.

    Not safe to use from several threads: who shares it holds a lock.

    Args:
        longest: seconds; 0 for never.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._expected, self._images, self._until = 0, 0, 0.0
        self._pass, self._passed = 0, 0

    @property
    def images(self) -> int:
        """Images of those that are expected, if they ask for as many again."""
        return self._images

    def ended(self, jobs: int, waiting: int, seconds: float, now: float, images: int) -> None:
        """Tell that a batch ended.

        Args:
            jobs: that were answered.
            waiting: that came meanwhile; their clients and those just answered may go together.
            seconds: that it took.
            now: when it ended.
            images: of all these jobs.
        """
        self._expected, self._images, self._until = jobs + waiting, images, now
        if jobs < 2:
            return
        if self._passed < self._pass:
            self._passed += 1
        else:
            self._until += min(self._longest, seconds * _SHARE)

    def until(self, waiting: int, began: float, deadline: float) -> float:
        """When to wait no longer for more jobs.

        Args:
            waiting: jobs that are there.
            began: when the wait began; none is longer than the bound from there, though another
                lane's batch ends meanwhile.
            deadline: of the most urgent of them; half of its time is left to it.

        Returns:
            A time; not after `began` if there is nothing to wait for.
        """
        if waiting >= self._expected:
            return began
        return min(self._until, began + self._longest, began + (deadline - began) / 2)

    def waited(self, gained: int) -> None:
        """Tell how many jobs came while it waited."""
        self._passed = 0
        self._pass = 0 if gained else min(_MOST_PASSED, self._pass * 2 or 1)
