"""The store's door: the only module other rooms import to get one. A backend is loaded when it is asked for."""

from looop.store.protocol import Store


def open_files(root: str) -> Store:
    """The store in the folder `root`, which is made by the first write."""
    from looop.store.files import FileStore

    return FileStore(root)


def open_memory() -> Store:
    """An empty store that goes with the process."""
    from looop.store.memory import MemoryStore

    return MemoryStore()


def open_overlay(base: Store) -> Store:
    """A store that shows `base`, keeps every change to itself and never touches `base`."""
    from looop.store.overlay import Overlay

    return Overlay(base)
