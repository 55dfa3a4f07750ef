"""Messages between a run and the process that executes a stage for it: JSON objects, each preceded by its length."""

from __future__ import annotations

import json
import socket
import struct
from queue import SimpleQueue
from threading import Thread
from typing import Any

LENGTH = struct.Struct(">Q")
Message = dict[str, Any]


class Channel:
    """Our end of a connection, for one thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, message: Message) -> None:
        """Write one message. Raises OSError if the other end is gone."""
        body = json.dumps(message).encode()
        self._connection.sendall(LENGTH.pack(len(body)) + body)

    def receive(self) -> Message | None:
        """Return the next message, or None if the other end is gone."""
        head = self._read(LENGTH.size)
        body = self._read(LENGTH.unpack(head)[0]) if head is not None else None
        if body is None:
            return None
        message: Message = json.loads(body)
        return message

    def _read(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            try:
                part = self._connection.recv(min(size - len(parts), 1 << 20))
            except ConnectionResetError:
                return None
            if not part:
                return None
            parts += part
        return bytes(parts)


class Outbox:
    """Sends messages from any thread, whole and in order: a separate thread writes them, which no signal interrupts."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._queue: SimpleQueue[Message | None] = SimpleQueue()
        self._writer = Thread(target=self._write, daemon=True, name="folio-outbox")
        self._writer.start()

    def put(self, message: Message) -> None:
        """Send a message soon."""
        self._queue.put(message)

    def close(self) -> None:
        """Return when everything is sent, or the other end is gone."""
        self._queue.put(None)
        self._writer.join()

    def _write(self) -> None:
        while (message := self._queue.get()) is not None:
            try:
                self._channel.send(message)
            except OSError:
                return  # the run is gone, and this process is about to be killed
