"""An MCP server in plain Django, whose tool brings an interface: what the studio's dice come from.

Any MCP server that answers like this can stand in MCP_APPS. It speaks as much of the protocol as
one needs that keeps no sessions.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template.loader import render_to_string
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

PAGE = "ui://dice/table.html"
MOST_DICE = 6

METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602

ROLL = {
    "type": "object",
    "properties": {"dice": {"type": "integer", "minimum": 1, "maximum": MOST_DICE}},
}

TOOLS = [
    {
        "name": "roll_dice",
        "description": "Rolls dice and shows them.",
        "inputSchema": ROLL,
        "_meta": {"ui": {"resourceUri": PAGE}},
    },
    {
        "name": "roll_again",
        "description": "Rolls the dice once more.",
        "inputSchema": ROLL,
        # For the button of the page only: no model gets to see it.
        "_meta": {"ui": {"resourceUri": PAGE, "visibility": ["app"]}},
    },
]


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        self.error = {"code": code, "message": message}


# No cookie decides anything here, so there is nothing a foreign page could abuse.
@csrf_exempt
@require_POST
def dice_endpoint(request: HttpRequest) -> HttpResponseBase:
    """POST a JSON-RPC message, get its answer as JSON."""
    try:
        message = json.loads(request.body)
        method, params = message["method"], message.get("params") or {}
    except (ValueError, KeyError, TypeError, AttributeError):
        return JsonResponse({"error": "The body is no JSON-RPC message."}, status=400)
    if "id" not in message:
        return HttpResponse(status=202)
    answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
    try:
        answer["result"] = result_of(method, params if isinstance(params, dict) else {})
    except Refused as refused:
        answer["error"] = refused.error
    return JsonResponse(answer)


def result_of(method: str, params: dict[str, Any]) -> dict[str, Any]:
    match method:
        case "initialize":
            return {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}, "resources": {}},
                "serverInfo": {"name": "dice", "version": "1"},
            }
        case "ping":
            return {}
        case "tools/list":
            return {"tools": TOOLS}
        case "tools/call" if params.get("name") in {tool["name"] for tool in TOOLS}:
            return rolled(params.get("arguments") or {})
        case "resources/read" if params.get("uri") == PAGE:
            text = render_to_string("demo/dice.html")
            kind = "text/html;profile=mcp-app"
            return {"contents": [{"uri": PAGE, "mimeType": kind, "text": text}]}
        case "tools/call" | "resources/read":
            raise Refused(INVALID_PARAMS, "There is no such thing.")
    raise Refused(METHOD_NOT_FOUND, "Method not found")


def rolled(arguments: dict[str, Any]) -> dict[str, Any]:
    number = arguments.get("dice", 2)
    if not isinstance(number, int) or not 1 <= number <= MOST_DICE:
        text = f"I have 1 to {MOST_DICE} dice."
        return {"content": [{"type": "text", "text": text}], "isError": True}
    dice = [secrets.randbelow(6) + 1 for _ in range(number)]
    text = f"Rolled {', '.join(map(str, dice))}: {sum(dice)}."
    return {"content": [{"type": "text", "text": text}], "structuredContent": {"dice": dice}}
