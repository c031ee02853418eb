"""The one error a user can cause: what is wrong, and the next step."""


class GpupruneError(Exception):
    """Something the user can put right; the command line prints it without a traceback."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint
