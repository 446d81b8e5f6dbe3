"""What clients are told of errors that are not ours to explain."""

from __future__ import annotations

import logging
import secrets

logger = logging.getLogger("copilotkit.incident")


def scrub(error: BaseException, *, expose: bool) -> str:
    """The sentence the wire gets for somebody else's exception.

    With ``expose`` the exception's own text. Otherwise a sentence of ours that ends with an id,
    under which the log has the traceback. Either way it is logged.
    """
    incident = secrets.token_hex(4)
    logger.error("Incident %s: %s", incident, type(error).__name__, exc_info=error)
    text = str(error)
    return text if expose and text else f"Something went wrong on the server. Incident {incident}"
