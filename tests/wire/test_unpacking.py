"""Answers that are compressed though nobody asked for it."""

import gzip
import tracemalloc
import zlib

import pytest
from support.raw_server import answer

from overlay import APIStatusError, InvalidResponseError
from overlay.wire.unpacking import UnpackedStream

CONTENT = b'{"custom_id": "a", "n": 1}\n' * 20_000
BATCH = b'{"id": "batch_1", "status": "completed"}'


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKINGS = {
    "gzip": gzip.compress,
    "GZIP": gzip.compress,
    "x-gzip": lambda data: gzip.compress(data[:10]) + gzip.compress(data[10:]),
    " gzip ": lambda data: gzip.compress(data) + b"\0" * 100,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
}
each_packing = pytest.mark.parametrize(("encoding", "pack"), PACKINGS.items(), ids=PACKINGS)


@each_packing
def test_json_is_unpacked(raw_server, connect, encoding, pack):
    api = connect(raw_server(lambda request: answer(pack(BATCH), content_encoding=encoding)).base_url)
    assert api.batches.retrieve("batch_1").succeeded


@each_packing
def test_an_error_says_its_words(raw_server, connect, encoding, pack):
    refused = pack(b'{"error": {"message": "No such batch"}}')
    api = connect(raw_server(lambda request: answer(refused, 404, content_encoding=encoding)).base_url)
    with pytest.raises(APIStatusError, match="No such batch"):
        api.batches.retrieve("batch_1")


@each_packing
def test_an_error_in_place_of_content_says_its_words(raw_server, connect, tmp_path, encoding, pack):
    refused = pack(b'{"error": {"message": "Not for you"}}')
    api = connect(raw_server(lambda request: answer(refused, 403, content_encoding=encoding)).base_url)
    with pytest.raises(APIStatusError, match="Not for you"):
        api.files.download("file-1", tmp_path / "out")


@each_packing
def test_a_redirect_with_a_compressed_body_is_followed(raw_server, connect, tmp_path, encoding, pack):
    def script(request):
        if request.path.endswith("/content"):
            return answer(pack(b"<p>Found</p>"), 302, location="/v1/signed", content_encoding=encoding)
        return answer(CONTENT)

    connect(raw_server(script).base_url).files.download("file-1", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == CONTENT


@each_packing
def test_content_is_unpacked(raw_server, connect, tmp_path, encoding, pack):
    def script(request):
        if not request.path.endswith("/content"):
            return answer({"id": "file-1"})
        return answer(pack(CONTENT), content_encoding=encoding)

    connect(raw_server(script).base_url).files.download("file-1", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == CONTENT


@each_packing
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_it_may_come_in_any_pieces(raw_server, connect, tmp_path, chunk, encoding, pack):
    content = CONTENT[:2700] if chunk == 1 else CONTENT
    packed = pack(content)

    def script(request):
        if not request.path.endswith("/content"):
            return answer({"id": "file-1"})
        head = answer(b"", content_length=None, content_encoding=encoding)
        return iter([head, *(packed[at : at + chunk] for at in range(0, len(packed), chunk))])

    connect(raw_server(script).base_url).files.download("file-1", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content


@each_packing
@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_piece_is_too_small(encoding, pack, size):
    packed = pack(CONTENT[:2700])
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    stream = UnpackedStream(pieces, encoding.strip().lower(), lambda: "GET /files/file-1/content")
    assert b"".join(stream) == CONTENT[:2700]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:100], lambda data: b"x" + data]
)
def test_a_content_that_is_cut_or_damaged_is_no_file(raw_server, connect, tmp_path, damage):
    packed = damage(gzip.compress(CONTENT))

    def script(request):
        if not request.path.endswith("/content"):
            return answer({"id": "file-1"})
        return answer(packed, content_encoding="gzip")

    with pytest.raises(InvalidResponseError, match=r"compressed answer is (cut|damaged)"):
        connect(raw_server(script).base_url).files.download("file-1", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_broken_download_begins_anew_where_ranges_count_other_bytes(raw_server, connect, tmp_path):
    packed, tries = gzip.compress(CONTENT), []

    def script(request):
        if not request.path.endswith("/content"):
            return answer({"id": "file-1"})
        tries.append(request.headers.get("range"))
        cut = packed[: len(packed) // 2] if len(tries) == 1 else packed
        return answer(cut, content_length=len(packed), content_encoding="gzip", etag='"v1"')

    connect(raw_server(script).base_url).files.download("file-1", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert tries == [None, None]


def test_a_small_answer_that_holds_gigabytes_is_refused_in_little_memory(raw_server, connect, tmp_path):
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(300)) + packer.flush()

    def script(request):
        if request.path.endswith("/content") or "batches" in request.path:
            return answer(bomb, content_encoding="gzip")
        return answer({"id": "file-1"})

    api = connect(raw_server(script).base_url, max_retries=0)
    tracemalloc.start()
    with pytest.raises(InvalidResponseError, match="grows to more than 100 times"):
        api.files.download("file-1", tmp_path / "out")
    with pytest.raises(InvalidResponseError, match="larger than 8 MiB"):
        api.batches.retrieve("batch_1")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40_000_000
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "aes128gcm", "gzip;q=1"])
def test_what_cannot_be_unpacked_is_said(raw_server, connect, encoding, tmp_path):
    api = connect(
        raw_server(lambda request: answer(b"??", content_encoding=encoding)).base_url, max_retries=0
    )
    with pytest.raises(InvalidResponseError, match=f"encoded as {encoding}, which was not requested"):
        api.batches.retrieve("batch_1")
    with pytest.raises(InvalidResponseError, match="not requested"):
        api.files.download("file-1", tmp_path / "out")


def test_results_are_read_from_a_compressed_file(raw_server, connect):
    line = b'{"custom_id": "a", "response": {"status_code": 200, "body": {"n": 1}}, "error": null}\n'

    def script(request):
        if request.path.endswith("/content"):
            return answer(gzip.compress(line), content_encoding="gzip")
        return answer({"id": "batch_1", "status": "completed", "output_file_id": "file-2"})

    api = connect(raw_server(script).base_url)
    assert [each.custom_id for each in api.batches.results("batch_1", ordered=False)] == ["a"]
