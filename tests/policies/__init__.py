"""The options that an app may have for its sessions, in cookies and on the server."""
