//! Keys of whoever starts a container stay theirs: its processes have a session keyring of their own.

use std::ffi::CString;

use stdx::{Context, Error, Result};
use sys::Errno;

/// The session keyring of container `id`, under the name that other runtimes give it.
pub fn name(id: &str) -> String {
    format!("_ses.{id}")
}

/// Joins the session keyring `name`, which is made if there is none; `None` keeps the present one.
pub(crate) fn join(name: Option<&str>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    let c_name = CString::new(name).map_err(|_| Error::invalid("the name of a keyring contains a NUL byte"))?;
    match sys::keyring::join_session(&c_name) {
        // A kernel without keyrings has none to separate, and a filter around us that forbids them forbids them inside.
        Ok(()) | Err(Errno::NOSYS | Errno::PERM) => Ok(()),
        Err(errno) => Err(errno).context(|| format!("cannot join session keyring \"{name}\"")).map_err(|error| {
            let hint = "kernel.keys.maxkeys limits them for each user; --no-new-keyring does without";
            if errno == Errno::DQUOT { error.hint(hint) } else { error }
        }),
    }
}
