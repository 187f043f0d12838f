"""The report's parts: reading a run folder, wording, drawing, and the page's sections; not the report itself (`report.py`)."""
