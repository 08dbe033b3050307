"""Files that are not ready to be used yet. Which these are is forgotten when the service stops."""

from overlay.server.objects import File
from overlay.server.refusals import Refusal


class PendingFiles:
    """The files that are `pending`, and until when, in seconds since 1970."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[float, bool]] = {}

    def __bool__(self) -> bool:
        return bool(self._files)

    def add(self, file_id: str, until: float, *, refused: bool) -> None:
        """`refused`: until then, no batch can name the file."""
        self._files[file_id] = until, refused

    def shown(self, file: File, now: float) -> File:
        """The file with the status that it has now."""
        until, _ = self._files.get(file.id, (now, False))
        if until > now:
            file.status = "pending"
        return file

    def check(self, file_id: str, now: float) -> None:
        """Raises `Refusal` for a file that a batch cannot name yet.

        It is known that Azure refuses, but not in which words: https://github.com/openai/openai-dotnet/issues/312
        """
        until, refused = self._files.get(file_id, (now, False))
        if refused and until > now:
            raise Refusal(
                400,
                f"The input file {file_id} is pending. Please try again once it has been processed.",
                param="input_file_id",
                code="file_pending",
            )
