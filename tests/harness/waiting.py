"""Waiting for something to become true, with a limit and no fixed sleeps."""
import time


def wait_until(look, limit: float, what: str, pause: float = 0.05):
    """Calls look() until it returns something true, and returns that. What it raises counts as 'not yet';
    the last answer or error stands in the failure."""
    end = time.monotonic() + limit
    while True:
        try:
            last = look()
            if last:
                return last
        except Exception as error:  # pylint: disable=broad-except
            last = f"{type(error).__name__}: {error}"
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit} s: {what}; last seen: {last!r}")
        time.sleep(pause)


def holds_for(look, seconds: float, what: str, pause: float = 0.1):
    """Fails as soon as look() is false within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert look(), f"did not hold for {seconds} s: {what}"
        time.sleep(pause)
