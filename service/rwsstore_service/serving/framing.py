"""What counts as a request: h11's reading of HTTP/1, and what we refuse beyond it."""

__all__ = ["StrictConnection"]

import h11

from rwsstore_service.problems import ProblemError

# A chunk costs a client six bytes and the event loop five microseconds. After the first thousand,
# chunks that are this small on average are no body that anybody means to send.
_FREE_CHUNKS = 1024
_LEAST_AVERAGE_CHUNK = 64


class StrictConnection(h11.Connection):
    """The server's half of an HTTP/1 connection; refuses what intermediaries read differently.

    Beyond what h11 refuses: a message with two framings (Content-Length and Transfer-Encoding),
    chunks in HTTP/1.0, other versions than 1.0 and 1.1, a WebSocket, headers over the limit that
    came in one piece, and bodies of very many tiny chunks.

    Attributes:
        refusal: the problem that the latest refused bytes are; None before.
    """

    def __init__(self, max_header_bytes: int) -> None:
        super().__init__(h11.SERVER, max_header_bytes)
        self.refusal: ProblemError | None = None
        self._max_header_bytes = max_header_bytes
        self._chunks = 0
        self._chunk_bytes = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next thing that the client said.

        Raises:
            h11.RemoteProtocolError: it is not HTTP as we take it; `refusal` says why.
        """
        in_headers = self.their_state is h11.IDLE
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                self._check_request(event)
            elif isinstance(event, h11.Data):
                self._check_chunks(event)
        except h11.RemoteProtocolError as error:
            self.refusal = self._describe(error, in_headers=in_headers)
            raise
        return event

    def _check_request(self, request: h11.Request) -> None:
        self._chunks = self._chunk_bytes = 0
        headers = dict(request.headers)
        if self._size(request) > self._max_header_bytes:
            raise h11.RemoteProtocolError("headers too long", error_status_hint=431)
        if request.http_version not in (b"1.0", b"1.1"):
            raise h11.RemoteProtocolError("neither HTTP/1.0 nor HTTP/1.1")
        if b"transfer-encoding" in headers and b"content-length" in headers:
            raise h11.RemoteProtocolError("both Content-Length and Transfer-Encoding")
        if b"transfer-encoding" in headers and request.http_version == b"1.0":
            raise h11.RemoteProtocolError("Transfer-Encoding in HTTP/1.0")
        if headers.get(b"upgrade", b"").lower() == b"websocket":
            raise h11.RemoteProtocolError("there are no WebSockets here")

    def _size(self, request: h11.Request) -> int:
        line = len(request.method) + len(request.target) + len(" HTTP/1.1\r\n") + 1
        fields = sum(len(name) + len(value) + len(": \r\n") for name, value in request.headers)
        return line + fields + len("\r\n")

    def _check_chunks(self, data: h11.Data) -> None:
        self._chunks += data.chunk_start
        self._chunk_bytes += len(data.data)
        if (self._chunks - _FREE_CHUNKS) * _LEAST_AVERAGE_CHUNK > self._chunk_bytes:
            raise h11.RemoteProtocolError(
                f"{self._chunks} chunks for {self._chunk_bytes} bytes; send larger ones"
            )

    def _describe(self, error: h11.RemoteProtocolError, *, in_headers: bool) -> ProblemError:
        limit = self._max_header_bytes
        if error.error_status_hint == 431 and in_headers:
            return ProblemError(
                "headers-too-large",
                f"the request's line and headers have more than {limit} bytes",
                limit=limit,
            )
        if error.error_status_hint == 431:
            return ProblemError("bad-request", f"a chunk's line has more than {limit} bytes")
        # h11 quotes the line after a colon; a line may hold a token and is not sent back.
        reason = str(error).partition(": ")[0]
        return ProblemError("bad-request", f"not a request that is read here: {reason}")
