//! The files of what was built, as a tar or in a directory.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use dockerfile::Ignore;
use engine::{Engine, steps};
use stdx::{Context, Result};
use sys::root::Root;

use crate::Built;
use crate::copy::{Change, Destination, Writer};
use crate::source::{Match, Tree, Wanted};

impl Built {
    /// Writes all files as a tar.
    pub fn write_tar(&self, engine: &Engine, writer: impl Write) -> Result<()> {
        let options = layer::diff::Options::default();
        layer::export(steps::look(engine, &self.layers)?, writer, &options).map(drop)
    }

    /// Writes all files into a directory, made if it is not there. Links in it lead nowhere outside.
    pub fn write_directory(&self, engine: &Engine, path: &Path) -> Result<()> {
        let message = || format!("cannot write to {path:?}");
        fs::create_dir_all(path).context(message)?;
        let into = Root::new(File::open(path).context(message)?.into());
        let tree = Tree { root: steps::look(engine, &self.layers)?, ignore: Ignore::default(), keeps_owners: true };
        let whole = Match { path: "".into(), name: "".into(), is_dir: true };
        let to = Destination { path: "/".to_owned(), is_dir: true };
        Writer::new(&into, &Change::default(), true).copy(&tree, &[whole], &Wanted::default(), &to).context(message)
    }
}
