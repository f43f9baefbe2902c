//! `config.json` of the OCI runtime specification.
