//! Where an archive goes: a pipe, or a file that is there when it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use engine::Engine;
use stdx::{Context, Error, Result};

use crate::interrupt::{Interruptible, Undo};

/// What a write gathers before it is one.
const BUFFER: usize = 256 << 10;

/// Gives `write` the file `path`, or standard output unless that is a terminal. A file appears under its name when all
/// of it is written.
///
/// Interrupted, it leaves neither the file nor anything else.
pub(crate) fn write_to(
    engine: &Engine,
    path: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let undo = Undo { file: path.map(temporary).transpose()?, ..Undo::default() };
    let _interruptible = Interruptible::begin(engine, &undo)?;
    let Some(path) = path else {
        if rustix::termios::isatty(rustix::stdio::stdout()) {
            return Err(Error::invalid("cannot write an archive to a terminal").hint("use -o FILE or a pipe"));
        }
        let mut stdout = BufWriter::with_capacity(BUFFER, io::stdout().lock());
        write(&mut stdout)?;
        return stdout.flush().context(|| "cannot write to standard output".to_owned());
    };
    let what = || format!("cannot write {path:?}");
    // A device or a pipe is written as it is.
    if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
        let mut writer = BufWriter::with_capacity(BUFFER, File::options().write(true).open(path).context(what)?);
        write(&mut writer)?;
        return writer.flush().context(what);
    }
    let temporary = temporary(path)?;
    let written = (|| {
        let mut writer = BufWriter::with_capacity(BUFFER, File::create(&temporary).context(what)?);
        write(&mut writer)?;
        writer.flush().context(what)?;
        fs::rename(&temporary, path).context(what)
    })();
    written.inspect_err(|_| {
        // The error that led here is the one to report.
        let _ = fs::remove_file(&temporary);
    })
}

/// What the file is called while it is written.
fn temporary(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| Error::invalid(format!("{path:?} is no name of a file")))?;
    Ok(path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id())))
}
