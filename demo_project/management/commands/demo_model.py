from typing import Any

from django.core.management.base import BaseCommand

from demo_project.agents.model import MODELS, model_agent, model_name


class Command(BaseCommand):
    help = "Say whether the demo has an agent on a language model, and on which."

    def handle(self, *args: Any, **options: Any) -> None:
        name = model_name()
        if name is None:
            self.stdout.write(
                f"Its agents need no model. With {', '.join(MODELS)} in the environment there is "
                "one more."
            )
        elif model_agent() is None:
            self.stdout.write(self.style.WARNING(f"There is a key, but no agent on {name}."))
        else:
            self.stdout.write(
                f"The fourth agent answers with {name}, at your expense: what is said to it is "
                "sent there."
            )
