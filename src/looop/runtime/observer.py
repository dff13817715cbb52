"""Reports of changed files by a library, where the kernel is not Linux: its thread writes to a pipe of ours."""

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Observer:
    """Reports of the folders that are watched, as runtime/inotify.py gives them; it knows one kind: everything."""

    def __init__(self) -> None:
        """Raises OSError, and RuntimeError where no thread is to be had."""
        import logging  # noqa: TID251  to silence it: an emitter that ends complains on stderr

        from watchdog import observers

        logging.getLogger("watchdog").setLevel(logging.CRITICAL)
        self._scheduled: dict[object, Any] = {}
        self._events: deque[tuple[Any, str]] = deque()
        self._observer: Any = observers.Observer()
        self._observer.start()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def fileno(self) -> int:
        return self._reader

    def watch(self, path: str, _kind: str) -> Any:
        watch = object()
        handler = _handler(path, lambda name: self._note(watch, name))
        self._scheduled[watch] = self._observer.schedule(handler, path, event_filter=_event_filter())
        return watch

    def unwatch(self, watch: Any) -> None:
        with suppress(KeyError):
            self._observer.unschedule(self._scheduled.pop(watch))

    def take(self) -> list[tuple[Any, str]]:
        with suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                pass
        return [self._events.popleft() for _ in range(len(self._events))]

    def close(self) -> None:
        self._observer.stop()
        self._observer.join()
        os.close(self._reader)
        os.close(self._writer)

    def _note(self, token: object, name: str) -> None:
        """Called from the observer's thread."""
        self._events.append((token, name))
        with suppress(BlockingIOError, OSError):
            os.write(self._writer, b"!")


def _handler(watched: str, note: Callable[[str], None]) -> Any:
    from watchdog.events import FileSystemEventHandler

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: Any) -> None:
            if event.is_directory:
                if event.src_path == watched:
                    note("")
                return
            for path in (event.src_path, event.dest_path):
                if path:
                    note(os.path.basename(path))

    return Handler()


def _event_filter() -> list[Any]:
    """Changes only: the beat's own reading must not wake it. Of folders, only that the watched one went."""
    from watchdog import events

    return [
        events.FileCreatedEvent,
        events.FileModifiedEvent,
        events.FileMovedEvent,
        events.FileDeletedEvent,
        events.FileClosedEvent,
        events.DirDeletedEvent,
    ]
