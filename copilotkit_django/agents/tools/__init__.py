"""What agents may do besides talking: functions of the project, called with the user at hand."""

from copilotkit_django.agents.tools.approval import ApprovalRequired, is_approved
from copilotkit_django.agents.tools.context import CallOver, ToolContext, ToolSession
from copilotkit_django.agents.tools.driving import ToolCall, resumed
from copilotkit_django.agents.tools.results import ToolResult
from copilotkit_django.agents.tools.tool import Tool, tool
from copilotkit_django.exceptions import ToolError

__all__ = [
    "ApprovalRequired",
    "CallOver",
    "Tool",
    "ToolCall",
    "ToolContext",
    "ToolError",
    "ToolResult",
    "ToolSession",
    "is_approved",
    "resumed",
    "tool",
]
