"""Reads golden.jsonl on standard input and decodes each value as a reader in
Python would, then compares it with what is expected. Exits 1 if one differs."""

import gzip
import io
import json
import sys

import cbor2
import msgpack
import zstandard


def expand(value):
    """Undoes a compression, if the first bytes say that there is one."""
    if value.startswith(b"\x1f\x8b"):
        return gzip.decompress(value)
    if value.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompress(value)
    return value


def read_cbor(value):
    stream = io.BytesIO(value)
    result = cbor2.load(stream)
    assert not stream.read(), "bytes behind the value"
    return result


decoders = {
    "json": json.loads,
    "msgpack": lambda value: msgpack.unpackb(value, strict_map_key=True),
    "hash": lambda value: msgpack.unpackb(value),
    "cbor": read_cbor,
    "text": lambda value: value.decode("utf-8"),
}

cases, wrong = 0, 0
for line in sys.stdin:
    case = json.loads(line)
    want = repr(eval(case["python"], {"nan": float("nan"), "inf": float("inf")}))
    try:
        got = repr(decoders[case["format"]](expand(bytes.fromhex(case["value"]))))
    except Exception as error:
        got = repr(error)
    cases += 1
    if got != want:
        wrong += 1
        print(f"{case['name']} as {case['format']}:\n got {got}\nwant {want}")
print(f"{cases} cases, {wrong} wrong")
sys.exit(wrong > 0)
