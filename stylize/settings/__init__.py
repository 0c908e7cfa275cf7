"""Settings as dataclasses: the only place where a default value is written."""
