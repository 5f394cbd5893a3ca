//! Stories of file-svc against its own database and a folder.
