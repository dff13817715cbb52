"""A session folder as its supervisor keeps it: the transcript, its marks, its rotation, and whether it is over."""

from pathlib import Path


class Session:
    """Writes what a supervisor would; `total` counts the bytes of the transcript."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.older = folder, folder / "output.log", folder / "output.log.1"
        folder.mkdir(parents=True, exist_ok=True)
        self.over, self.total = False, 0

    def prints(self, data: bytes | str) -> None:
        """The program prints this."""
        data = data.encode() if isinstance(data, str) else data
        with self.log.open("ab") as file:
            file.write(data)
        self.total += len(data)

    def resizes(self, cols: int, rows: int) -> None:
        """The terminal gets another size."""
        self.prints(f"\x1b_looop;size={cols}x{rows}\x1b\\")

    def rotates(self, cols: int = 80, rows: int = 24, modes: str = "") -> None:
        """The log has reached its bound: another generation begins, with its mark and the modes in force."""
        self.log.replace(self.older)
        self.prints(f"\x1b_looop;size={cols}x{rows};offset={self.total}\x1b\\{modes}")

    def ends(self) -> None:
        """Nothing more will be printed."""
        self.over = True
        (self.folder / "status.json").write_text('{"state": "exited"}')

    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.over
