"""HTTP to servers that are not trusted: one origin, no private addresses, so much and no more.

Needs the ``mcp`` extra.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from typing import cast

import httpx2

from copilotkit_django.agents.middleware.mcp_apps.servers import AppServer

#: Saying goodbye to a server may take so long.
GOODBYE_SECONDS = 2.0

#: Addresses that stand for an IPv4 address behind a translator.
NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Refused(httpx2.TransportError):
    """A request that must not be sent, or an answer that must not be read. The text is ours."""


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends the requests of one call to one server.

    A name is resolved once, each of its addresses looked at, and the request sent to the address
    that was looked at: a name that means another address a moment later changes nothing. Redirects,
    other origins, compressed answers and answers that are too long or too late are refused.
    """

    def __init__(self, server: AppServer, timeout: float) -> None:
        #: Why something was refused, for those who are told of it in other words.
        self.refusal: str | None = None
        self._server = server
        self._origin = _origin(httpx2.URL(server.url))
        self._inner = httpx2.AsyncHTTPTransport(verify=_tls(), retries=0)
        self._left = server.max_bytes
        self._until = asyncio.get_running_loop().time() + timeout

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return await self._handle(request)
        except Refused as refused:
            self.refusal = str(refused)
            raise

    async def _handle(self, request: httpx2.Request) -> httpx2.Response:
        if _origin(request.url) != self._origin:
            raise Refused("The server sent us to another origin.")
        until = self._until
        if request.method == "DELETE":
            until = asyncio.get_running_loop().time() + GOODBYE_SECONDS
            request.extensions = {
                **request.extensions,
                "timeout": dict.fromkeys(("connect", "read", "write", "pool"), GOODBYE_SECONDS),
            }
        request.headers["Accept-Encoding"] = "identity"
        response = await self._send(request)
        if 300 <= response.status_code < 400 and response.status_code != 304:
            await response.aclose()
            raise Refused("The server answered with a redirect.")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            await response.aclose()
            raise Refused("The server answered with a compressed body, which it was asked not to.")
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Limited(self, cast(httpx2.AsyncByteStream, response.stream), until),
            extensions=response.extensions,
        )

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        addresses = await addresses_of(self._server, request.url.raw_host.decode())
        for number, address in enumerate(addresses, 1):
            pinned = httpx2.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode()},
            )
            try:
                return await self._inner.handle_async_request(pinned)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise Refused("The name of the server has no address.")

    def take(self, size: int, until: float) -> None:
        """Count what was received. Raises `Refused` if it is too much or too late."""
        self._left -= size
        if self._left < 0:
            self.refusal = f"The server answered with more than {self._server.max_bytes} bytes."
        elif asyncio.get_running_loop().time() > until:
            self.refusal = "The server took too long."
        else:
            return
        raise Refused(self.refusal)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Limited(httpx2.AsyncByteStream):
    def __init__(
        self,
        transport: GuardedTransport,
        stream: httpx2.AsyncByteStream,
        until: float,
    ) -> None:
        self._transport, self._stream, self._until = transport, stream, until

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._transport.take(len(chunk), self._until)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _origin(url: httpx2.URL) -> tuple[str, bytes, int | None]:
    return url.scheme, url.raw_host, url.port


async def addresses_of(server: AppServer, host: str) -> list[str]:
    """The addresses of a host. Raises `Refused` if one of them is not public."""
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Refused("The name of the server cannot be resolved.") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not server.allow_private_addresses:
        for address in addresses:
            if not is_public(address):
                raise Refused(
                    f"{host} has the address {address}, which is not public; allow it with "
                    "'allow_private_addresses'."
                )
    return addresses


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, and stands for no other that is not."""
    # A scope such as %eth0 belongs to link-local addresses only.
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return all(each.is_global and not each.is_multicast for each in (parsed, *_inside(parsed)))


def _inside(address: Address) -> list[Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return []
    inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64:
        inside.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in inside if each is not None]


@functools.cache
def _tls() -> ssl.SSLContext:
    # Loading the certificates takes longer than a whole call.
    return httpx2.create_ssl_context()
