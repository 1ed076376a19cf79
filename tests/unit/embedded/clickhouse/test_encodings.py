"""Content encodings, ClickHouse's compressed blocks and their checksum, Native blocks."""

from __future__ import annotations

import gzip
import sys
import zlib
from itertools import pairwise
from struct import Struct

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentide.embedded.clickhouse.block_compression import BLOCK_BYTES, BlockDecoder, BlockEncoder
from tokentide.embedded.clickhouse.cityhash import cityhash128
from tokentide.embedded.clickhouse.codecs import PIECE_BYTES, Decoder, choose_encoding, encoder
from tokentide.embedded.clickhouse.errors import ServerError
from tokentide.embedded.clickhouse.native import Column, NativeWriter

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESS = {"gzip": gzip.compress, "deflate": zlib.compress, "lz4": lz4.frame.compress, "zstd": zstd.compress}
DECOMPRESS = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "lz4": lz4.frame.decompress,
    "zstd": zstd.decompress,
}


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data cut at some places."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize("encoding", COMPRESS)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(min_value=0), max_size=4))
def test_what_is_encoded_decodes_again_however_it_is_cut(encoding, data, cuts):
    out = encoder(encoding)
    packed = b"".join(out.compress(piece) for piece in pieces(data, cuts)) + out.flush()
    assert DECOMPRESS[encoding](packed) == data
    decoder = Decoder(encoding)
    assert b"".join(part for piece in pieces(packed, cuts) for part in decoder.feed(piece)) == data
    decoder.finish()


@pytest.mark.parametrize("encoding", ["gzip", "lz4", "zstd"])
@given(
    parts=st.lists(st.binary(max_size=50), min_size=1, max_size=4),
    cuts=st.lists(st.integers(min_value=0), max_size=4),
)
def test_several_frames_in_a_row_are_one_body(encoding, parts, cuts):
    packed = b"".join(COMPRESS[encoding](part) for part in parts)
    decoder = Decoder(encoding)
    assert b"".join(part for piece in pieces(packed, cuts) for part in decoder.feed(piece)) == b"".join(parts)
    decoder.finish()


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_bomb_comes_out_in_bounded_pieces(encoding):
    packed = COMPRESS[encoding](bytes(20 << 20))
    sizes = [len(piece) for piece in Decoder(encoding).feed(packed)]
    assert sum(sizes) == 20 << 20
    assert max(sizes) <= PIECE_BYTES


@pytest.mark.parametrize("encoding", COMPRESS)
def test_garbage_and_truncation_are_errors(encoding):
    with pytest.raises(ServerError) as refusal:
        list(Decoder(encoding).feed(b"this is not compressed at all"))
    assert refusal.value.code == 271
    decoder = Decoder(encoding)
    list(decoder.feed(COMPRESS[encoding](b"x" * 1000)[:-5]))
    with pytest.raises(ServerError):
        decoder.finish()


def test_an_empty_body_of_any_encoding_is_empty():
    decoder = Decoder("gzip")
    assert list(decoder.feed(b"")) == []
    decoder.finish()


def test_an_unknown_encoding_names_the_known_ones():
    with pytest.raises(ServerError, match="gzip, deflate, lz4, zstd"):
        Decoder("br")


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip", "gzip"),
        ("lz4,zstd,gzip,deflate", "lz4"),
        ("br, gzip;q=0.1, zstd;q=0", "gzip"),
        ("gzip; q=0", None),
        ("", None),
        ("identity", None),
        ("*", None),
        ("GZIP", "gzip"),
    ],
)
def test_the_encoding_of_a_response(accepted, expected):
    assert choose_encoding(accepted) == expected


# Made with github.com/go-faster/city, which clickhouse-go uses: bytes (31 i + 7) mod 251 for i in 0..n-1.
HASHES = {
    0: "2b9ac064fc9df03d291ee592c340b53c",
    1: "400ece9c375be58bba1c8b474447ab05",
    3: "94f2b07bdade07e4bdf1276e140d3a0a",
    4: "4f12ae6320cb5d90c593a554595bfd57",
    7: "13297cab5924bad760a43c510b43dd53",
    8: "a036812047caa4f5abe5463d5b57d43d",
    9: "2b9470279dc01af4668ebf10d9268dc3",
    15: "987d04d3bb16d10ad8f79a9e60eed46f",
    16: "ebdcac65f6f7c15dc0d5fc4028304ad2",
    17: "97b6732755336f281931d5c31edbcc5e",
    24: "1d03ca1e0fd7f4b2d43ad959579851ca",
    25: "a0c57472a9e7ff2a8ce33cf2b551b79d",
    31: "242580ccba2b00649e56706179ae223d",
    32: "82f59eca80d40fcc08d7ddd1ff7157c1",
    33: "f8f1ade7ee28b7cae9b5a638e9183c72",
    40: "96c1d1f7516f6f5f830d1d2728673862",
    48: "4bf9a7155f4848f422d390072f6e38b2",
    64: "fba23c9fe5b80748939d5fb253037981",
    100: "aada6514d608d319cda855c1318dedd6",
    127: "1f1d61e56a8addbc36915b9bd83ee77f",
    128: "281543ab330e470239939403bc8421d2",
    143: "83ea2b366a2d649d5826576be4fce29a",
    144: "e78050dc26a62164bbc43a9aa0e04e09",
    145: "cfb167973e773ed501e65d2ffa1d83e9",
    160: "6d8adb1bac9341923abdc725f6c516ea",
    200: "34be7be004941b9f2d27be2ba9700f4c",
    255: "512ef62786869fe0e118419da87eb7f4",
    256: "4cec54071c0bac76f679cf01f42e2ac3",
    272: "3159a281694d163ee9dd55ecc35c68af",
    300: "bfb63ebc3cf79db62aa3c365a3671fb7",
    400: "70f8c54218941720ec5dfb354c8f0faf",
    1000: "341c29e3286eeb2e1c6092034fe1c0b7",
    4096: "57e27d6d8c0b8d4674e95e6ef3e0016b",
    65536: "4c8c97f6620d0ee5d46362de1de36a31",
}


@pytest.mark.parametrize("length", HASHES)
def test_the_checksum_is_that_of_clickhouse(length):
    data = bytes((31 * at + 7) % 251 for at in range(length))
    assert cityhash128(data).hex() == HASHES[length]


@pytest.mark.parametrize("method", ["LZ4", "ZSTD"])
@given(data=st.binary(max_size=500), cuts=st.lists(st.integers(min_value=0), max_size=4))
def test_blocks_are_read_again_however_they_are_cut(method, data, cuts):
    out = BlockEncoder(method)
    packed = b"".join(out.compress(piece) for piece in pieces(data, cuts)) + out.flush()
    decoder = BlockDecoder()
    assert b"".join(part for piece in pieces(packed, cuts) for part in decoder.feed(piece)) == data
    decoder.finish()


def test_no_block_is_larger_than_clickhouse_s():
    out = BlockEncoder()
    packed = out.compress(bytes(3 * BLOCK_BYTES + 5)) + out.flush()
    sizes = [len(block) for block in BlockDecoder().feed(packed)]
    assert sizes == [BLOCK_BYTES, BLOCK_BYTES, BLOCK_BYTES, 5]


def block(method: int, packed: bytes, data_bytes: int) -> bytes:
    body = Struct("<BII").pack(method, len(packed) + 9, data_bytes) + packed
    return cityhash128(body) + body


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (block(0x99, b"x", 1), 89),
        (block(0x02, b"xy", 1), 271),
        (block(0x82, b"\xff\xff", 5), 271),
        (block(0x90, b"nonsense", 5), 271),
        (block(0x90, zstd.compress(bytes(1000)), 5), 271),
        (bytes(16) + Struct("<BII").pack(0x02, 10, 1) + b"x", 40),
        (bytes(16) + Struct("<BII").pack(0x02, 3, 1) + b"x", 271),
        (bytes(16) + Struct("<BII").pack(0x02, 1 << 31, 1) + b"x", 271),
        (bytes(16) + Struct("<BII").pack(0x02, 10, 1 << 31) + b"x", 271),
    ],
)
def test_damaged_blocks_are_errors(raw, code):
    with pytest.raises(ServerError) as refusal:
        list(BlockDecoder().feed(raw))
    assert refusal.value.code == code


def test_a_block_without_compression_is_read():
    assert list(BlockDecoder().feed(block(0x02, b"plain", 5))) == [b"plain"]


# --- Native


COLUMNS = [Column("n", "UInt8"), Column("ü", "String")]
U64 = Struct("<Q")


def buffers(*blocks: tuple[int, list[bytes]]) -> bytes:
    """The format `Buffers`: rows and columns' bytes of each block."""
    return b"".join(
        U64.pack(len(columns))
        + U64.pack(rows)
        + b"".join(U64.pack(len(column)) + column for column in columns)
        for rows, columns in blocks
    )


def native(revision: int, *blocks: tuple[int, list[bytes]]) -> bytes:
    flag = b"\0" if revision >= 54454 else b""
    heads = [b"\x01n\x05UInt8" + flag, b"\x02\xc3\xbc\x06String" + flag]
    return b"".join(
        b"\x01\x00\x02\xff\xff\xff\xff\x00\x02" + bytes([rows]) + b"".join(map(bytes.__add__, heads, columns))
        for rows, columns in blocks
    )


BLOCKS = [(2, [b"\x01\x02", b"\x01a\x00"]), (1, [b"\x03", b"\x00"]), (3, [b"abc", b"\x00" * 3])]


@pytest.mark.parametrize("revision", [1, 54453, 54454, 54515])
@given(cuts=st.lists(st.integers(min_value=0), max_size=6))
def test_native_blocks_however_the_buffers_are_cut(revision, cuts):
    writer = NativeWriter(COLUMNS, revision)
    data = b"".join(out for piece in pieces(buffers(*BLOCKS), cuts) for out in writer.feed(piece))
    assert data + writer.finish() == native(revision, *BLOCKS)


def test_a_result_without_blocks_tells_its_columns():
    assert NativeWriter(COLUMNS, 1).finish() == native(1, (0, [b"", b""]))


def test_many_rows_have_a_longer_number():
    writer = NativeWriter([Column("n", "UInt8")], 1)
    data = b"".join(writer.feed(buffers((300, [bytes(300)]))))
    assert data.startswith(b"\x01\x00\x02\xff\xff\xff\xff\x00\x01\xac\x02\x01n")


def test_a_block_of_another_shape_is_an_error():
    with pytest.raises(ValueError, match="3 columns"):
        list(NativeWriter(COLUMNS, 1).feed(buffers((1, [b"", b"", b""]))))
