"""An app whose users have UUIDs."""
