"""Errors a user can cause or meet, and the exit code each one ends with (documented in docs/exit-codes.md)."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns to the shell."""

    OK = 0
    FAILED = 1  # failed at run time
    USAGE = 2  # wrong option, wrong config, missing file
    CHECK_FAILED = 3  # a requested check did not hold
    DIVERGED = 4  # training became non-finite
    BAD_DATA = 5  # bad or damaged data or artifact
    INTERRUPTED = 130  # SIGINT, checkpoint written
    TERMINATED = 143  # SIGTERM, checkpoint written


class RnncliError(Exception):
    """Base of every expected error; its text is one line: what, where (file:line:key), what to do."""

    exit_code = ExitCode.FAILED


class UsageError(RnncliError):
    """A wrong option, a missing file, an output folder that is in the way."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """A config file, `--set` or environment value that does not fit the schema."""


class CorpusError(RnncliError):
    """Input text or labels that cannot be used; names file:line where there is one."""

    exit_code = ExitCode.BAD_DATA


class ArtifactError(RnncliError):
    """A model file or run folder that is damaged, too new, or of the wrong kind."""

    exit_code = ExitCode.BAD_DATA


class CheckFailedError(RnncliError):
    """A check the user asked for did not hold."""

    exit_code = ExitCode.CHECK_FAILED


class DivergedError(RnncliError):
    """Loss or gradients became non-finite; the last good epoch is kept."""

    exit_code = ExitCode.DIVERGED


class InterruptedRunError(RnncliError):
    """SIGINT or SIGTERM arrived; the last finished epoch is in the checkpoint."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.INTERRUPTED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived; raised by the command line's handler so that whoever catches Ctrl-C cleans up for both."""

    exit_code = ExitCode.TERMINATED
