"""torchrun, as the launcher starts it: `python -m model.training.launch.torchrun` with torchrun's own arguments.

It is `torch.distributed.run` that dies with the launcher, and that reports which worker failed first.
"""

from __future__ import annotations

import signal
import sys

from model.training.launch.lifeline import STOPPED, die_with_launcher, report_exit


def main(arguments: list[str]) -> int:
    """Run the workers to their end; return the exit code."""
    die_with_launcher()
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    try:
        run(parse_args(arguments))  # type: ignore[no-untyped-call]
    except SignalException:
        return STOPPED
    except ChildFailedError as error:
        # Failures noticed in one second count as simultaneous. Then the worker that a signal killed is the cause: the others fail because
        # they miss it. SIGTERM is how torchrun itself ends the rest.
        rank, failure = min(
            error.failures.items(),
            key=lambda item: (item[1].timestamp, item[1].exitcode >= 0 or item[1].exitcode == -signal.SIGTERM),
        )
        report_exit(rank, failure.exitcode)
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
