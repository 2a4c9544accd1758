"""The API that the CLI speaks (docs/api.md), without a process for each call.

    with Connection(peer.socket, timeout=5) as connection:
        connection.call("config.get", {"name": "greeting", "consistent": True})["data"]

A call is waited for; notes are passed over. ApiError is the peer's answer, OSError (Timeout among
them) that it did not come: the connection is of no use then, and what was asked may still be done.
"""

import socket
import struct

FRAME_BYTES_MAX = 1 << 20
REQUEST, ANSWER = 0, 1


class ApiError(Exception):
    def __init__(self, code, message, hint):
        super().__init__(f"{message} ({code})")
        self.code, self.message, self.hint = code, message, hint


def pack(value):
    """MessagePack of what calls are made of."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if 0 <= value < 128:
            return bytes([value])
        return struct.pack(">BQ", 0xCF, value) if value >= 0 else struct.pack(">Bq", 0xD3, value)
    if isinstance(value, str):
        data = value.encode()
        return struct.pack(">BI", 0xDB, len(data)) + data
    if isinstance(value, bytes):
        return struct.pack(">BI", 0xC6, len(value)) + value
    if isinstance(value, (list, tuple)):
        return struct.pack(">BI", 0xDD, len(value)) + b"".join(map(pack, value))
    if isinstance(value, dict):
        items = b"".join(pack(key) + pack(item) for key, item in value.items())
        return struct.pack(">BI", 0xDF, len(value)) + items
    raise TypeError(f"{value!r} can't be packed")


NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
           0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
# How long the size is, of bytes, texts, lists and maps.
SIZES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


class Unpacker:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        if size > len(self.data) - self.at:
            raise ValueError("a value is cut short")
        self.at += size
        return self.data[self.at - size:self.at]

    def value(self):
        kind = self.take(1)[0]
        if kind < 0x80:
            return kind
        if kind >= 0xE0:
            return kind - 256
        if kind in CONSTANTS:
            return CONSTANTS[kind]
        if kind in NUMBERS:
            form = NUMBERS[kind]
            return struct.unpack(form, self.take(struct.calcsize(form)))[0]
        if kind < 0x90:
            return self.map(kind & 15)
        if kind < 0xA0:
            return [self.value() for _ in range(kind & 15)]
        if kind < 0xC0:
            return self.take(kind & 31).decode()
        size = int.from_bytes(self.take(SIZES[kind]), "big")
        if kind <= 0xC6:
            return self.take(size)
        if kind <= 0xDB:
            return self.take(size).decode()
        return [self.value() for _ in range(size)] if kind <= 0xDD else self.map(size)

    def map(self, size):
        return {self.value(): self.value() for _ in range(size)}


class Connection:
    def __init__(self, path, timeout):
        self.calls = 0
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.socket.close()

    def _read(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionResetError("the peer closed the connection")
            data += more
        return data

    def _frame(self):
        size = int.from_bytes(self._read(4), "big")
        if size > FRAME_BYTES_MAX:
            raise ConnectionError("a frame that is too large")
        return Unpacker(self._read(size)).value()

    def call(self, method, params=None):
        self.calls += 1
        frame = pack([REQUEST, self.calls, method, params or {}])
        self.socket.sendall(len(frame).to_bytes(4, "big") + frame)
        while True:
            kind, number, *rest = self._frame()
            if kind == ANSWER and number == self.calls:
                error, result = rest
                if error:
                    raise ApiError(*error)
                return result
