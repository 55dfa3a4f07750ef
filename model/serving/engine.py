"""One model's thread: requests wait, join the batch while it writes, and leave when they are finished, cancelled or late.

Continuous batching (Yu et al. 2022): a row is free as soon as its reply ends, and the next in line takes it before the next token.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from model.inference.batch import Batch
from model.inference.reply import ReplyText
from model.inference.request import Request, Score
from model.serving.served import ApiError, ServeLimits, busy


@dataclass(frozen=True)
class Piece:
    """A token of a reply, and the text that became final with it."""

    choice: int
    token: int
    text: str
    score: Score | None


@dataclass(frozen=True)
class End:
    """The end of a reply: the text that was held back, why it ended, and the fault if it could not be written."""

    choice: int
    text: str
    reason: str  # stop, length or error
    fault: str = ""
    status: int = 500


Event = Piece | End


@dataclass(eq=False)
class Generation:
    """One reply on its way. `deliver` is called on the engine's thread for each event."""

    choice: int
    request: Request
    text: ReplyText
    deliver: Callable[[Event], None]
    asked: float = field(default_factory=time.monotonic)
    joined: float | None = None
    cancelled: bool = False

    def __post_init__(self) -> None:
        self.request.watch = self._written

    def _written(self, token: int) -> bool:
        text = self.text.push(token)
        stop = token in self.request.stops
        if not stop:
            self.deliver(Piece(self.choice, token, text, self.request.scores[-1] if self.request.scores else None))
        return self.text.stopped

    def end(self, *, late: bool = False) -> None:
        """Deliver the end of a reply that was written, or its fault."""
        if self.request.fault:
            self.fail(f"the model could not write: {self.request.fault}", 500)
            return
        fault = str(getattr(self.request.constraint, "fault", ""))
        if fault:
            self.deliver(End(self.choice, "", "error", f"the grammar could not be followed to its end: {fault}", 400))
            return
        stopped = self.request.ended or self.text.stopped
        self.deliver(End(self.choice, self.text.finish(), "stop" if stopped and not late else "length"))

    def fail(self, fault: str, status: int) -> None:
        """Deliver the end of a reply that could not be written."""
        self.deliver(End(self.choice, "", "error", fault, status))


class Engine:
    """The thread that writes. `make_batch` returns an empty batch, at the start and after a fault.

    steps, written, faults: passes that succeeded, tokens of finished replies, replies and passes that failed. proposed, accepted: tokens of
    a draft.
    """

    def __init__(self, make_batch: Callable[[], Batch], limits: ServeLimits, name: str = "model") -> None:
        self._make_batch, self._limits = make_batch, limits
        self._waiting: deque[Generation] = deque()
        self._at_work: dict[int, Generation] = {}
        self._wake = threading.Condition()
        self._closed = False
        self._batch = make_batch()
        self.steps = self.written = self.faults = self.proposed = self.accepted = 0
        self._thread = threading.Thread(target=self._run, name=f"engine-{name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """How many replies wait for a row."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many replies are being written."""
        return len(self._at_work)

    def submit(self, generations: Sequence[Generation]) -> None:
        """Queue replies for rows. Raise ApiError if the queue can't take all of them."""
        with self._wake:
            if self._closed:
                raise ApiError(503, "the server is shutting down")
            free = self._limits.rows - len(self._at_work)
            if len(self._waiting) + len(generations) > self._limits.waiting + max(0, free):
                raise busy(f"{len(self._waiting)} replies wait already, and no more than {self._limits.waiting} may; try again later")
            self._waiting.extend(generations)
            self._wake.notify()

    def cancel(self, generations: Sequence[Generation]) -> None:
        """Drop abandoned replies at the next step."""
        with self._wake:
            for generation in generations:
                generation.cancelled = True
            self._wake.notify()

    def close(self) -> None:
        """End the thread; what is not written fails."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(10)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._at_work or self._closed)
                if self._closed:
                    left = [*self._at_work.values(), *self._waiting]
                    self._at_work.clear()
                    self._waiting.clear()
                    break
                joining = self._next_in_line()
            try:
                self._advance(joining)
            except Exception as error:  # noqa: BLE001 - one pass that failed must not end the server
                self._fail(f"{type(error).__name__}: {error}")
        for generation in left:
            generation.fail("the server is shutting down", 503)

    def _next_in_line(self) -> list[Generation]:
        """Take as many of those that wait as there are rows; drop who left, and turn away who waited too long."""
        now, joining = time.monotonic(), list[Generation]()
        late = [waiting for waiting in self._waiting if now - waiting.asked > self._limits.queue_seconds and not waiting.cancelled]
        self._waiting = deque(waiting for waiting in self._waiting if not waiting.cancelled and waiting not in late)
        for generation in late:
            generation.fail(f"no row became free within {self._limits.queue_seconds:g} seconds; try again later", 503)
        while self._waiting and len(self._at_work) < self._limits.rows:
            generation = self._waiting.popleft()
            generation.joined = now
            self._at_work[id(generation.request)] = generation
            joining.append(generation)
        return joining

    def _advance(self, joining: Sequence[Generation]) -> None:
        now = time.monotonic()
        for generation in list(self._at_work.values()):
            late = generation.joined is not None and now - generation.joined > self._limits.reply_seconds
            if (generation.cancelled or late) and generation not in joining:
                self._batch.leave(generation.request)
                del self._at_work[id(generation.request)]
                if not generation.cancelled:
                    generation.end(late=True)
        proposed, accepted = self._batch.proposed, self._batch.accepted
        finished = self._batch.join([generation.request for generation in joining])
        finished += self._batch.step()
        self.steps += 1
        self.proposed += self._batch.proposed - proposed
        self.accepted += self._batch.accepted - accepted
        for request in finished:
            self.faults += bool(request.fault)
            self.written += len(request.tokens)
            self._at_work.pop(id(request)).end()

    def _fail(self, fault: str) -> None:
        """Fail all replies at work and begin with an empty batch."""
        self.faults += 1
        failed = list(self._at_work.values())
        self._at_work.clear()
        self._batch = self._make_batch()
        for generation in failed:
            generation.fail(f"the model could not write: {fault}", 500)
