"""What the figures of the page draw, as one JSON: the numbers of the tables and sentences, each with its error."""

from landscape.report.data.document import page_data, script_json

__all__ = ["page_data", "script_json"]
