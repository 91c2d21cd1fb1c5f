"""What is refused to whoever asks for what the practice's own people do, in the audit log."""

from __future__ import annotations

from moonlit import wiring
from moonlit.audit.store import Actor, Audit


def note_refusal(actor: Actor, slug: str, route: str, entity_id: str | None) -> None:
    """Note that somebody asked for what they may not have."""
    with wiring.begin()() as connection:
        Audit(connection, actor, wiring.clock().now()).refused(slug, route, entity_id)
