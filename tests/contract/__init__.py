"""The contract: what a stand-in for Flask's cookie sessions must reproduce, as listed in ``docs/compatibility.md``."""
