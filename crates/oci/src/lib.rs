//! The field's formats as types: OCI image and runtime specifications, Docker's archive, references, digests.
//! Pure: nothing here opens a file or makes a system call.

pub mod runtime_spec;
