"""The nine operations that the SDK is built on, under its own names, whatever a document calls them."""

from dataclasses import dataclass

JSON = "application/json"
FORM = "multipart/form-data"
BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Operation:
    """One operation. `sends` and `answers` are media types; if it is `needed`, every document must have it."""

    id: str
    method: str
    path: str
    tag: str
    sends: str | None = None
    answers: str = JSON
    needed: bool = False

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path} ({self.id})"

    @property
    def class_name(self) -> str:
        return self.id[0].upper() + self.id[1:]


OPERATIONS = (
    Operation("createBatch", "post", "/batches", "batch", sends=JSON, needed=True),
    Operation("listBatches", "get", "/batches", "batch", needed=True),
    Operation("retrieveBatch", "get", "/batches/{batch_id}", "batch", needed=True),
    Operation("cancelBatch", "post", "/batches/{batch_id}/cancel", "batch", needed=True),
    Operation("createFile", "post", "/files", "files", sends=FORM),
    Operation("listFiles", "get", "/files", "files"),
    Operation("retrieveFile", "get", "/files/{file_id}", "files"),
    Operation("deleteFile", "delete", "/files/{file_id}", "files"),
    Operation("downloadFile", "get", "/files/{file_id}/content", "files", answers=BYTES),
)

# The lines of request and result files appear in no path. Documents had them until 2025.
LINES = ("BatchRequestInput", "BatchRequestOutput")
